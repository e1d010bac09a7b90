"""From watch events to the story of one rollout: replicas asked for, pods ready, sizes of the sets, by the moment.

Pure, like `evidence`: a Record in, timelines out. How many pods may be missing or too many follows from the strategy as
the Deployment controller computes it (Kubernetes 1.37: pkg/controller/deployment/util/deployment_util.go).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaoskit import evidence
from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.model import GAP, GONE, Raw, Target, WatchEvent
from chaoskit.objects import annotation, controller, node_of, ready, uid
from chaoskit.samples import Sample

REVISION = "deployment.kubernetes.io/revision"
DEFAULT_SHARE = "25%"
"""Of both maxSurge and maxUnavailable (pkg/apis/apps/v1/defaults.go)."""
BIN_S = 1.0
CHANGING = ("roll_out", "roll_back", "scale")
"""Verbs that make a Deployment want something else: what follows is theirs, not the rollout's before."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the strategy allows: at least so many available pods, at most so many in all."""

    least: int
    most: int


def bounds(deployment: Raw) -> Bounds:
    """Shares are rounded up for the surge and down for the unavailable; where both come to 0, one may be unavailable
    (ResolveFenceposts). With Recreate there is no floor, and never more than wanted."""
    wanted, strategy = _wanted(deployment), deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Bounds(0, wanted)
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", DEFAULT_SHARE), wanted, up=True)
    unavailable = _share(rolling.get("maxUnavailable", DEFAULT_SHARE), wanted, up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Bounds(max(0, wanted - unavailable), wanted + surge)


def told(deployment: Raw) -> str:
    """The strategy in words."""
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return "Recreate"
    rolling = strategy.get("rollingUpdate") or {}
    unavailable, surge = (rolling.get(key, DEFAULT_SHARE) for key in ("maxUnavailable", "maxSurge"))
    return f"maxUnavailable {unavailable}, maxSurge {surge} of {_wanted(deployment)}"


def _share(value: int | str, of: int, *, up: bool) -> int:
    """An int-or-percent (apimachinery, intstr.GetScaledValueFromIntOrPercent), in whole numbers throughout."""
    if isinstance(value, str) and value.endswith("%"):
        hundredths = int(value[:-1]) * of
        return -(-hundredths // 100) if up else hundredths // 100
    return int(value)


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stood from `at` on."""

    at: float
    ready: int
    """Pods that are ready and not on their way out."""
    new: int
    """Those of them that are of the newest template."""
    sized: int
    """What all its ReplicaSets are to hold together: the surge is counted by this, as the controller does."""
    least: int
    """The fewest pods that may be ready: less those that other steps hit and that are not made up for yet."""
    most: int
    hit: int = 0
    """How many pods other steps took that are not made up for yet."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout, from the change of the template to its end, or to the end of what was seen of it."""

    began: float
    uncertainty: float
    ended: float | None
    """When the controller reported it complete."""
    until: float
    """What was seen reaches to here: its end, the next change of the same Deployment, or the end of the watching."""
    moments: tuple[Moment, ...]
    strategy: str
    updated: int
    """Pods of the new template that are ready at the end."""
    wanted: int
    given_up: float | None
    """When Kubernetes called it stuck (ProgressDeadlineExceeded)."""
    deadline_s: int | None

    @property
    def lasting(self) -> tuple[Moment, ...]:
        """Without the moments that are over sooner than events of two kinds may arrive in another order."""
        edges = [*(m.at for m in self.moments[1:]), self.until]
        return tuple(m for m, end in zip(self.moments, edges, strict=True) if end - m.at >= evidence.WATCH_LAG_S)

    def below(self, floor: Callable[[Moment], int]) -> tuple[Moment | None, float]:
        """(the moment at which most was missing, seconds below the floor in all); None: at no time."""
        short = [m for m in self.lasting if m.ready < floor(m)]
        edges = {
            m.at: end for m, end in zip(self.moments, [*(m.at for m in self.moments[1:]), self.until], strict=True)
        }
        worst = max(short, key=lambda m: floor(m) - m.ready, default=None)
        return worst, sum(edges[m.at] - m.at for m in short)

    @property
    def above(self) -> Moment | None:
        """The moment with most replicas beyond what may be; None: at no time."""
        over = [m for m in self.lasting if m.sized > m.most]
        return max(over, key=lambda m: m.sized - m.most, default=None)


@dataclass(slots=True)
class _Scene:
    """The Deployment, its sets and its pods as the events so far tell them."""

    newest: str
    """UID of the set of the template that is rolled out."""
    sets: dict[str, Raw] = field(default_factory=dict)
    pods: dict[str, Raw] = field(default_factory=dict)
    deployment: Raw | None = None
    lowest: int | None = None
    """The fewest replicas wanted since the rollout began: a Deployment that was scaled up needs time to get there."""
    highest: int = 0
    hit: set[str] = field(default_factory=set)
    fallen: set[str] = field(default_factory=set)
    """Those of them that were seen to be ready, and then no more: it may be told late that one had got so far."""

    def take(self, event: WatchEvent) -> None:
        kept = {"replicaset": self.sets, "pod": self.pods}.get(event.kind)
        if kept is None:
            self.deployment = event.object
            return
        key = uid(event.object)
        was_up = self._is_up(key)
        if event.change == GONE:
            kept.pop(key, None)
        else:
            kept[key] = event.object
        if key in self.hit and was_up and not self._is_up(key):
            self.fallen.add(key)

    def _is_up(self, key: str) -> bool:
        return key in self.pods and ready(self.pods[key])

    def moment(self, at: float) -> Moment | None:
        if self.deployment is None:
            return None
        wanted = _wanted(self.deployment)
        self.lowest = wanted if self.lowest is None else min(self.lowest, wanted)
        self.highest = max(self.highest, wanted)
        least = bounds(_of_size(self.deployment, self.lowest)).least
        most = bounds(_of_size(self.deployment, self.highest)).most
        up = {key: p for key, p in self.pods.items() if ready(p)}
        missing = self.fallen - set(up)
        if len(up) >= least:
            self.hit -= missing
            self.fallen -= missing
            missing = set()
        sized = sum(_wanted(s) for s in self.sets.values())
        new = sum(controller(p)[1] == self.newest for p in up.values())
        return Moment(at, len(up), new, sized, max(0, least - len(missing)), most, len(missing))

    def strike(self, victims: Iterable[str]) -> None:
        """Pods that another step hits are not the rollout's loss."""
        self.hit |= {v for v in victims if v in self.pods}

    def on_node(self, node: str) -> list[str]:
        return [key for key, pod in self.pods.items() if node_of(pod) == node]


def rollout(record: Record, step: StepRecord) -> Rollout | None:
    """What became of the template that the step changed; None if it changed none that is known."""
    act = next((a for a in step.acts if a.target.kind == "deployment" and a.landed is not None), None)
    if act is None:
        return None
    began, uncertainty = _acceptance(act)
    until = _until(record, step, act.target)
    events = [e for e in _concerning(record, act.target) if e.at <= until]
    after = [e for e in events if e.kind == "deployment" and e.at >= began]
    ended = next((e.at for e in after if _is_complete(e.object, act.target)), None)
    given_up = next((e.at for e in after if _is_given_up(e.object)), None)
    last = until if ended is None else ended
    moments = _moments([e for e in events if e.at <= last], _hits(record, step), began)
    deployment = next((e.object for e in reversed(events) if e.kind == "deployment"), None)
    if deployment is None or not moments:
        return None
    return Rollout(
        began=began,
        uncertainty=uncertainty,
        ended=ended,
        until=last,
        moments=moments,
        strategy=told(deployment),
        updated=moments[-1].new,
        wanted=_wanted(deployment),
        given_up=given_up,
        deadline_s=deployment["spec"].get("progressDeadlineSeconds"),
    )


def _moments(events: Sequence[WatchEvent], hits: list[tuple[float, Target]], began: float) -> tuple[Moment, ...]:
    """How things stood when the rollout began, and from each change on."""
    scene, found = _Scene(_newest(events)), list[Moment | None]()
    for event in events:
        while hits and hits[0][0] <= event.at:
            _strike(scene, hits.pop(0)[1])
        if event.at >= began and not found:
            scene.lowest, scene.highest = None, 0
            found.append(scene.moment(began))
        scene.take(event)
        if found:
            found.append(scene.moment(event.at))
    return tuple(_changes([m for m in found if m is not None]))


def _newest(events: Sequence[WatchEvent]) -> str:
    """The set whose revision is the Deployment's at the end; a template that comes back brings its old set back."""
    last = {(e.kind, uid(e.object)): e.object for e in events if e.kind in ("deployment", "replicaset")}
    wanted = next((annotation(o, REVISION) for (kind, _), o in last.items() if kind == "deployment"), "")
    sets = (key for (kind, key), o in last.items() if kind == "replicaset" and annotation(o, REVISION) == wanted)
    return next(sets, "")


def _acceptance(act: Act) -> tuple[float, float]:
    """(since when the template was the new one, how unsure that is): the first of the landing's and the call's ends."""
    first = min(at for at in (act.accepted, act.landed) if at is not None)
    return act.ordered, max(evidence.WATCH_LAG_S, first - act.ordered)


def _until(record: Record, step: StepRecord, target: Target) -> float:
    """Up to when what happens follows from this step: the next change of its Deployment, or the last step's end."""
    later = (s for s in record.steps if s.began > step.began and s.verb in CHANGING)
    changed = (a.ordered for s in later for a in s.acts if a.target.uid == target.uid)
    watched = record.phases.get("watched", (0.0, record.ended))[1]
    return min([*changed, watched])


def _hits(record: Record, step: StepRecord) -> list[tuple[float, Target]]:
    """What other steps hit after this one began, in order of time."""
    others = (s for s in record.steps if s.name != step.name)
    return sorted(
        ((a.ordered, a.target) for s in others for a in s.acts if a.ordered >= step.began), key=lambda hit: hit[0]
    )


def _strike(scene: _Scene, target: Target) -> None:
    scene.strike(scene.on_node(target.name) if target.kind == "node" else [target.uid])


def _concerning(record: Record, target: Target) -> list[WatchEvent]:
    """The events of the Deployment, of its sets and of their pods."""
    mine = {
        uid(e.object)
        for e in record.events
        if e.kind == "replicaset" and e.change != GAP and controller(e.object) == ("deployment", target.uid)
    }
    owners = {"replicaset": {target.uid}, "pod": mine}
    return [
        e
        for e in record.events
        if e.change != GAP
        and (
            (e.kind in owners and controller(e.object)[1] in owners[e.kind])
            or (e.kind == "deployment" and uid(e.object) == target.uid)
        )
    ]


def _changes(moments: Sequence[Moment]) -> Iterable[Moment]:
    """Without those in which nothing but the time is another."""
    last: tuple[Any, ...] = ()
    for moment in moments:
        now = (moment.ready, moment.new, moment.sized, moment.least, moment.most, moment.hit)
        if now != last:
            yield moment
        last = now


def _is_complete(deployment: Raw, target: Target) -> bool:
    """As `kubectl rollout status` sees it (kubectl, pkg/polymorphichelpers/rollout_status.go), of a later template than
    the target's. The generation alone would not tell: a change of an annotation raises it, too."""
    status, wanted = deployment.get("status") or {}, _wanted(deployment)
    observed, generation = int(status.get("observedGeneration", 0)), int(deployment["metadata"].get("generation", 0))
    updated, total = int(status.get("updatedReplicas", 0)), int(status.get("replicas", 0))
    return (
        annotation(deployment, REVISION) != target.prior.get("revision", "")
        and observed >= generation
        and updated >= wanted
        and total <= updated
        and int(status.get("availableReplicas", 0)) >= updated
    )


def _is_given_up(deployment: Raw) -> bool:
    found = (deployment.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded" for c in found)


def _wanted(o: Raw) -> int:
    found = o["spec"].get("replicas")
    return 1 if found is None else int(found)


def _of_size(deployment: Raw, replicas: int) -> Raw:
    return {**deployment, "spec": {**deployment["spec"], "replicas": replicas}}


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def versions(
    samples: Iterable[Sequence[Sample]], began: float, ended: float, part: int
) -> tuple[tuple[float, Mapping[str, int]], ...]:
    """Good answers of each version (part 1 of `pod|version|colour`) or colour (2), second by second."""
    streams = [s for s in samples if s]
    edges = [began + n * BIN_S for n in range(math.ceil((ended - began) / BIN_S))]
    return tuple(
        (edge, _sum(evidence.shares(s, edge, min(until, ended), part) for s in streams))
        for edge, until in itertools.pairwise([*edges, ended])
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for count in counts:
        for key, number in count.items():
            found[key] = found.get(key, 0) + number
    return dict(sorted(found.items()))
