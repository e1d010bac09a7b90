"""Cordons nodes: nothing new is scheduled there. The undo leaves a node cordoned that was so before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from chaoskit import marks
from chaoskit.actions.node_choice import NodeChoice
from chaoskit.contracts import Action, Healed, Intent, Stage
from chaoskit.errors import NotFoundError
from chaoskit.model import UNDO_ANNOTATION, Raw, Target
from chaoskit.objects import Objects, annotation, name, uid
from chaoskit.ports import Cluster


class CordonNode(NodeChoice, Action):
    """Mark nodes unschedulable."""

    verb: ClassVar[str] = "cordon_node"
    annotates: ClassVar[tuple[str, ...]] = ("node",)

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return [node_as_target(node) for node in self.chosen(objects, namespace)]

    def as_chosen(self, target: Target, present: Raw) -> bool:
        return bool(unschedulable(present) == target.prior["unschedulable"])

    def perform(self, stage: Stage) -> None:
        for target in stage.targets:
            cordon(stage, target)

    def landed(self, target: Target, objects: Objects) -> str:
        node = objects.by_uid("node", target.uid)
        return "the node is unschedulable" if node and unschedulable(node) else ""

    def undo(self, target: Target) -> str:
        if target.prior.get("unschedulable"):
            return f"nothing: {target.name} is cordoned already, and stays so"
        return f"kubectl uncordon {target.name}"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        return uncordon(cluster, intent)


def unschedulable(node: Raw) -> bool:
    return bool(node["spec"].get("unschedulable"))


def node_as_target(node: Raw) -> Target:
    return Target("node", name(node), "", uid(node), name(node), {"unschedulable": unschedulable(node)})


def cordon(stage: Stage, target: Target) -> bool:
    """Cordons one node, unless it is already."""
    if target.prior.get("unschedulable"):
        stage.note(f"{target} was cordoned before, and will stay so")
        return True
    patch = {"spec": {"unschedulable": True}}
    return stage.act(
        f"cordon {target}",
        target,
        lambda: stage.cluster.patch("node", target.name, patch, uid=target.uid),
        change={"unschedulable": True},
    )


def uncordon(cluster: Cluster, intent: Intent) -> Healed:
    """Restores schedulability as it was, and takes the intent's annotation away; looks before it says done.

    The annotation is the mark that the change is ours: whoever uncordons by hand and cordons anew is asked to keep it
    away by `kubectl annotate`, which the error text of a failed healing tells."""
    target = intent.target
    fix = f"kubectl uncordon {target.name}"
    key = UNDO_ANNOTATION + intent.run
    try:
        node = cluster.get("node", target.name)
    except NotFoundError:
        return Healed(True, "the node is gone")
    if uid(node) != target.uid:
        return Healed(True, "another node carries the name now")
    marked = bool(annotation(node, key))
    patch: dict[str, Any] = {"metadata": {"annotations": {key: marks.remaining(node, key, intent.n)}}}
    ours = marked and unschedulable(node) and not target.prior.get("unschedulable")
    if ours:
        patch["spec"] = {"unschedulable": None}
    if marked:
        cluster.patch("node", target.name, patch, uid=target.uid)
    return _verify(cluster.get("node", target.name), ours, fix)


def _verify(node: Raw, ours: bool, fix: str) -> Healed:
    if ours and unschedulable(node):
        return Healed(False, "the node is still cordoned", fix)
    return Healed(True, "uncordoned" if ours else "nothing of it is left")
