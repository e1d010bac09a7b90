"""What the parts of a cluster write into an object's status, and read from a pod's spec. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chaoskit import objects
from chaoskit.adapters.fake.store import Object
from chaoskit.model import Raw


def conditions(o: Raw, wanted: Mapping[str, bool | str], stamp: str) -> list[Object]:
    """The object's conditions with `wanted` among them; the time of one changes only with its status."""
    old = {c["type"]: c for c in o.get("status", {}).get("conditions") or ()}
    for kind, holds in wanted.items():
        status = holds if isinstance(holds, str) else str(holds)
        if old.get(kind, {}).get("status") != status:
            old[kind] = {"type": kind, "status": status, "lastTransitionTime": stamp}
    return list(old.values())


def finished(pod: Raw) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def active(pod: Raw) -> bool:
    """Whether a controller counts the pod as one of its replicas (pkg/controller, FilterActivePods)."""
    return not finished(pod) and not objects.terminating(pod)


def tolerates(spec: Raw, key: str, effect: str) -> bool:
    return any(
        toleration.get("key") in (None, key) and toleration.get("effect") in (None, effect)
        for toleration in spec.get("tolerations") or ()
    )


def patience(pod: Raw, taint: str, default_s: float) -> float:
    """How long a pod stays on a node with a NoExecute taint; infinity where it tolerates it for ever."""
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("key") in (None, taint) and toleration.get("effect") in (None, "NoExecute"):
            return float(toleration.get("tolerationSeconds", math.inf))
    return default_s


def cores(quantity: object) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def cpu(pod: Raw) -> float:
    """The cores that the pod requests."""
    return sum(cores(_requests(c).get("cpu", 0)) for c in pod["spec"]["containers"])


def _requests(container: Raw) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (container.get("resources") or {}).get("requests") or {}
    return found


def readiness_probe(pod: Raw, container: str) -> Raw | None:
    """The container's readiness probe; None: it counts as ready as soon as it runs."""
    return next((c.get("readinessProbe") for c in pod["spec"]["containers"] if c["name"] == container), None)


def share_of(value: object, total: int, *, up: bool) -> int:
    """A number or a percentage of `total` (util/intstr, GetScaledValueFromIntOrPercent)."""
    if isinstance(value, str) and value.endswith("%"):
        exact = float(value[:-1]) * total / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(str(value))
