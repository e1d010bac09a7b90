"""Takes nodes away from outside, as a power failure, a standstill of the machine or a pulled cable does.

Only who made the machines can: the embedded cluster. Nobody tells Kubernetes of it; that the fault landed is seen as
Kubernetes itself sees it, when the node's kubelet has been silent for the grace period and the node is Ready no more.
Until then the node's pods stay among the endpoints: that is part of what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from chaoskit import marks
from chaoskit.actions.node_choice import NodeChoice
from chaoskit.contracts import LONGEST_CALL_S, Action, Healed, Intent, Stage
from chaoskit.errors import NotFoundError
from chaoskit.model import UNDO_ANNOTATION, Raw, Target
from chaoskit.objects import Objects, condition, name, uid
from chaoskit.ports import Cluster, MachineOrder

NOTICED_WITHIN_S = 90.0
"""Kubernetes' own grace period is 50 s (--node-monitor-grace-period); the rest is for a slow machine."""


class _LostMachine(NodeChoice):
    """What the three ways have in common."""

    own_cluster: ClassVar[bool] = True
    annotates: ClassVar[tuple[str, ...]] = ("node",)
    order: ClassVar[MachineOrder]
    back: ClassVar[MachineOrder]
    """The order that undoes it."""

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        """Nodes that are Ready: the loss of another could not be seen, and giving it back would change more."""
        return [_as_target(node) for node in self.chosen(objects, namespace) if condition(node, "Ready")]

    def as_chosen(self, target: Target, present: Raw) -> bool:
        return condition(present, "Ready")

    def longest_s(self, targets: int) -> float:
        return targets * LONGEST_CALL_S + NOTICED_WITHIN_S

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            stage.act(
                f"{words(self.order)} {target}",
                target,
                lambda t=target: stage.cluster.machine(t.name, self.order),  # type: ignore[misc]
                change={"machine": self.order},
            )
        stage.wait_until(
            lambda: all(self.landed(target, stage.objects) for target in stage.targets),
            NOTICED_WITHIN_S,
            "Kubernetes to notice that the node is silent",
        )

    def landed(self, target: Target, objects: Objects) -> str:
        node = objects.by_uid("node", target.uid)
        if node is None:
            return "the node is gone"
        return "" if condition(node, "Ready") else f"the node is not Ready any more: {_why_not_ready(node)}"

    def undo(self, target: Target) -> str:
        return f"{words(self.back)} {target.name}: chaoskit heal"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        """Gives the order that undoes it and looks whether the node is Ready; the mark stays until it is, so that
        healing, which looks again and again for a minute, can be done later too."""
        target = intent.target
        try:
            node = cluster.get("node", target.name)
            if uid(node) != target.uid:
                return Healed(True, "another node carries the name now")
            if not marks.marked(node, intent):
                return Healed(True, "nothing of it is left")
            cluster.machine(target.name, cls.back)
            if not condition(cluster.get("node", target.name), "Ready"):
                why = f"{target.name} got the order to {words(cls.back)}, and is not Ready yet"
                return Healed(False, why, f"kubectl describe node {target.name}; then chaoskit heal {intent.run}")
            marks.change(cluster, "node", target.name, "", target.uid, lambda o: _unmarked(o, intent))
        except NotFoundError:
            return Healed(True, "the node is gone")
        return Healed(True, f"the order to {words(cls.back)} was given, and the node is Ready again")


class PowerOffNode(_LostMachine, Action):
    """Switch nodes off without warning: everything on them ends at once."""

    verb: ClassVar[str] = "power_off_node"
    order: ClassVar[MachineOrder] = "power_off"
    back: ClassVar[MachineOrder] = "power_on"


class FreezeNode(_LostMachine, Action):
    """Stop every process of nodes where it stands, as a hypervisor's pause does: connections stay open and silent."""

    verb: ClassVar[str] = "freeze_node"
    order: ClassVar[MachineOrder] = "freeze"
    back: ClassVar[MachineOrder] = "thaw"


class UnplugNode(_LostMachine, Action):
    """Pull the network cable of nodes: their pods run on, and nobody reaches them."""

    verb: ClassVar[str] = "unplug_node"
    order: ClassVar[MachineOrder] = "unplug"
    back: ClassVar[MachineOrder] = "plug"


def words(order: MachineOrder) -> str:
    return order.replace("_", " ")


def _as_target(node: Raw) -> Target:
    return Target("node", name(node), "", uid(node), name(node), {"ready": True})


def _why_not_ready(node: Raw) -> str:
    for said in node.get("status", {}).get("conditions") or ():
        if said.get("type") == "Ready":
            return f"{said.get('status')} {said.get('reason', '')}".rstrip()
    return "it says nothing of it"


def _unmarked(node: Raw, intent: Intent) -> dict[str, Any]:
    key = UNDO_ANNOTATION + intent.run
    return {"metadata": {"annotations": {key: marks.remaining(node, key, intent.n)}}}
