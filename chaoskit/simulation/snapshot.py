"""What a cluster holds, in two snapshots that can be compared: all that people and chaoskit decide, without what
Kubernetes itself keeps (versions, statuses, the pods of controllers and what is made for them)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from chaoskit.actions.recreate_service import GIVEN_BY_THE_CLUSTER
from chaoskit.actions.roll_out import REVISION
from chaoskit.model import Raw
from chaoskit.objects import condition, controller, name, namespace

KINDS = (
    "node",
    "namespace",
    "deployment",
    "statefulset",
    "daemonset",
    "service",
    "horizontalpodautoscaler",
    "poddisruptionbudget",
    "persistentvolumeclaim",
    "configmap",
    "lease",
    "pod",
)
WORKLOADS = ("deployment", "statefulset", "daemonset")
KEPT_BY_KUBERNETES = ("resourceVersion", "generation", "managedFields", "creationTimestamp")
Key: TypeAlias = tuple[str, str, str]
"""Kind, namespace and name."""
Snapshot: TypeAlias = Mapping[Key, Any]


def snapshot(read: Callable[[str], Sequence[Raw]], kinds: Sequence[str] = KINDS) -> Snapshot:
    return shorn(everything(read, kinds))


def everything(read: Callable[[str], Sequence[Raw]], kinds: Sequence[str] = KINDS) -> dict[Key, Raw]:
    """The objects as they are; of pods, those that nobody controls."""
    found = ((kind, o) for kind in kinds for o in read(kind) if kind != "pod" or not controller(o)[1])
    return {(kind, namespace(o), name(o)): o for kind, o in found}


def shorn(found: Mapping[Key, Raw]) -> Snapshot:
    """Without what Kubernetes keeps."""
    return {key: _kept(key[0], o) for key, o in found.items()}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What is there only in one of them, or otherwise, in words."""
    found = []
    for key in sorted({*before, *after}):
        told = "/".join(part for part in key if part)
        if key not in after:
            found.append(f"{told} is gone")
        elif key not in before:
            found.append(f"{told} was not there before")
        elif before[key] != after[key]:
            found += [f"{told}: {path}: {was!r} became {is_!r}" for path, was, is_ in _changed(before[key], after[key])]
    return found


def _kept(kind: str, o: Raw) -> dict[str, Any]:
    if kind == "pod":
        return {}
    meta = {key: value for key, value in o["metadata"].items() if key not in KEPT_BY_KUBERNETES and value}
    spec = {key: value for key, value in (o.get("spec") or {}).items() if value is not None}
    if REVISION in meta.get("annotations", ()):
        meta["annotations"] = {key: value for key, value in meta["annotations"].items() if key != REVISION}
    if kind == "service":
        # One that was deleted and made anew is another object, at another address: that cannot be had back.
        meta.pop("uid", None)
        spec = {key: value for key, value in spec.items() if key not in GIVEN_BY_THE_CLUSTER}
    kept = {"metadata": {key: value for key, value in meta.items() if value}, "spec": spec, "data": o.get("data")}
    if kind == "node":
        return {**kept, "ready": condition(o, "Ready")}
    return {**kept, "whole": _whole(o)} if kind in WORKLOADS else kept


def _whole(workload: Raw) -> bool:
    """Whether it is whole, by its own controller's word."""
    status = workload.get("status") or {}
    if workload["kind"] == "DaemonSet":
        return bool(status.get("numberReady", 0) == status.get("desiredNumberScheduled", 0))
    wanted = int(workload["spec"].get("replicas", 1))
    return bool(int(status.get("readyReplicas", 0)) == int(status.get("replicas", 0)) == wanted)


def _changed(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = []
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                found += _changed(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
        return found
    return [(path, before, after)]
