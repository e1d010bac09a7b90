"""Whether the platform has caught up: every workload has what it asks for, and every Service leads to its ready pods.

Pure, as `evidence` is. While a server of the platform is away, things go on as they were; what changed meanwhile is
behind until somebody works it off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaoskit.contracts import Record
from chaoskit.model import GAP, Raw
from chaoskit.objects import Objects, labels, matches, name, namespace, node_of, ready, ready_endpoints, uid

SERVICE_LABEL = "kubernetes.io/service-name"
COUNTED = ("deployment", "statefulset")
TOLD_BY = ("pod", "endpointslice", "service", *COUNTED)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """When everything was as asked for, and stayed so; times in the run's seconds."""

    behind_until: float
    """The last moment at which something was behind; the begin of the time looked at where nothing was."""
    by: float | None
    """When that was over: the same moment, or later where the watch was broken meanwhile. None: it never was."""
    what: str
    """What was behind last, or empty."""


def caught_up(record: Record, began: float, ended: float) -> CaughtUp:
    objects, behind, broken = Objects(), "", False
    found = CaughtUp(began, began, "")
    silent = began
    for event in record.events:
        if event.at >= ended:
            break
        if event.kind not in TOLD_BY:
            continue
        if event.change == GAP:
            silent, broken = (event.at if not broken else silent), True
            continue
        objects.take(event)
        now = next(_behind(objects, record.namespace), "")
        if event.at >= began and behind and not now:
            found = CaughtUp(max(began, silent) if broken else event.at, event.at, behind)
        if not event.first:
            broken = False
        behind = now
    return CaughtUp(ended, None, behind) if behind else found


def _behind(objects: Objects, within: str) -> Iterator[str]:
    for kind in COUNTED:
        for o in objects.all(kind):
            if namespace(o) == within:
                status, wanted = o.get("status") or {}, int(o["spec"].get("replicas", 1))
                have, seen = int(status.get("readyReplicas", 0)), int(status.get("observedGeneration", 0))
                if have != wanted:
                    yield f"{kind}/{name(o)} had {have} of {wanted} ready pods"
                if seen < int(o["metadata"].get("generation", 0)):
                    yield f"{kind}/{name(o)} was not seen by its controller"
    for service in objects.all("service"):
        if namespace(service) == within and service["spec"].get("selector"):
            yield from _astray(objects, service)


def _astray(objects: Objects, service: Raw) -> Iterator[str]:
    within, selector = namespace(service), {"matchLabels": service["spec"]["selector"]}
    pods = [p for p in objects.all("pod") if namespace(p) == within and matches(selector, labels(p)) and node_of(p)]
    slices = [
        s
        for s in objects.all("endpointslice")
        if namespace(s) == within and labels(s).get(SERVICE_LABEL) == name(service)
    ]
    listed, wanted = set(ready_endpoints(slices)), {uid(p) for p in pods if ready(p)}
    if listed - wanted:
        yield f"service/{name(service)} led to pods that are not ready"
    if wanted - listed:
        yield f"service/{name(service)} did not lead to all ready pods"
