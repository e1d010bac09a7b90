"""Objects of the cluster over time, from watch events: pods and nodes as stretches of states, workloads, events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaoskit.contracts import Record
from chaoskit.model import GAP, GONE, Raw, WatchEvent
from chaoskit.objects import condition, labels, name, namespace, node_of, ready, restarts, terminating, uid

POD_STATES = ("ready", "not ready", "starting", "pending", "terminating", "ended")
NODE_STATES = ("ready", "not ready", "cordoned")
_WORSE = ("ready", "ended", "starting", "pending", "terminating", "cordoned", "not ready")
MOST_STRETCHES = 40
"""A lane with more stretches than this is drawn coarser: each of so many slots shows the worst state in it."""


@dataclass(frozen=True, slots=True)
class Stay:
    """An object in one state for a while."""

    began: float
    ended: float
    state: str


@dataclass(slots=True)
class Lane:
    """The life of one object, as far as it was watched."""

    uid: str
    name: str
    group: str = ""
    node: str = ""
    stays: list[Stay] = field(default_factory=list)
    restarted: list[tuple[float, int]] = field(default_factory=list)
    gone: bool = False

    @property
    def quiet(self) -> bool:
        """Nothing happened to it after it had become ready."""
        after = [s for s in self.stays if s.state not in ("pending", "starting")]
        return len(after) == 1 and after[0].state == "ready" and not self.restarted

    def state_at(self, at: float) -> str:
        return next((s.state for s in self.stays if s.began <= at < s.ended), "")


# ── pods and nodes ───────────────────────────────────────────────────────────────────────────────────────────────────


def pods(record: Record) -> list[Lane]:
    """The lanes of the run's namespace, in the order in which the pods appeared."""
    found: dict[str, Lane] = {}
    counts: dict[str, int] = {}
    for event in _of(record, "pod"):
        pod = event.object
        if namespace(pod) != record.namespace:
            continue
        lane = found.setdefault(uid(pod), Lane(uid(pod), name(pod), workload_of(pod)))
        lane.node = node_of(pod) or lane.node
        if event.change != GONE and restarts(pod) > counts.get(uid(pod), 0) and lane.stays:
            lane.restarted.append((event.at, restarts(pod)))
        counts[uid(pod)] = restarts(pod)
        _enter(lane, event, record.ended, pod_state(pod, lane))
    return [_coarse(lane) for lane in found.values()]


def nodes(record: Record) -> list[Lane]:
    found: dict[str, Lane] = {}
    for event in _of(record, "node"):
        node = event.object
        lane = found.setdefault(uid(node) or name(node), Lane(uid(node), name(node)))
        _enter(lane, event, record.ended, node_state(node))
    return sorted((_coarse(lane) for lane in found.values()), key=lambda lane: lane.name)


def pod_state(pod: Raw, lane: Lane) -> str:
    if terminating(pod):
        return "terminating"
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return "ended"
    if ready(pod):
        return "ready"
    if not node_of(pod):
        return "pending"
    return "not ready" if any(s.state in ("ready", "not ready") for s in lane.stays) else "starting"


def node_state(node: Raw) -> str:
    if not condition(node, "Ready"):
        return "not ready"
    return "cordoned" if (node.get("spec") or {}).get("unschedulable") else "ready"


def _of(record: Record, kind: str) -> Iterable[WatchEvent]:
    return (e for e in record.events if e.kind == kind and e.change != GAP and e.object.get("metadata"))


def _enter(lane: Lane, event: WatchEvent, end: float, state: str) -> None:
    """The object is in `state` from this event on, until another one says otherwise."""
    last = lane.stays[-1] if lane.stays else None
    if event.change == GONE:
        lane.gone = True
        if last:
            lane.stays[-1] = Stay(last.began, event.at, last.state)
        return
    if last and last.state == state:
        return
    if last:
        lane.stays[-1] = Stay(last.began, event.at, last.state)
    lane.stays.append(Stay(event.at, max(end, event.at), state))


def _coarse(lane: Lane) -> Lane:
    if len(lane.stays) <= MOST_STRETCHES:
        return lane
    first, last = lane.stays[0].began, lane.stays[-1].ended
    slot = (last - first) / MOST_STRETCHES
    slots = [(first + i * slot, first + (i + 1) * slot) for i in range(MOST_STRETCHES)]
    lane.stays = [Stay(began, ended, _worst_in(lane.stays, began, ended)) for began, ended in slots]
    return lane


def _worst_in(stays: Sequence[Stay], began: float, ended: float) -> str:
    return max((s.state for s in stays if s.began < ended and s.ended > began), key=_WORSE.index, default="ended")


# ── workloads ────────────────────────────────────────────────────────────────────────────────────────────────────────


def workload_of(pod: Raw) -> str:
    """`deployment/front`: the workload that people know; a ReplicaSet's name is its Deployment's and a hash."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            kind, named = str(owner.get("kind", "")).lower(), str(owner.get("name", ""))
            hashed = f"-{labels(pod).get('pod-template-hash', '')}"
            if kind == "replicaset" and len(hashed) > 1 and named.endswith(hashed):
                return f"deployment/{named.removesuffix(hashed)}"
            return f"{kind}/{named}"
    return "pods of no workload"


@dataclass(frozen=True, slots=True)
class Workload:
    """How many replicas were wanted and ready, each from a moment on."""

    name: str
    wanted: tuple[tuple[float, int], ...]
    ready: tuple[tuple[float, int], ...]
    scaling: str = ""
    """What its autoscaler may choose, if it has one."""
    scaler: str = ""
    """The autoscaler's name."""


def workloads(record: Record, lanes: Sequence[Lane]) -> dict[str, Workload]:
    """By name, in alphabetical order. Ready ones are counted from the pods themselves: a workload's status lags."""
    wanted = _wanted(record)
    scaling = _scaling(record)
    groups = sorted({lane.group for lane in lanes})
    return {
        group: Workload(
            group,
            tuple(wanted.get(group, ())),
            tuple(_ready_counts([lane for lane in lanes if lane.group == group])),
            *scaling.get(group, ("", "")),
        )
        for group in groups
    }


def _wanted(record: Record) -> dict[str, list[tuple[float, int]]]:
    found: dict[str, list[tuple[float, int]]] = {}
    for kind in ("deployment", "statefulset", "daemonset", "replicaset"):
        for event in _of(record, kind):
            if namespace(event.object) != record.namespace:
                continue
            curve = found.setdefault(f"{kind}/{name(event.object)}", [])
            number = 0 if event.change == GONE else _wanted_by(event.object)
            if not curve or curve[-1][1] != number:
                curve.append((event.at, number))
    return found


def _wanted_by(workload: Raw) -> int:
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    return int(status.get("desiredNumberScheduled", spec.get("replicas", 1)) or 0)


def _ready_counts(lanes: Sequence[Lane]) -> list[tuple[float, int]]:
    changes = [(s.began, 1) for lane in lanes for s in lane.stays if s.state == "ready"]
    changes += [(s.ended, -1) for lane in lanes for s in lane.stays if s.state == "ready"]
    last = max((s.ended for lane in lanes for s in lane.stays), default=0.0)
    curve, number = [(min((s.began for lane in lanes for s in lane.stays), default=0.0), 0)], 0
    for at, change in sorted(changes):
        number += change
        if at < last:
            curve.append((at, number))
    return curve


def _scaling(record: Record) -> dict[str, tuple[str, str]]:
    """(what it may choose, name) of each autoscaler of the run's namespace, by what it scales."""
    found = {}
    for event in _of(record, "horizontalpodautoscaler"):
        if namespace(event.object) != record.namespace:
            continue
        spec = event.object.get("spec") or {}
        target = spec.get("scaleTargetRef") or {}
        named = f"{str(target.get('kind', '')).lower()}/{target.get('name', '')}"
        range_ = f"{spec.get('minReplicas', 1)} to {spec.get('maxReplicas', '?')} replicas"
        found[named] = (f"autoscaler: {range_}", name(event.object))
    return found


# ── the cluster's own events ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Said:
    """An Event object: what a component of the cluster reported."""

    at: float
    warning: bool
    reason: str
    about: str
    message: str
    count: int


def reported(record: Record) -> list[Said]:
    """The events by first arrival; a repeated one is told once, with its last count and message."""
    found: dict[str, Said] = {}
    for event in _of(record, "event"):
        if event.change == GONE:
            continue
        said = _said(event)
        before = found.get(uid(event.object))
        at = before.at if before else said.at
        found[uid(event.object)] = Said(at, said.warning, said.reason, said.about, said.message, said.count)
    return sorted(found.values(), key=lambda s: s.at)


def _said(event: WatchEvent) -> Said:
    body: Any = event.object
    about = body.get("involvedObject") or body.get("regarding") or {}
    series = body.get("series") or {}
    return Said(
        event.at,
        body.get("type") == "Warning",
        str(body.get("reason", "")),
        f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}",
        str(body.get("message") or body.get("note") or ""),
        int(series.get("count") or body.get("count") or body.get("deprecatedCount") or 1),
    )
