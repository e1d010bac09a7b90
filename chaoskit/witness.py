"""The second witness: do the app's own counters and the load's recorded requests tell the same story? Pure.

Both are asked how many answers the app gave in a window, and both say it as a span, for neither knows it exactly: a
counter is seen only when it is scraped, and a request at an edge of the window, or one that got no answer, may have
been counted or not. Spans that do not meet cannot both be true.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit.contracts import Record
from chaoskit.model import Evidence, Series
from chaoskit.samples import Outcome, Sample

PREFIX = "witness: "
"""Before the query of a witness in the names of a run's answers; no name of a metric can begin like that."""
LATE_SCRAPES = 1.5
"""An answer's point shows what was scraped up to one interval before it, and a scrape may be half an interval late."""
LEAST_KNOWN = 0.5
"""A span whose lower end is less than this share of its upper end tells nothing."""
NEVER_ARRIVED = (Outcome.NOT_SENT, Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.DNS)
"""What the app cannot have counted."""
ANSWERED = (Outcome.OK, Outcome.HTTP_ERROR)
SERVER_ERROR = 500
"""Answers from this status on may be those of something before the app."""


@dataclass(frozen=True, slots=True)
class Span:
    """Between `low` and `high` answers."""

    low: float
    high: float

    def meets(self, other: Span) -> bool:
        return self.low <= other.high and other.low <= self.high

    @property
    def tells(self) -> bool:
        return self.low > 0 and self.low >= LEAST_KNOWN * self.high

    def __str__(self) -> str:
        return f"{self.low:,.0f} to {self.high:,.0f}"


@dataclass(frozen=True, slots=True)
class Testimony:
    """What came of asking both: `doubt` says why nothing can be concluded, and is empty where they agree."""

    doubt: str
    told: str
    evidence: Evidence


def recorded(samples: Iterable[Sample], began: float, ended: float) -> Span:
    """The answers that the load recorded: those certainly given within the window, and those that may have been."""
    low = high = 0
    for sample in samples:
        if sample.outcome in NEVER_ARRIVED or sample.end < began or sample.sent >= ended:
            continue
        high += 1
        surely = sample.outcome in ANSWERED and sample.status < SERVER_ERROR
        low += surely and began <= sample.sent and sample.end < ended
    return Span(low, high)


def counted(series: Sequence[Series], began: float, ended: float, interval_s: float) -> Span:
    """The answers that the counters counted. Times in Unix seconds."""
    spans = [_counted(s.points, began, ended, LATE_SCRAPES * interval_s) for s in series if s.points]
    return Span(sum(s.low for s in spans), sum(s.high for s in spans))


def _counted(points: Sequence[tuple[float, float]], began: float, ended: float, late: float) -> Span:
    """One counter. It may have begun within the window, or have been set back to zero there, or have ended there: what
    it counted after its last scrape is lost, and taken to be at most as much as in its busiest time of that length."""
    total = _unwrapped(points)
    if points[0][0] > ended + late or points[-1][0] < began:
        return Span(0.0, 0.0)
    before, first = _last(total, began), _first(total, began + late)
    last, after = _last(total, ended), _first(total, ended + late)
    low = max(0.0, last - first) if last is not None and first is not None else 0.0
    if first is None and last is not None and before is None:
        low = 0.0  # It came and went within one scrape's lateness of the window's begin.
    elif before is None and points[0][0] >= began + late and last is not None:
        low = last  # It began within the window, so all of it is new.
    high = (after if after is not None else total[-1][1]) - (before or 0.0)
    lost = _resets(points, began, ended + late) + (after is None or _stands_still(total, ended + late))
    return Span(low, high + lost * _busiest(total, late))


def _unwrapped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The counter as if it had never been set back: what it lost at each fall is put on top again."""
    found = [points[0]]
    for (_, a), (at, b) in itertools.pairwise(points):
        found.append((at, found[-1][1] + (b - a if b >= a else b)))
    return found


def _last(total: Sequence[tuple[float, float]], at: float) -> float | None:
    """What it showed at that time."""
    return next((value for t, value in reversed(total) if t <= at), None)


def _first(total: Sequence[tuple[float, float]], at: float) -> float | None:
    """What it showed once all that had happened by then was certainly scraped."""
    return next((value for t, value in total if t >= at), None)


def _resets(points: Sequence[tuple[float, float]], began: float, ended: float) -> int:
    return sum(b < a and began <= at <= ended for (_, a), (at, b) in itertools.pairwise(points))


def _stands_still(total: Sequence[tuple[float, float]], at: float) -> bool:
    """Whether it counted nothing any more at the end: its pod may be gone, and the last value be shown on."""
    until = [value for t, value in total if t <= at]
    return len(until) > 1 and until[-1] == until[-2]


def _busiest(total: Sequence[tuple[float, float]], lasting: float) -> float:
    """The most that it counted in a time of that length, between the scrapes that enclose it."""
    times = [at for at, _ in total]
    ends = (min(bisect.bisect_left(times, at + lasting), len(total) - 1) for at in times)
    return max(total[end][1] - value for end, (_, value) in zip(ends, total, strict=True))


def hear(record: Record, query: str, began: float, ended: float) -> Testimony:
    """Asks both about a window of the run."""
    load = recorded((*record.pulse, *record.locust), began, ended)
    data: dict[str, object] = {"query": query, "from": began, "to": ended, "the load recorded": f"{load} answers"}
    answer = record.answers.get(PREFIX + query)
    why = "was never asked" if answer is None else ""
    if answer is not None:
        data["query"] = answer.query
        lacking = "; ".join(answer.warnings) or ("" if any(s.points for s in answer.series) else "no data")
        why = f"gave no answer: {answer.error}" if answer.error else f"gave {lacking}" if lacking else ""
    if answer is None or why:
        return Testimony(f"the second witness {why}", "", Evidence("second witness", data))
    first = record.origin_unix + began
    app = counted(answer.series, first, first + ended - began, record.scrape_interval_s)
    evidence = Evidence("second witness", {**data, "the app counted": f"{app} answers"})
    told = f"the app counted {app} answers, the load recorded {load}"
    if not app.tells:
        return Testimony(f"{told}: too coarse for a second witness; watch longer, or scrape more often", "", evidence)
    return Testimony("" if app.meets(load) else f"{told}: the two witnesses disagree", told, evidence)
