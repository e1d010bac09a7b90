"""What becomes of the pods of a lost node: who was on it, when Kubernetes' own timings let them be replaced, and how
the ready pods of a workload are spread over nodes and zones. Pure, as all evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaoskit import units
from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.model import GONE, Raw, Ref, Target, WatchEvent
from chaoskit.objects import (
    HOSTNAME_LABEL,
    ZONE_LABEL,
    Objects,
    condition,
    controller,
    labels,
    matches,
    name,
    namespace,
    node_of,
    ready,
    terminating,
    uid,
)

UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
"""What the node controller puts on a node that is silent (pkg/controller/nodelifecycle)."""
RENEWALS = 4
"""A kubelet renews its lease each quarter of the lease's duration (pkg/kubelet, nodeLeaseRenewIntervalFraction)."""
GRACE = ("node_monitor_grace_period", "node-monitor-grace-period")
LEASE = ("node_lease_duration", "node-lease-duration-seconds")
MONITOR = ("node_monitor_period", "node-monitor-period")
TOLERATION = ("unreachable_toleration", "default-unreachable-toleration-seconds")
"""The settings, as chaoskit's own clusters and Kubernetes' flags call them."""


def state_at(events: Iterable[WatchEvent], at: float) -> Objects:
    """All that the watch had told by a moment."""
    found = Objects()
    for event in events:
        if event.at > at:
            break
        found.take(event)
    return found


# ── who was on a node that was lost ──────────────────────────────────────────────────────────────────────────────────


def lost_pods(record: Record, step: StepRecord) -> tuple[Act, ...]:
    """The loss of each pod that was on a node when the step took that node away: the act on the node, with the pod as
    its target. A node was lost if it was seen to be Ready no more within the step: a cordoned or drained one was not.
    Pods of DaemonSets are not meant to be replaced elsewhere."""
    found = []
    for act in step.acts:
        if act.target.kind == "node" and _was_lost(record, step, act):
            there = state_at(record.events, act.ordered)
            for pod in there.pods_on(act.target.name):
                if namespace(pod) == record.namespace and _is_to_be_replaced(pod):
                    target = Target("pod", name(pod), namespace(pod), uid(pod), act.target.name)
                    found.append(replace(act, target=target))
    return tuple(found)


def _was_lost(record: Record, step: StepRecord, act: Act) -> bool:
    ended = step.ended if step.ended is not None else record.ended
    return any(
        event.kind == "node"
        and act.ordered < event.at <= ended
        and uid(event.object) == act.target.uid
        and (event.change == GONE or not condition(event.object, "Ready"))
        for event in record.events
        if event.object
    )


def _is_to_be_replaced(pod: Raw) -> bool:
    finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not finished and not terminating(pod) and controller(pod)[0] != "daemonset"


# ── how long pods stay on a node that is drained ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Stay:
    """One pod of a node that is drained: how long after the act it left (None: it did not), and the name of a
    disruption budget that covers it and allowed no disruption when it was last seen (empty: there was none)."""

    pod: str
    node: str
    seconds: float | None
    budget: str


def stays(record: Record, act: Act, ended: float) -> tuple[Stay, ...]:
    """The pods that a drain has to move from the node that the act closed."""
    there, after = state_at(record.events, act.ordered), state_at(record.events, ended)
    moved = [p for p in there.pods_on(act.target.name) if namespace(p) == record.namespace and _is_to_be_replaced(p)]
    left = {uid(e.object): e.at for e in record.events if e.kind == "pod" and e.change == GONE and e.at <= ended}
    closed = act.accepted if act.accepted is not None else act.ordered
    return tuple(
        Stay(name(pod), act.target.name, max(0.0, left[uid(pod)] - closed), "")
        if uid(pod) in left
        else Stay(name(pod), act.target.name, None, _closed_budget(after, pod))
        for pod in moved
    )


def _closed_budget(there: Objects, pod: Raw) -> str:
    for budget in there.all("poddisruptionbudget"):
        covers = namespace(budget) == namespace(pod) and matches(budget["spec"].get("selector") or {}, labels(pod))
        if covers and not int(budget.get("status", {}).get("disruptionsAllowed", 0)):
            return name(budget)
    return ""


# ── what the platform's timings predict ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Prediction:
    """When the replacement of a pod on a silent node should serve, in seconds from the fault: at the earliest, at the
    latest, and of what that is the sum."""

    noticed: tuple[float, float]
    """The node's silence, by the grace period: the last sign of life may be one renewal old when the fault comes."""
    tolerated: float
    """How long the pod says it stays on such a node; infinity: for ever."""
    start: tuple[float, float] | None
    """What pods of its owner took from creation to readiness earlier in the run; None: none was seen."""

    @property
    def span(self) -> tuple[float, float]:
        start = self.start or (0.0, 0.0)
        return self.noticed[0] + self.tolerated + start[0], self.noticed[1] + self.tolerated + start[1]

    def __str__(self) -> str:
        if math.isinf(self.tolerated):
            return "predicted: never, for it tolerates a dead node without end"
        start = "an unknown start" if self.start is None else f"start {_between(self.start)}"
        return (
            f"predicted {_between(self.span)}: noticed {_between(self.noticed)}, "
            f"tolerated {units.exact(self.tolerated, 's')}, {start}"
        )

    def as_data(self) -> dict[str, Any]:
        tolerated = None if math.isinf(self.tolerated) else self.tolerated
        span = None if tolerated is None else self.span
        return {"noticed": self.noticed, "tolerated": tolerated, "start": self.start, "span": span}


def predictions(record: Record, step: StepRecord) -> dict[str, Prediction]:
    """By the name of each pod that was on a lost node. Empty where the platform's timings are not known."""
    timings = record.info.timings
    grace = _setting(timings, GRACE)
    if grace is None:
        return {}
    renewal = (_setting(timings, LEASE) or 0.0) / RENEWALS
    noticed = (max(0.0, grace - renewal), grace + (_setting(timings, MONITOR) or 0.0))
    usual = _setting(timings, TOLERATION) or 0.0
    there, took = state_at(record.events, step.began), _starts(record, step.began)
    found = {}
    for act in lost_pods(record, step):
        pod = there.by_uid("pod", act.target.uid)
        if pod is not None:
            found[name(pod)] = Prediction(noticed, tolerated_s(pod, usual), took.get(_family(pod)))
    return found


def tolerated_s(pod: Raw, usual: float) -> float:
    """How long a pod stays on a silent node. An API server writes the `usual` time into pods that say nothing
    (plugin/pkg/admission/defaulttolerationseconds)."""
    waits = [
        float(toleration.get("tolerationSeconds", math.inf))
        for toleration in pod["spec"].get("tolerations") or ()
        if toleration.get("key") in (None, "", UNREACHABLE_TAINT)
        and toleration.get("effect") in (None, "", "NoExecute")
    ]
    return min(waits, default=usual)


def _setting(timings: Mapping[str, float], names: Sequence[str]) -> float | None:
    return next((timings[key] for key in names if key in timings), None)


def _starts(record: Record, until: float) -> dict[str, tuple[float, float]]:
    """(shortest, longest) time from a pod's creation to its readiness, by owner, as far as the watch saw both."""
    seen: dict[str, float] = {}
    took: dict[str, list[float]] = {}
    readied: set[str] = set()
    for event in record.events:
        if event.at > until:
            break
        if event.kind != "pod" or not event.object:
            continue
        pod, key = event.object, uid(event.object)
        if not event.first:
            seen.setdefault(key, event.at)
        if ready(pod) and key not in readied:
            readied.add(key)
            if key in seen and not event.first:
                took.setdefault(_family(pod), []).append(event.at - seen[key])
    return {family: (min(times), max(times)) for family, times in took.items()}


def _family(pod: Raw) -> str:
    """Pods with the same owner start alike."""
    return controller(pod)[1] or uid(pod)


def _between(span: tuple[float, float]) -> str:
    low, high = (units.show(seconds, "s") for seconds in span)
    return low if low == high else f"{low} to {high}"


# ── how pods are spread ──────────────────────────────────────────────────────────────────────────────────────────────

DOMAINS = {"node": HOSTNAME_LABEL, "zone": ZONE_LABEL}


@dataclass(frozen=True, slots=True)
class Spread:
    """How many ready pods of a workload each domain held at a moment. A domain counts if it has a node that could take
    pods then (Ready, schedulable, without a taint that keeps pods off), or holds one."""

    at: float
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def skew(self) -> int:
        """By how many pods the fullest and the emptiest domain differ."""
        return max(self.counts.values(), default=0) - min(self.counts.values(), default=0)

    @property
    def alone(self) -> str:
        """The domain that holds all of several pods while others could hold some, or empty."""
        holding = [domain for domain, pods in self.counts.items() if pods]
        return holding[0] if self.total > 1 and len(holding) == 1 and len(self.counts) > 1 else ""

    def __str__(self) -> str:
        return ", ".join(f"{domain} {pods}" for domain, pods in sorted(self.counts.items()))


def spreads(record: Record, of: Ref, over: str, began: float, ended: float) -> Iterator[Spread]:
    """How the pods are spread when the window begins, and after each change in it."""
    known = Objects()
    before: Spread | None = None
    for event in record.events:
        if event.at > ended:
            break
        if event.at > began and before is None:
            before = spread_of(known, record.namespace, of, over, began)
            yield before
        known.take(event)
        if event.at > began and event.kind in ("pod", "node", of.kind):
            now = spread_of(known, record.namespace, of, over, event.at)
            if before is None or now.counts != before.counts:
                before = now
                yield now
    if before is None:
        yield spread_of(known, record.namespace, of, over, began)


def spread_of(known: Objects, within: str, of: Ref, over: str, at: float) -> Spread:
    domains = {name(node): labels(node).get(DOMAINS[over], name(node)) for node in known.all("node")}
    counts = {domains[name(node)]: 0 for node in known.all("node") if _takes_pods(node)}
    for pod in known.pods_of(of, within) or ():
        if ready(pod):
            domain = domains.get(node_of(pod), node_of(pod))
            counts[domain] = counts.get(domain, 0) + 1
    return Spread(at, counts)


def _takes_pods(node: Raw) -> bool:
    taints = node["spec"].get("taints") or ()
    kept_off = any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in taints)
    return condition(node, "Ready") and not node["spec"].get("unschedulable") and not kept_off
