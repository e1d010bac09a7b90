"""What a HorizontalPodAutoscaler decided, by which numbers, whether its own formula says so too, and what came of it.

Pure, as all evidence. The autoscaler writes into its status what it found, what it read and what it wants, all of one
look: so a decision can be computed again from the very numbers that it was made from. Which of the newest pods it
counted is not in the status; where that matters the formula gives a range, and a decision within it is right.

Sources: kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale (algorithm details, stabilization window,
scaling policies); pkg/controller/podautoscaler/{horizontal,replica_calculator}.go.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaoskit import units
from chaoskit.contracts import Record
from chaoskit.evidence import WATCH_LAG_S
from chaoskit.model import GAP, GONE, Raw, Ref, WatchEvent
from chaoskit.objects import Objects, condition, name, namespace, ready, ready_endpoints, terminating, uid

HPA = "horizontalpodautoscaler"
TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance; nobody sets it in the embedded cluster, and a behaviour may say its own."""
UP_LIMIT_FACTOR, UP_LIMIT_LEAST = 2.0, 4.0
"""Without `behavior`, one decision at most doubles the replicas, or makes them four (horizontal.go, scaleUpLimit…)."""
DEFAULT_POLICIES = {
    "scaleUp": (
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ),
    "scaleDown": ({"type": "Percent", "value": 100, "periodSeconds": 15},),
}
"""What the API server fills in (pkg/apis/autoscaling/v2/defaults.go)."""
DEFAULT_DOWN_S, DEFAULT_INITIAL_S, DEFAULT_SYNC_S = 300.0, 300.0, 15.0
"""The controller's own, where the cluster's timings do not say: stabilisation, CPU initialisation, sync."""
LAG_S = 1.0
"""How old the pods are, at most, that the controller knows of when it decides."""
Range = tuple[int, int]
Change = Callable[[float], int]
"""By how many replicas the decisions since a moment changed the number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric as the autoscaler read it, and its target, in the same unit: `%` of the requests, or a value."""

    name: str
    usage: float
    target: float
    unit: str

    def __str__(self) -> str:
        suffix = " %" if self.unit == "%" else ""
        return f"{self.name} {self.usage:g}{suffix} of a target of {self.target:g}{suffix}"


@dataclass(frozen=True, slots=True)
class Look:
    """One status of the autoscaler, as it arrived."""

    at: float
    found: int
    wanted: int
    readings: tuple[Reading, ...]
    least: int
    most: int
    by_formula: Range | None
    """What the formula alone recommends; None where the status does not tell enough."""
    allowed: Range | None
    """The same within stabilisation, rates, minimum and maximum."""
    trouble: str = ""
    """Why it cannot decide, in its own words."""

    @property
    def decision(self) -> bool:
        """Whether it changed the number. Before it has read anything its status says that it wants none."""
        in_range = self.least <= self.found <= self.most
        return self.wanted != self.found and (bool(self.readings) or not in_range)

    @property
    def explained(self) -> bool | None:
        """Whether what it wants follows from what it read; None where that cannot be said."""
        return None if self.allowed is None else self.allowed[0] <= self.wanted <= self.allowed[1]

    @property
    def short(self) -> bool:
        """It would need more than its maximum."""
        return self.by_formula is not None and self.wanted >= self.most and self.by_formula[0] > self.most

    def as_data(self) -> dict[str, Any]:
        return {
            "at": round(self.at, 3),
            "found": self.found,
            "wanted": self.wanted,
            "read": [str(r) for r in self.readings],
            "by_formula": _text(self.by_formula),
            "allowed": _text(self.allowed),
            "explained": self.explained,
            "trouble": self.trouble,
        }


def _text(found: Range | None) -> str:
    if found is None:
        return "not known"
    return str(found[0]) if found[0] == found[1] else f"{found[0]} to {found[1]}"


@dataclass(slots=True)
class Pod:
    """When things became so for one replica of what is scaled. None: not seen."""

    name: str
    created: float
    first: bool
    """It was there when the watch began."""
    ready: float | None = None
    served: float | None = None
    """When it came among a Service's ready endpoints."""
    answered: float | None = None
    ended: float | None = None

    def as_data(self) -> dict[str, Any]:
        return {
            "pod": self.name,
            "created_s": self.created,
            "ready_s": self.ready,
            "in_endpoints_s": self.served,
            "first_answer_s": self.answered,
            "ended_s": self.ended,
        }


@dataclass(frozen=True)
class Scaling:
    """All that a run tells of one autoscaler."""

    looks: tuple[Look, ...]
    pods: tuple[Pod, ...]
    serving: tuple[tuple[float, int], ...]
    """(since, replicas among the ready endpoints), at each change."""
    scaled: tuple[tuple[float, int], ...]
    """(since, replicas that the scaled object is told to have), at each change."""

    @property
    def decisions(self) -> tuple[Look, ...]:
        return tuple(look for look in self.looks if look.decision)

    def decided(self, look: Look) -> float:
        return _decided(self.scaled, look.wanted, look.at)

    def wanted_at(self, at: float) -> int | None:
        return next((look.wanted for look in reversed(self.looks) if look.at <= at), None)

    def serving_at(self, at: float) -> int:
        return next((n for since, n in reversed(self.serving) if since <= at), 0)


def scaling(record: Record, hpa: str) -> Scaling | None:
    """None where there was no such autoscaler."""
    target = _target(record, hpa)
    if target is None:
        return None
    story = _Story(record, hpa, target)
    for event in record.events:
        if event.change != GAP and namespace(event.object) == record.namespace:
            story.take(event)
    return story.told()


def _target(record: Record, hpa: str) -> Ref | None:
    """What the autoscaler scales, as it said last: the watch may tell of that before it tells of the autoscaler."""
    for event in reversed(record.events):
        o = event.object
        if event.kind == HPA and event.change != GAP and namespace(o) == record.namespace and name(o) == hpa:
            named = o["spec"]["scaleTargetRef"]
            return Ref(str(named["kind"]).lower(), str(named["name"]))
    return None


# ── replaying the watch ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Story:
    """The events taken in so far."""

    record: Record
    hpa: str
    target: Ref
    _objects: Objects = field(default_factory=Objects)
    _looks: list[Look] = field(default_factory=list)
    _pods: dict[str, Pod] = field(default_factory=dict)
    _slices: dict[str, frozenset[str]] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    """When each endpoint was first seen among the ready ones: slices and pods come by two watches."""
    _serving: list[tuple[float, int]] = field(default_factory=list)
    _scaled: list[tuple[float, int]] = field(default_factory=list)

    def take(self, event: WatchEvent) -> None:
        at, o, is_gone = event.at, event.object, event.change == GONE
        self._objects.take(event)
        if event.kind == "pod":
            self._take_pod(event)
        elif event.kind == "endpointslice":
            self._slices[uid(o)] = frozenset() if is_gone else frozenset(ready_endpoints([o]))
            for pod_uid in self._slices[uid(o)]:
                self._since.setdefault(pod_uid, at)
        elif event.kind == HPA and name(o) == self.hpa and not is_gone:
            self._take_status(at, o)
        elif event.kind == self.target.kind and name(o) == self.target.name and not is_gone:
            _changed(self._scaled, at, int(o["spec"].get("replicas", 1)))
        if event.kind in ("pod", "endpointslice", self.target.kind):
            self._count(at)

    def _take_pod(self, event: WatchEvent) -> None:
        at, o, is_gone = event.at, event.object, event.change == GONE
        pod = self._pods.setdefault(uid(o), Pod(name(o), at, event.first))
        if pod.ready is None and ready(o) and not is_gone:
            pod.ready = at
        if pod.ended is None and (is_gone or terminating(o)):
            pod.ended = at

    def _count(self, at: float) -> None:
        served = frozenset().union(*self._slices.values())
        if self._slices and self._objects.named(self.target.kind, self.target.name, self.record.namespace):
            _changed(self._serving, at, len(served & {uid(p) for p in self._mine()}))

    def _mine(self) -> list[Raw]:
        return self._objects.pods_of(self.target, self.record.namespace) or []

    def _take_status(self, at: float, o: Raw) -> None:
        status = o.get("status") or {}
        if "desiredReplicas" in status and "currentReplicas" in status:
            look = self._look(at, o)
            if not self._looks or _shown(look) != _shown(self._looks[-1]):
                self._looks.append(look)

    def _look(self, at: float, o: Raw) -> Look:
        spec, status = o["spec"], o["status"]
        rules = _rules(spec, self.record.info.timings)
        readings = tuple(_readings(spec, status))
        found, wanted = int(status["currentReplicas"]), int(status["desiredReplicas"])
        whole = bool(readings) and len(readings) == len(spec.get("metrics") or ())
        counted = self._counted(_decided(self._scaled, wanted, at), rules)
        by_formula = _formula(readings, found, counted, rules) if whole else None
        allowed = rules.normal(by_formula, found, at, self._looks, self._change) if by_formula else None
        trouble = "" if condition(o, "ScalingActive") else _message(o, "ScalingActive")
        return Look(at, found, wanted, readings, rules.least, rules.most, by_formula, allowed, trouble)

    def _change(self, since: float) -> int:
        """Replicas added less those taken away, by the decisions since a moment."""
        return sum(look.wanted - look.found for look in self._looks if look.decision and look.at >= since)

    def _counted(self, at: float, rules: Rules) -> Range:
        """(pods that it surely counted, pods that there were) when it decided. A young one is counted once its metrics
        cover a window after it became ready (replica_calculator.go, groupPods); of one that ended just before it may
        not have known."""
        sure = possible = 0
        for o in self._mine():
            pod = self._pods.get(uid(o))
            if pod is None:
                continue
            if pod.created > at or (pod.ended is not None and pod.ended < at - LAG_S):
                continue
            possible += 1
            old = pod.first or at - pod.created > rules.initial_s + LAG_S
            sure += old and pod.ready is not None and (pod.ended is None or pod.ended >= at - WATCH_LAG_S)
        return sure, possible

    def told(self) -> Scaling:
        answered = _first_answers(self.record)
        mine = {uid(p) for p in self._mine()}
        # Those that are gone by the end are known by their names, which begin with that of what is scaled.
        prefix = f"{self.target.name}-"
        kept = [(key, pod) for key, pod in self._pods.items() if key in mine or pod.name.startswith(prefix)]
        for key, pod in kept:
            pod.served, pod.answered = self._since.get(key), answered.get(pod.name)
        pods = tuple(pod for _, pod in kept)
        return Scaling(tuple(self._looks), pods, tuple(self._serving), tuple(self._scaled))


def _decided(scaled: Iterable[tuple[float, int]], wanted: int, at: float) -> float:
    """When a decision was made: the scaled object is told first, the autoscaler's status is written after it."""
    return min((told for told, n in scaled if n == wanted and at - LAG_S <= told <= at), default=at)


def _shown(look: Look) -> tuple[int, int, tuple[Reading, ...], str]:
    return look.found, look.wanted, look.readings, look.trouble


def _changed(curve: list[tuple[float, int]], at: float, value: int) -> None:
    if not curve or curve[-1][1] != value:
        curve.append((at, value))


def _first_answers(record: Record) -> dict[str, float]:
    found: dict[str, float] = {}
    for sample in (*record.pulse, *record.locust):
        if sample.ok:
            pod = sample.answerer.split("|", 1)[0]
            found[pod] = min(sample.end, found.get(pod, math.inf))
    return found


def _message(o: Raw, kind: str) -> str:
    found = (c for c in (o.get("status") or {}).get("conditions") or () if c.get("type") == kind)
    return next((f"{c.get('reason', '')}: {c.get('message', '')}" for c in found if c.get("status") == "False"), "")


# ── what it read ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _readings(spec: Raw, status: Raw) -> Iterator[Reading]:
    """The metrics of its resources that it has a target for and has read. Others (Pods, Object, External) by their
    average alone."""
    for wanted, read in itertools.zip_longest(spec.get("metrics") or (), status.get("currentMetrics") or ()):
        if not wanted or not read or wanted["type"] != read.get("type"):
            continue
        part = wanted["type"][0].lower() + wanted["type"][1:]
        target, current = wanted[part]["target"], read[part].get("current") or {}
        label = str(wanted[part].get("name") or (wanted[part].get("metric") or {}).get("name", ""))
        if target.get("type") == "Utilization" and "averageUtilization" in current:
            yield Reading(label, float(current["averageUtilization"]), float(target["averageUtilization"]), "%")
        elif target.get("type") == "AverageValue" and "averageValue" in current:
            yield Reading(label, _number(current["averageValue"]), _number(target["averageValue"]), "")


def _number(quantity: object) -> float:
    """A Kubernetes quantity: `250m`, `64Mi`, `1.5`."""
    text = str(quantity)
    if text.endswith("m"):
        return float(text[:-1]) / 1000
    return units.quantity(text)[0]


# ── the formula ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rules:
    """What bounds an autoscaler's decisions, from its spec and the platform's timings."""

    least: int
    most: int
    up_s: float
    down_s: float
    up: Sequence[Mapping[str, Any]] | None
    """Policies of scaling up; None: no `behavior` at all, so the older limits."""
    down: Sequence[Mapping[str, Any]] | None
    up_by: str
    down_by: str
    up_tolerance: float
    down_tolerance: float
    initial_s: float
    sync_s: float

    def within(self, ratio: float) -> bool:
        """replica_calculator.go, Tolerances.isWithin."""
        return 1.0 - self.down_tolerance <= ratio <= 1.0 + self.up_tolerance

    def normal(self, wanted: Range, found: int, at: float, before: Sequence[Look], change: Change) -> Range:
        """What may come of the formula's recommendation: stabilised, then bounded by rates and by the range."""
        if not self.least <= found <= self.most:
            edge = min(max(found, self.least), self.most)
            return edge, edge
        low, high = self._stable(wanted, found, at, before)
        return self._bounded(low, found, at, change), self._bounded(high, found, at, change)

    def _stable(self, wanted: Range, found: int, at: float, before: Sequence[Look]) -> Range:
        """horizontal.go, stabilizeRecommendationWithBehaviors: the lowest of the recent recommendations on the way up,
        the highest on the way down. What the window's edge cuts may count or not."""
        ups_sure, ups = _recent(before, at - self.up_s, self.sync_s) if self.up_s else ([], [])
        downs_sure, downs = _recent(before, at - self.down_s, self.sync_s) if self.down_s else ([], [])
        low = _clamped(found, min(a for a, _ in [wanted, *ups]), max(a for a, _ in [wanted, *downs_sure]))
        high = _clamped(found, min(b for _, b in [wanted, *ups_sure]), max(b for _, b in [wanted, *downs]))
        return min(low, high), max(low, high)

    def _bounded(self, wanted: int, found: int, at: float, change: Change) -> int:
        if wanted > found:
            rate = max(found, self._rate(self.up, self.up_by, found, at, change, up=True))
            return min(wanted, self.most, rate)
        if wanted < found:
            rate = min(found, self._rate(self.down, self.down_by, found, at, change, up=False))
            return max(wanted, self.least, rate)
        return found

    def _rate(
        self,
        policies: Sequence[Mapping[str, Any]] | None,
        by: str,
        found: int,
        at: float,
        change: Change,
        *,
        up: bool,
    ) -> int:
        """horizontal.go, calculateScaleUpLimitWithScalingRules and …DownLimitWithBehaviors."""
        if by == "Disabled":
            return found
        if policies is None:
            return int(max(UP_LIMIT_FACTOR * found, UP_LIMIT_LEAST)) if up else 0
        sign = 1 if up else -1
        limits = []
        for policy in policies:
            start = found - change(at - float(policy["periodSeconds"]))
            value = float(policy["value"])
            if policy["type"] == "Pods":
                limits.append(start + sign * value)
            else:
                limits.append(math.ceil(start * (1 + value / 100)) if up else int(start * (1 - value / 100)))
        furthest = max if (by != "Min") == up else min
        return int(furthest(limits))


def _rules(spec: Raw, timings: Mapping[str, float]) -> Rules:
    behaviour = spec.get("behavior")
    up, down = ((behaviour or {}).get(way) or {} for way in ("scaleUp", "scaleDown"))
    stable = timings.get("hpa_downscale_stabilization", DEFAULT_DOWN_S)
    return Rules(
        least=int(spec.get("minReplicas", 1)),
        most=int(spec["maxReplicas"]),
        up_s=float(up.get("stabilizationWindowSeconds") or 0),
        down_s=float(down.get("stabilizationWindowSeconds", stable)),
        up=None if behaviour is None else up.get("policies") or DEFAULT_POLICIES["scaleUp"],
        down=None if behaviour is None else down.get("policies") or DEFAULT_POLICIES["scaleDown"],
        up_by=str(up.get("selectPolicy") or "Max"),
        down_by=str(down.get("selectPolicy") or "Max"),
        up_tolerance=_number(up.get("tolerance", TOLERANCE)),
        down_tolerance=_number(down.get("tolerance", TOLERANCE)),
        initial_s=timings.get("hpa_cpu_initialization_period", DEFAULT_INITIAL_S),
        sync_s=timings.get("hpa_sync_period", DEFAULT_SYNC_S),
    )


def _clamped(found: int, up: int, down: int) -> int:
    return min(max(found, up), down)


def _recent(before: Sequence[Look], since: float, doubt_s: float) -> tuple[list[Range], list[Range]]:
    """The recommendations (surely, possibly) made since a moment. A status is written only when something changed: the
    last one before the moment held on into the window."""
    sure = [look.by_formula for look in before if look.by_formula and look.at > since + doubt_s]
    older = [look.by_formula for look in before if look.by_formula and look.at <= since - doubt_s]
    edge = [look.by_formula for look in before if look.by_formula and since - doubt_s < look.at <= since + doubt_s]
    return sure, [*older[-1:], *edge, *sure]


def _formula(readings: Iterable[Reading], found: int, counted: Range, rules: Rules) -> Range:
    """The recommendation of all metrics: the largest of theirs."""
    each = [_of_metric(reading, found, counted, rules) for reading in readings]
    return max(low for low, _ in each), max(high for _, high in each)


def _of_metric(reading: Reading, found: int, counted: Range, rules: Rules) -> Range:
    """The least and the most that ceil(replicas × usage / target) can be, over the pods that it may have counted."""
    sure, there = counted
    outcomes = [
        outcome
        for number in range(max(1, sure), max(1, there) + 1)
        for outcome in _outcomes(reading, found, number, max(1, there), rules)
    ]
    return min(outcomes), max(outcomes)


def _outcomes(reading: Reading, found: int, number: int, there: int, rules: Rules) -> Iterator[int]:
    """replica_calculator.go, GetResourceReplicas, with `number` of `there` pods counted: those that are not count as
    idle on the way up, and on the way down not at all, or as using all that they ask for."""
    ratio = reading.usage / reading.target
    if number == there or ratio <= 1.0:
        yield found if rules.within(ratio) else math.ceil(ratio * number - 1e-9)
    if number == there:
        return
    idle = 0.0 if ratio > 1.0 else max(100.0, reading.target) if reading.unit == "%" else reading.target
    # A utilisation is a whole percentage, cut off: it stands for all values up to the next one.
    for usage in (reading.usage, reading.usage + (1.0 if reading.unit == "%" else 0.0)):
        mean = (usage * number + idle * (there - number)) / there
        new = (math.floor(mean) if reading.unit == "%" else mean) / reading.target
        turned = (new - 1.0) * (ratio - 1.0) < 0
        size = math.ceil(new * there - 1e-9)
        back = size > found if new < 1.0 else size < found
        yield found if rules.within(new) or turned or back else size
