"""From streams to timelines: request samples and watch events in; outages, recovery chains and curves out.

Pure: it reads a Record and nothing else, so whatever it says can be said again from the run's folder.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chaoskit import units
from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.evidence_nodes import lost_pods
from chaoskit.model import GAP, GONE, SEEN, Link, Outage, Raw, WatchEvent
from chaoskit.objects import controller, name, namespace, ready, ready_endpoints, scheduled, started, uid
from chaoskit.samples import Outcome, Sample, Stream

WATCH_LAG_S = 0.05
"""How late a watch event may arrive after the change was stored: the API server's watch cache delivers within a few
milliseconds; on a machine whose cores are all busy, tens of milliseconds were measured."""
NEVER = float("inf")

# ── outages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a stream of samples says of a window: how many were due, how many were not sent, and its outages."""

    due: int
    lost: int
    """Sent, but not answered well."""
    not_sent: int
    blind_s: float
    """Seconds of the window about which the stream says nothing: not sent, or beyond its ends."""
    silence_s: float
    """The longest time between two good answers: no outage in the window was longer, whatever was not sent."""
    certain_s: float
    """The longest time of nothing but failed requests, each of them sent: one outage was no shorter."""
    outages: tuple[Outage, ...]

    @property
    def longest(self) -> Outage | None:
        return max(self.outages, key=lambda o: o.seconds, default=None)


def outages(samples: Iterable[Sample], stream: Stream, began: float, ended: float, period_s: float) -> Coverage:
    """The outages that a stream of paced requests saw in [began, ended).

    A request belongs to the window in which it should have been sent. One that was not sent is neither good nor bad: it
    widens the bracket of an outage beside it, counts as blind time, and within an outage it makes two of what is
    certain. An outage that the window's end cuts is followed to its own end, as far as the stream goes.
    """
    mine = sorted(
        (s for s in samples if s.stream is stream and s.intended >= began), key=lambda s: (s.sent, s.intended)
    )
    within = [s for s in mine if s.intended < ended]
    sent = [s for s in within if s.outcome is not Outcome.NOT_SENT]
    after = [s for s in mine if s.intended >= ended]
    later = [s for s in after if s.outcome is not Outcome.NOT_SENT]
    good = [s.sent for s in sent if s.ok]
    return Coverage(
        due=len(within),
        lost=sum(not s.ok for s in sent),
        not_sent=len(within) - len(sent),
        blind_s=_blind([s.sent for s in sent], began, ended, period_s),
        silence_s=max(b - a for a, b in itertools.pairwise([began, *good, max([ended, *good[-1:]])])),
        certain_s=_certain([*within, *itertools.takewhile(lambda s: not s.ok, after)]),
        outages=tuple(_runs_of_bad(sent, later, began, ended)),
    )


def _runs_of_bad(sent: Sequence[Sample], later: Sequence[Sample], began: float, ended: float) -> Iterable[Outage]:
    last_good, bad = began, list[Sample]()
    for sample in sent:
        if not sample.ok:
            bad.append(sample)
            continue
        if bad:
            yield Outage(last_good, bad[0].sent, bad[-1].sent, sample.sent, len(bad))
            bad = []
        last_good = sample.sent
    if bad:
        yield _to_its_end(Outage(last_good, bad[0].sent, bad[-1].sent, ended, len(bad), open_end=True), later)


def _certain(samples: Iterable[Sample]) -> float:
    """The longest time between two failed requests without one between them that was good, or not sent."""
    longest, first = 0.0, NEVER
    for sample in samples:
        if sample.ok or sample.outcome is Outcome.NOT_SENT:
            first = NEVER
        else:
            first = min(first, sample.sent)
            longest = max(longest, sample.sent - first)
    return longest


def _to_its_end(cut: Outage, later: Iterable[Sample]) -> Outage:
    """The outage with what the requests after the window say of it."""
    last_bad, lost = cut.last_bad, cut.lost
    for sample in later:
        if sample.ok:
            return replace(cut, last_bad=last_bad, first_good=max(last_bad, sample.sent), lost=lost, open_end=False)
        last_bad, lost = max(last_bad, sample.sent), lost + 1
    return replace(cut, last_bad=last_bad, first_good=max(cut.first_good, last_bad), lost=lost)


def _blind(times: Sequence[float], began: float, ended: float, period_s: float) -> float:
    """Seconds in gaps longer than two periods; one period of each gap is what the pace leaves open anyhow."""
    edges = [began, *times, ended]
    return sum(b - a - period_s for a, b in itertools.pairwise(edges) if b - a > 2 * period_s + 1e-9)


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LINKS = (
    "fault accepted",
    "endpoint removed",
    "pod gone",
    "replacement created",
    "replacement scheduled",
    "replacement started",
    "replacement ready",
    "replacement in endpoints",
    "replacement answered",
)


@dataclass(frozen=True, slots=True)
class Chain:
    """The recovery from the loss of one pod, link by link. Times are arrivals of watch events, in the run's seconds."""

    victim: str
    replacement: str
    links: tuple[Link, ...]
    uncertainty: float
    served: bool
    """Whether a Service selects these pods: if so, recovery ends with the endpoints, else with readiness."""

    def at(self, link: str) -> float | None:
        return next((found.at for found in self.links if found.name == link), None)

    @property
    def accepted(self) -> float:
        return self.at("fault accepted") or 0.0

    @property
    def last_link(self) -> str:
        return "replacement in endpoints" if self.served else "replacement ready"

    @property
    def seconds(self) -> float | None:
        """From the fault's acceptance until all links are there; None if one was not seen. A Service that publishes
        pods which are not ready has them among its endpoints before they serve."""
        if self.missing:
            return None
        return max(at for at in map(self.at, self._wanted) if at is not None) - self.accepted

    @property
    def _wanted(self) -> Sequence[str]:
        return LINKS[3 : LINKS.index(self.last_link) + 1]

    @property
    def missing(self) -> str:
        """The first necessary link that was not seen."""
        return next((link for link in self._wanted if self.at(link) is None), "")

    @property
    def slowest_link(self) -> str:
        """The link of the replacement's way that took longest, with its seconds."""
        way = [link for link in self.links if link.name in LINKS[3:8] and link.at is not None]
        before = self.accepted
        longest = ("none", 0.0)
        for link in way:
            took = (link.at or 0.0) - before
            if took > longest[1]:
                longest = (link.name, took)
            before = max(before, link.at or 0.0)
        return f"{longest[0]} ({units.show(longest[1], 's')})"

    def as_data(self) -> dict[str, Any]:
        return {
            "victim": self.victim,
            "replacement": self.replacement,
            "links": [
                {"link": link.name, "at": link.at, "after": None if link.at is None else link.at - self.accepted}
                for link in self.links
            ],
            "uncertainty": self.uncertainty,
        }


@dataclass(slots=True)
class _History:
    """When things became so for one pod."""

    pod: Raw
    seen: float
    first: bool
    """It was there when the watch began, or began anew: since when is not known."""
    gone: float | None = None
    terminating: float | None = None
    scheduled: float | None = None
    started: float | None = None
    ready: float | None = None
    served: list[tuple[float, bool]] = field(default_factory=list)
    """When it entered (True) and left (False) the ready endpoints."""


def recovery_chains(record: Record, step: StepRecord) -> tuple[Chain, ...]:
    """One chain for each pod that the step took away, itself or with its node, paired with its replacement by owner,
    each used once. Only what was seen in the step's window counts: later the next step, or healing, takes pods away."""
    ended = step.ended if step.ended is not None else record.ended
    histories = _histories(e for e in record.events if e.at <= ended)
    lost = _lost(record, step, histories)
    taken = {uid(victim.pod) for _, victim, _ in lost}
    answered = _first_answers(record) if lost else {}
    chains = []
    for act, victim, since in sorted(lost, key=lambda found: (found[2], found[0].ordered)):
        heir = _replacement(histories, victim, since, taken)
        if heir is not None:
            taken.add(uid(heir.pod))
        chains.append(_chain(act, victim, heir, answered))
    return tuple(chains)


def _lost(record: Record, step: StepRecord, histories: Mapping[str, _History]) -> Sequence[tuple[Act, _History, float]]:
    """(act, victim, since when a replacement may come) of each pod that was lost. A pod on a lost node is replaced
    once its deletion has begun: a new one before that is more of its kind (an autoscaler's), not its replacement."""
    acts: dict[str, Act] = {}
    for act in step.acts:
        # A pod that was hit twice, because an answer was lost, is lost once.
        if act.target.kind == "pod":
            acts.setdefault(act.target.uid, act)
    hit = [(act, histories[key], act.ordered) for key, act in acts.items() if key in histories]
    found = [(act, h, since) for act, h, since in hit if h.gone is not None or h.terminating is not None]
    for act in lost_pods(record, step):
        victim = histories.get(act.target.uid)
        if victim is not None and act.target.uid not in acts:
            ends = [at for at in (victim.terminating, victim.gone) if at is not None]
            found.append((act, victim, min(ends, default=NEVER)))
    return found


def _histories(events: Iterable[WatchEvent]) -> dict[str, _History]:
    found: dict[str, _History] = {}
    in_endpoints: dict[str, set[str]] = {}
    served: dict[str, list[tuple[float, bool]]] = {}
    for event in events:
        if event.kind == "pod" and event.change != GAP:
            _take_pod(found, event)
        elif event.kind == "endpointslice" and event.change != GAP:
            _take_slice(served, in_endpoints, event)
    # Pods and slices come by two watches: a pod may be served before it is seen.
    for pod_uid, history in found.items():
        history.served = served.get(pod_uid, [])
    return found


def _take_pod(found: dict[str, _History], event: WatchEvent) -> None:
    pod = event.object
    history = found.setdefault(uid(pod), _History(pod, event.at, event.first))
    history.pod = pod
    if event.change == GONE:
        history.gone = event.at
        return
    if pod["metadata"].get("deletionTimestamp") and history.terminating is None:
        history.terminating = event.at
    for moment, true in (("scheduled", scheduled), ("started", started), ("ready", ready)):
        if getattr(history, moment) is None and true(pod):
            setattr(history, moment, event.at)


def _take_slice(
    served: dict[str, list[tuple[float, bool]]], in_endpoints: dict[str, set[str]], event: WatchEvent
) -> None:
    """Notes for each pod when it entered and left the ready endpoints, over all slices."""
    before = set().union(*in_endpoints.values()) if in_endpoints else set()
    in_endpoints[uid(event.object)] = set() if event.change == GONE else set(ready_endpoints([event.object]))
    now = set().union(*in_endpoints.values())
    for pod_uid in before ^ now:
        served.setdefault(pod_uid, []).append((event.at, pod_uid in now))


def _replacement(histories: Mapping[str, _History], victim: _History, since: float, taken: set[str]) -> _History | None:
    """The first pod of the same controller that appeared since the loss and is not spoken for, one that became ready
    before one that went away first; a StatefulSet's replacement carries the victim's own name."""
    kind, owner = controller(victim.pod)
    heirs = [
        h
        for pod_uid, h in histories.items()
        if pod_uid not in taken and not h.first and h.seen >= since and owner and controller(h.pod)[1] == owner
    ]
    if kind == "statefulset":
        heirs = [h for h in heirs if name(h.pod) == name(victim.pod)]
    return min(heirs, key=lambda h: (h.ready is None and h.gone is not None, h.seen), default=None)


def _chain(act: Act, victim: _History, heir: _History | None, answered: Mapping[str, float]) -> Chain:
    accepted, doubt = acceptance(act, victim)
    left = next((at for at, there in victim.served if not there and at >= act.ordered), None)
    entered = next((at for at, there in heir.served if there), None) if heir else None
    moments: dict[str, float | None] = {
        "fault accepted": accepted,
        "endpoint removed": left,
        "pod gone": victim.gone,
        "replacement created": heir.seen if heir else None,
        "replacement scheduled": heir.scheduled if heir else None,
        "replacement started": heir.started if heir else None,
        "replacement ready": heir.ready if heir else None,
        "replacement in endpoints": entered,
        "replacement answered": answered.get(name(heir.pod)) if heir else None,
    }
    return Chain(
        victim=name(victim.pod),
        replacement=name(heir.pod) if heir else "",
        links=tuple(Link(link, moments[link]) for link in LINKS),
        uncertainty=max(WATCH_LAG_S, doubt),
        served=bool(victim.served) or entered is not None,
    )


def acceptance(act: Act, victim: _History | None = None) -> tuple[float, float]:
    """(when the fault was accepted, by how much that may be wrong): between the order and the first sign of it, which
    is the answer, the landing, or the pod's end as the watch told it."""
    signs = [act.accepted, act.landed, *((victim.terminating, victim.gone) if victim else ())]
    first = min((at for at in signs if at is not None and at >= act.ordered), default=act.ordered)
    return first, first - act.ordered


def _first_answers(record: Record) -> dict[str, float]:
    """When each pod first answered well, by its name."""
    found: dict[str, float] = {}
    for sample in (*record.pulse, *record.locust):
        if sample.ok:
            pod = sample.answerer.split("|", 1)[0]
            found[pod] = min(sample.end, found.get(pod, sample.end))
    return found


# ── data quality, curves ─────────────────────────────────────────────────────────────────────────────────────────────


def gaps(record: Record, began: float, ended: float, kinds: Sequence[str]) -> tuple[tuple[float, float], ...]:
    """(begin, end) of the breaks of the watches on `kinds` that touch a window. What changed within one is known by the
    listing that ends it, when it changed is not."""
    found = []
    for i, event in enumerate(record.events):
        if event.change == GAP and event.kind in kinds and event.at <= ended:
            again = (e.at for e in record.events[i + 1 :] if e.kind == event.kind and e.change != GAP)
            end = next(again, record.ended)
            if end >= began:
                found.append((event.at, end))
    return tuple(found)


def ready_curve(record: Record, wanted: Mapping[str, str]) -> tuple[tuple[float, int], ...]:
    """(time, ready pods) at each change, for the pods with all of these labels."""
    readies: set[str] = set()
    curve: list[tuple[float, int]] = []
    for event in record.events:
        if event.kind != "pod" or event.change == GAP or namespace(event.object) != record.namespace:
            continue
        has = event.object["metadata"].get("labels") or {}
        if any(has.get(k) != v for k, v in wanted.items()):
            continue
        if event.change == SEEN and ready(event.object):
            readies.add(uid(event.object))
        else:
            readies.discard(uid(event.object))
        if not curve or curve[-1][1] != len(readies):
            curve.append((event.at, len(readies)))
    return tuple(curve)


def shares(samples: Sequence[Sample], began: float, ended: float, part: int) -> dict[str, int]:
    """Good answers by a part of `pod|version|colour` (0, 1 or 2), for requests that were due in the window."""
    counted: dict[str, int] = {}
    lower = bisect.bisect_left(samples, began, key=lambda s: s.intended)
    for sample in samples[lower:]:
        if sample.intended >= ended:
            break
        if sample.ok and sample.answerer:
            key = sample.answerer.split("|")[part]
            counted[key] = counted.get(key, 0) + 1
    return counted
