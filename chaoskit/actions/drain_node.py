"""Drains a node: cordons it, then evicts its pods as fast as disruption budgets allow, until a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.actions.cordon_node import CordonNode, cordon
from chaoskit.actions.kill_pod import eviction_rights
from chaoskit.contracts import Seconds, Stage
from chaoskit.errors import BudgetError, PortError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, controller, name, namespace, node_of, terminating, uid

RETRY_S = 0.25
"""How soon an eviction that a budget refused is tried again."""


class DrainNode(CordonNode):
    """Cordon nodes and evict the pods on them, honouring disruption budgets."""

    verb: ClassVar[str] = "drain_node"

    within: Seconds = Field(60.0, description="how long evictions are tried")

    def rights(self, namespace: str) -> Sequence[Right]:
        return (*super().rights(namespace), *eviction_rights(namespace))

    def longest_s(self, targets: int) -> float:
        return super().longest_s(targets) + targets * self.within

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            if cordon(stage, target):
                self._empty(stage, target)

    def _empty(self, stage: Stage, node: Target) -> None:
        """Ends with the event that reports the last pod gone, or at the deadline."""
        deadline = stage.now() + self.within
        while left := evictable(stage.objects, node.name, stage.namespace):
            remaining = deadline - stage.now()
            if remaining <= 0:
                self._give_up(stage, node, left)
                return
            refused = self._evict(stage, [p for p in left if not terminating(p)])
            before = {uid(p) for p in left}
            stage.wait_until(
                lambda seen=before: {uid(p) for p in evictable(stage.objects, node.name, stage.namespace)} < seen,  # type: ignore[misc]
                min(RETRY_S, remaining) if refused else remaining,
                f"{len(left)} pods to leave {node.name}",
            )
        stage.note(f"{node} was empty {stage.now():.3f} s after the run's origin")

    def _give_up(self, stage: Stage, node: Target, left: Sequence[Raw]) -> None:
        """Tells what is left, as an act that failed: a drain that did not empty its node has not landed."""
        still = f"{node} still carries {', '.join(map(name, left))} after {self.within:.0f} s"
        stage.note(still)

        def fail() -> None:
            raise PortError(still)

        stage.act(f"empty {node}", node, fail)

    def _evict(self, stage: Stage, pods: Sequence[Raw]) -> int:
        """Asks for each pod's eviction; how many a budget refused."""
        refused = 0
        for pod in pods:
            target = Target("pod", name(pod), namespace(pod), uid(pod), node_of(pod))
            try:
                stage.act(
                    f"evict {target}",
                    target,
                    lambda t=target: stage.cluster.evict(t.name, t.namespace, uid=t.uid),  # type: ignore[misc]
                )
            except BudgetError:
                refused += 1
        return refused

    def landed(self, target: Target, objects: Objects) -> str:
        cordoned = super().landed(target, objects) if target.kind == "node" else ""
        if target.kind == "pod":
            pod = objects.by_uid("pod", target.uid)
            return "the pod left" if pod is None else "the pod is terminating" if terminating(pod) else ""
        return cordoned


def evictable(objects: Objects, node: str, within: str) -> list[Raw]:
    """The experiment's pods on a node that a drain moves: not those of DaemonSets, nor those that are finished; but one
    whose containers have ended and that is on its way out is there until it is gone."""
    return [
        pod
        for pod in objects.pods_on(node)
        if namespace(pod) == within
        and controller(pod)[0] != "daemonset"
        and (terminating(pod) or pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"))
    ]
