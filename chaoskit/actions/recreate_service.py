"""Deletes a Service and makes it anew as it was written: the same name and selector, another address.

This happens to whoever changes what cannot be changed in place, or installs a release again. Whoever kept the old
address talks to nobody from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit.contracts import Action, Healed, Intent, RefField, Stage
from chaoskit.errors import ConflictError, NotFoundError, UsageError
from chaoskit.model import UNDO_ANNOTATION, Raw, Right, Target
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
        try:
            present = cluster.get("service", target.name, target.namespace)
        except NotFoundError:
            if not _has_namespace(cluster, target.namespace):
                return Healed(True, "its namespace is gone")
            _create(cluster, target)
            return Healed(True, "it was away, and is made anew")
        if uid(present) != target.uid:
            return Healed(True, "it is there, with another address")
        _unmark(cluster, intent)
        return Healed(True, "it was never deleted")


def _recreate(cluster: Cluster, target: Target) -> None:
    cluster.delete("service", target.name, target.namespace, uid=target.uid)
    _create(cluster, target)


def _create(cluster: Cluster, target: Target) -> None:
    """Somebody else may have been faster, or an answer was lost and the call made again: the Service is there."""
    try:
        cluster.create(target.prior["manifest"], target.namespace)
    except ConflictError:
        return


def _has_namespace(cluster: Cluster, namespace: str) -> bool:
    try:
        return "deletionTimestamp" not in cluster.get("namespace", namespace)["metadata"]
    except NotFoundError:
        return False


def _unmark(cluster: Cluster, intent: Intent) -> None:
    target = intent.target
    patch = {"metadata": {"annotations": {UNDO_ANNOTATION + intent.run: None}}}
    cluster.patch("service", target.name, patch, target.namespace, uid=target.uid)


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
