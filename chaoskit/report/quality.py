"""How good the data is that a verdict rests on: lateness, what was not sent, the generator's CPU, gaps, clocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaoskit import conditions, evidence, units
from chaoskit.contracts import Record
from chaoskit.model import GAP, SEEN, Answer
from chaoskit.objects import created_unix
from chaoskit.pace import BUSIEST, MOST_BEHIND, pace
from chaoskit.report import wording

CLOCK_S = 0.01
LATE_SCRAPES = 2.5


@dataclass(frozen=True, slots=True)
class Fact:
    """One measure of the data: what, how much, what would be fine, and whether it is (None: it is only told)."""

    what: str
    value: str
    fine: str
    good: bool | None

    @property
    def mark(self) -> str:
        return {True: "✓", False: "✗", None: "·"}[self.good]


def facts(record: Record) -> tuple[Fact, ...]:
    return (
        *_pulse(record),
        *_generators(record),
        *_watch(record),
        *(_answer(record, name, answer) for name, answer in record.answers.items()),
        *_clock(record),
    )


def _pulse(record: Record) -> Iterator[Fact]:
    kept = pace(record.pulse, record.pulse_period_s)
    if not kept.due:
        yield Fact("pulse", "recorded nothing", "", None)
        return
    if kept.sent:
        median, p99, most = (units.show(late, "s") for late in kept.late_s)
        limit = units.show(kept.limit_s, "s")
        yield Fact(
            "lateness of the pulse",
            f"median {median}, p99 {p99}, longest {most}",
            f"p99 at most {limit}: else a latency that is too long convicts nobody",
            not kept.held_up,
        )
    words = f"{kept.late:,} and {kept.not_sent:,} of {kept.due:,} requests ({units.show(kept.behind, '%')})"
    yield Fact("late or not sent by the pulse", words, f"at most {units.show(MOST_BEHIND, '%')}", kept.kept)


def _generators(record: Record) -> Iterator[Fact]:
    began, ended = record.phases.get("watched", (0.0, record.ended))
    for who, named in (("locust", "CPU of Locust"), ("pulse", "CPU of the pulse")):
        used = [
            float(s.get("cpu", 0.0))
            for s in record.statuses
            if s.get("who") == who and began <= s.get("at", -1) <= ended
        ]
        if used:
            median = conditions.percentile(used, 0.5)
            words = f"median {units.show(median, '%')}, most {units.show(max(used), '%')} of a core"
            yield Fact(named, words, f"median at most {units.show(BUSIEST, '%')} of a core", median <= BUSIEST)
    if doubt := record.load_clock_s:
        words = f"known to within {units.show(doubt, 's')} by the run's own"
        yield Fact("clocks of the load's pods", words, f"within {units.show(CLOCK_S, 's')}", doubt <= CLOCK_S)
    users = [int(s.get("users", 0)) for s in record.statuses if s.get("who") == "locust"]
    if users:
        yield Fact("users of Locust", f"at most {wording.count(max(users), 'user')}", "", None)


def _watch(record: Record) -> Iterator[Fact]:
    found = [e for e in record.events if e.change == GAP]
    when = ", ".join(f"{e.kind} at {e.at:.2f} s" for e in found[:10])
    value = f"{len(found)}: {when}" if found else "none"
    yield Fact("breaks of the watch", value, "none", not found)
    yield Fact(
        "events of the watch",
        f"{len(record.events):,}, taken to be late by at most {units.show(evidence.WATCH_LAG_S, 's')}",
        "",
        None,
    )


def _answer(record: Record, name: str, answer: Answer) -> Fact:
    what = f"PromQL “{name}”"
    fine = f"data, and no gap over {units.show(LATE_SCRAPES * record.scrape_interval_s, 's')}"
    if answer.error or answer.warnings:
        return Fact(what, wording.one_line(answer.error or "; ".join(answer.warnings)), fine, False)
    times = sorted({t for s in answer.series for t, _ in s.points})
    if not times:
        return Fact(what, "no data", fine, False)
    gap = max((b - a for a, b in itertools.pairwise(times)), default=0.0)
    samples = wording.count(sum(len(s.points) for s in answer.series), "sample")
    words = f"{samples} in {len(answer.series)} series, longest gap {units.show(gap, 's')}"
    return Fact(what, words, fine, gap <= LATE_SCRAPES * record.scrape_interval_s)


def _clock(record: Record) -> Iterator[Fact]:
    yield Fact("scrape interval", units.show(record.scrape_interval_s, "s"), "", None)
    behind = stamp_distances(record)
    if behind:
        words = f"arrival {units.show(min(behind), 's')} to {units.show(max(behind), 's')} after the creation stamp"
        fine = "0 s to a little over 1 s: stamps are whole seconds"
        yield Fact("clocks of cluster and runner", words, fine, -0.1 <= min(behind) <= 1.0)


def stamp_distances(record: Record) -> Sequence[float]:
    """Seconds from the API server's creation stamps to the arrivals of new objects. With clocks that agree they lie
    between zero and one: stamps are cut to whole seconds."""
    seen: set[str] = set()
    found = []
    for event in record.events:
        meta = event.object.get("metadata") or {}
        uid = str(meta.get("uid", ""))
        if event.change == SEEN and not event.first and uid and uid not in seen and event.kind != "event":
            created = created_unix(event.object)
            if created is not None:
                found.append(record.origin_unix + event.at - created)
        seen.add(uid)
    return found
