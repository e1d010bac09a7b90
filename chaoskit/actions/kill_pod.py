"""Kills pods of a workload or Service, in one of three ways that users meet in production."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from chaoskit.contracts import Action, RefField, Seconds, Stage
from chaoskit.errors import BudgetError, UsageError
from chaoskit.model import Right, Target
from chaoskit.objects import Objects, name, node_of, terminating, uid
from chaoskit.units import share, shown

BUDGET_RETRY_S = 0.5
ACCEPT_WITHIN_S = 30.0
ROUNDING = 1e-9
"""57 % of 100 are 57, though 0.57 × 100 is a little less in binary."""


def _how_many(value: object) -> object:
    if isinstance(value, str):
        share(value)
    elif isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"write a number or a share, as in 2 or 50%, not {shown(value)}")
    elif value < 1:
        raise ValueError("at least 1")
    return value


HowMany = Annotated[int | str, BeforeValidator(_how_many)]


def how_many(wanted: HowMany, of: int) -> int:
    """A share rounds down, and is at least one."""
    return max(1, math.floor(share(wanted) * of + ROUNDING)) if isinstance(wanted, str) else wanted


class KillPod(Action):
    """Kill pods: `delete` as kubectl does, `evict` asks the disruption budgets first, `now` gives them no time."""

    verb: ClassVar[str] = "kill_pod"

    of: RefField = Field(description="whose pods: deployment/NAME, statefulset/NAME, service/NAME … or pod/NAME")
    count: HowMany = Field(1, description="how many: a number, or a share as in 50%")
    mode: Literal["delete", "evict", "now"] = Field("delete", description="how they end")
    grace: Seconds | None = Field(None, description="time to shut down; the pod's own where nothing is said")
    namespace: Literal["", "kube-system"] = Field(
        "", description="kube-system, for pods of the platform (needs safety.platform); else the experiment's"
    )

    def elsewhere(self) -> str:
        return self.namespace

    def rights(self, namespace: str) -> Sequence[Right]:
        namespace = self.namespace or namespace
        if self.mode == "evict":
            return eviction_rights(namespace)
        return (Right("delete", "", "pods", namespace),)

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return pods_as_targets(self.of, objects, self.namespace or namespace)

    def number(self, of: int) -> int:
        return how_many(self.count, of)

    def longest_s(self, targets: int) -> float:
        """One pod after the other may have to wait for its disruption budget."""
        return super().longest_s(targets) + (targets * ACCEPT_WITHIN_S if self.mode == "evict" else 0.0)

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            if self.mode == "evict":
                evict(stage, target, self._grace())
            else:
                stage.act(f"delete {target}", target, lambda t=target: self._delete(stage, t))  # type: ignore[misc]

    def _delete(self, stage: Stage, target: Target) -> None:
        stage.cluster.delete("pod", target.name, target.namespace, uid=target.uid, grace_s=self._grace())

    def _grace(self) -> int | None:
        if self.mode == "now":
            return 0
        return None if self.grace is None else math.ceil(self.grace)

    def landed(self, target: Target, objects: Objects) -> str:
        pod = objects.by_uid("pod", target.uid)
        if pod is None:
            return "the pod is gone"
        return "the pod is terminating" if terminating(pod) else ""

    def undo(self, target: Target) -> str:
        return f"nothing: {self.of} replaces {target.name}"


def eviction_rights(namespace: str) -> tuple[Right, ...]:
    """Before an eviction the pod's UID is looked at."""
    return (Right("get", "", "pods", namespace), Right("create", "", "pods", namespace, "eviction"))


def pods_as_targets(ref: RefField, objects: Objects, namespace: str) -> list[Target]:
    """The living pods of a workload as targets. UsageError if there is no such workload."""
    pods = objects.pods_of(ref, namespace)
    if pods is None:
        raise UsageError(
            f"there is no {ref} in namespace {namespace}",
            fix=f"kubectl get {ref.kind}s -n {namespace} shows what is there",
        )
    return [Target("pod", name(p), namespace, uid(p), node_of(p)) for p in pods if not terminating(p)]


def evict(stage: Stage, target: Target, grace_s: int | None) -> bool:
    """Evicts a pod, trying again while a disruption budget refuses, for up to 30 s."""
    deadline = stage.now() + ACCEPT_WITHIN_S
    while True:
        try:
            return stage.act(
                f"evict {target}",
                target,
                lambda: stage.cluster.evict(target.name, target.namespace, uid=target.uid, grace_s=grace_s),
            )
        except BudgetError:
            if stage.now() >= deadline:
                stage.note(f"a disruption budget kept {target} from being evicted for {ACCEPT_WITHIN_S:.0f} s")
                return False
        stage.wait_until(lambda: False, BUDGET_RETRY_S, f"a disruption budget to let {target} go")
