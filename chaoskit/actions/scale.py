"""Changes how many replicas a workload has, and gives it its number back unless somebody changed that meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit import marks
from chaoskit.contracts import Action, Count, Healed, Intent, RefField, Stage
from chaoskit.errors import UsageError
from chaoskit.model import Raw, Right, Target
from chaoskit.objects import Objects, name, uid
from chaoskit.ports import Cluster

SCALABLE = ("deployment", "statefulset")


class Scale(Action):
    """Change the number of replicas of a Deployment or StatefulSet."""

    verb: ClassVar[str] = "scale"
    annotates: ClassVar[tuple[str, ...]] = SCALABLE

    of: RefField = Field(description="which one: deployment/NAME or statefulset/NAME")
    to: Count = Field(ge=0, description="how many replicas")

    def rights(self, namespace: str) -> Sequence[Right]:
        return tuple(Right(verb, "apps", f"{self.of.kind}s", namespace) for verb in ("get", "patch"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        found = objects.named(self.of.kind, self.of.name, namespace) if self.of.kind in SCALABLE else None
        if found is None:
            raise UsageError(
                f"there is no {self.of} that can be scaled in namespace {namespace}",
                fix=f"kubectl get deployments,statefulsets -n {namespace}",
            )
        prior = {"replicas": replicas(found), "pods": _pods(found)}
        return (Target(self.of.kind, name(found), namespace, uid(found), prior=prior),)

    def number(self, of: int) -> int:
        return 1

    def as_chosen(self, target: Target, present: Raw) -> bool:
        return bool(replicas(present) == target.prior["replicas"])

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(
            f"scale {target} from {target.prior['replicas']} to {self.to}",
            target,
            lambda: stage.cluster.patch(target.kind, target.name, _body(self.to), target.namespace, uid=target.uid),
            change={"replicas": self.to},
        )

    def landed(self, target: Target, objects: Objects) -> str:
        """A StatefulSet makes and ends its pods one after the other: the first of them counts."""
        found = objects.by_uid(target.kind, target.uid)
        if found is None or replicas(found) != self.to:
            return ""
        there = _pods(found)
        moved = target.kind == "statefulset" and there != target.prior["pods"]
        return f"{there} of {self.to} replicas are there" if there == self.to or moved else ""

    def undo(self, target: Target) -> str:
        return f"kubectl scale {target} -n {target.namespace} --replicas={target.prior['replicas']}"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        target, prior = intent.target, int(intent.target.prior["replicas"])
        return marks.restore(
            cluster,
            intent,
            ours=lambda o: replicas(o) == intent.change["replicas"],
            back=lambda _: _body(prior),
            restored=lambda o: replicas(o) == prior,
            fix=f"kubectl scale {target} -n {target.namespace} --replicas={prior}",
        )


def replicas(o: Raw) -> int:
    return int(o["spec"].get("replicas", 1))


def _pods(o: Raw) -> int:
    return int((o.get("status") or {}).get("replicas", 0))


def _body(number: int) -> dict[str, Any]:
    return {"spec": {"replicas": number}}
