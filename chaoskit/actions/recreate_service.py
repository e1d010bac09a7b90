"""Deletes a Service and makes it anew as it was written: the same name and selector, another address.

This happens to whoever changes what cannot be changed in place, or installs a release again. Whoever kept the old
address talks to nobody from then on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit import marks
from chaoskit.contracts import Action, Healed, Intent, RefField, Stage
from chaoskit.errors import ConflictError, NotFoundError, PortError, UnreachableError, UsageError
from chaoskit.model import MANAGED_BY, UNDO_ANNOTATION, Raw, Right, Target
from chaoskit.objects import Objects, name, uid
from chaoskit.ports import Cluster

GIVEN_BY_THE_CLUSTER = ("clusterIP", "clusterIPs", "healthCheckNodePort")
HEADLESS = "None"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class RecreateService(Action):
    """Delete a Service and make it anew as it was written: it gets another address."""

    verb: ClassVar[str] = "recreate_service"
    annotates: ClassVar[tuple[str, ...]] = ("service",)

    of: RefField = Field(description="which one: service/NAME")

    def rights(self, namespace: str) -> Sequence[Right]:
        return tuple(Right(verb, "", "services", namespace) for verb in ("get", "patch", "delete", "create"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        service = objects.named("service", self.of.name, namespace) if self.of.kind == "service" else None
        if service is None:
            raise UsageError(
                f"there is no {self.of} that is a Service in namespace {namespace}",
                fix=f"kubectl get services -n {namespace}",
            )
        prior = {"manifest": as_written(service), "address": address(service)}
        return (Target("service", name(service), namespace, uid(service), prior=prior),)

    def number(self, of: int) -> int:
        return 1

    def as_chosen(self, target: Target, present: Raw) -> bool:
        return bool(as_written(present) == target.prior["manifest"])

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        what = f"delete {target} and make it anew"
        stage.act(what, target, lambda: _recreate(stage.cluster, target), change={"recreated": True})

    def landed(self, target: Target, objects: Objects) -> str:
        present = objects.named("service", target.name, target.namespace)
        if present is None or uid(present) == target.uid:
            return ""
        return f"it was {target.prior['address']}, and is {address(present)} now"

    def undo(self, target: Target) -> str:
        return f"nothing, once {target} is there again; chaoskit heal makes it if it is not"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        """What is to be restored is that the Service is there; its old address cannot be had back for certain."""
        target = intent.target
        stand_in = _look(cluster, marks.stand_in(target), target.namespace)
        present = _look(cluster, target.name, target.namespace)
        how = "it was never deleted"
        if present is None:
            if not _has_namespace(cluster, target.namespace):
                return Healed(True, "its namespace is gone")
            _create(cluster, target, _marks(stand_in) if stand_in else {})
            present = cluster.get("service", target.name, target.namespace)
            how = "it was away, and is made anew"
        elif uid(present) != target.uid:
            how = "it is there, with another address"
        if marks.marked(present, intent):
            _unmark(cluster, intent, uid(present))
        if stand_in:
            cluster.delete("service", name(stand_in), target.namespace, uid=uid(stand_in))
        return Healed(True, how)


def _recreate(cluster: Cluster, target: Target) -> None:
    """A stand-in carries the Service's marks while it is away, so that the cluster alone tells how to make it again.
    The new one carries them as well: what earlier steps changed of it is still to be undone."""
    present = cluster.get("service", target.name, target.namespace)
    if as_written(present) != target.prior["manifest"]:
        raise PortError(f"somebody changed {target} just now")
    held = _marks(present)
    cluster.create(_stand_in(target, held), target.namespace)
    cluster.delete("service", target.name, target.namespace, uid=target.uid)
    try:
        _create(cluster, target, held)
    except PortError as error:
        raise UnreachableError(f"{target} was deleted, and perhaps not made anew", why=str(error)) from error
    with contextlib.suppress(PortError):  # Healing looks for it again.
        cluster.delete("service", marks.stand_in(target), target.namespace)


def _stand_in(target: Target, held: Mapping[str, str]) -> dict[str, Any]:
    """A Service that leads nowhere and has no address."""
    meta = {"name": marks.stand_in(target), "labels": {MANAGED_BY: "chaoskit"}, "annotations": dict(held)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": HEADLESS}}


def _marks(service: Raw) -> dict[str, str]:
    """What runs have to undo of a Service."""
    notes: Mapping[str, str] = service["metadata"].get("annotations") or {}
    return {key: value for key, value in notes.items() if key.startswith(UNDO_ANNOTATION)}


def _create(cluster: Cluster, target: Target, held: Mapping[str, str]) -> None:
    """Somebody else may have been faster, or an answer was lost and the call made again: then the Service is there. A
    quota that others use at the same time is refused by the same 409, and it is not."""
    manifest = target.prior["manifest"]
    meta = {**manifest["metadata"], "annotations": {**manifest["metadata"].get("annotations", {}), **held}}
    try:
        cluster.create({**manifest, "metadata": meta}, target.namespace)
    except ConflictError:
        if _look(cluster, target.name, target.namespace) is None:
            raise


def _look(cluster: Cluster, named: str, namespace: str) -> Raw | None:
    try:
        return cluster.get("service", named, namespace)
    except NotFoundError:
        return None


def _has_namespace(cluster: Cluster, namespace: str) -> bool:
    try:
        return "deletionTimestamp" not in cluster.get("namespace", namespace)["metadata"]
    except NotFoundError:
        return False


def _unmark(cluster: Cluster, intent: Intent, uid_: str) -> None:
    target, key = intent.target, UNDO_ANNOTATION + intent.run

    def without(present: Raw) -> dict[str, Any]:
        return {"metadata": {"annotations": {key: marks.remaining(present, key, intent.n)}}}

    marks.change(cluster, "service", target.name, target.namespace, uid_, without)


def address(service: Raw) -> str:
    return str(service["spec"].get("clusterIP", "")) or "without an address"


def as_written(service: Raw) -> dict[str, Any]:
    """The Service as its owner would write it, without what the cluster added."""
    meta: Mapping[str, Any] = service["metadata"]
    notes = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key != LAST_APPLIED and not key.startswith(UNDO_ANNOTATION)
    }
    headless = service["spec"].get("clusterIP") == HEADLESS
    spec = {key: value for key, value in service["spec"].items() if headless or key not in GIVEN_BY_THE_CLUSTER}
    if service["spec"].get("type", "ClusterIP") != "ClusterIP":
        spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in spec.get("ports") or ()]
    kept = {"name": meta["name"], "labels": dict(meta.get("labels") or {}), "annotations": notes}
    return {"apiVersion": "v1", "kind": "Service", "metadata": kept, "spec": spec}
