"""When what a query shows was really scraped. Pure.

Prometheus shows the last sample of a series for five minutes, unless a failed scrape ended the series. So a Prometheus
that stood still, or one that scrapes a job less often than the others, shows what was true before the window. The times
of the samples themselves do not lie.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence

from chaoskit import promql
from chaoskit.model import Answer, Series

PREFIX = "scrapes: "
"""Before the series in the names of a run's answers; no name of a metric can begin like that."""
LATE = 2.5
"""A series may be silent for this many scrape intervals before that counts as a gap: one scrape may be late or lost."""
FEWEST = 2
"""What held throughout a window was scraped at least this often in it."""


def queries(query: str) -> dict[str, str]:
    """What tells when each series was scraped, by the name under which its answer is kept. Ranges need none: what is
    not in them is not in the answer."""
    return {PREFIX + series: f"max(timestamp({series}))" for series in promql.instant_series(query)}


def lacking(query: str, answers: Mapping[str, Answer]) -> str:
    """Why it is not known when the series were scraped, or empty. What was never asked, or has no sample, is passed
    over: of what has none, nothing is shown."""
    for named in queries(query):
        answer = answers.get(named)
        if answer and (answer.error or answer.warnings):
            series = named.removeprefix(PREFIX)
            return f"nobody knows when {series} was scraped: {answer.error or '; '.join(answer.warnings)}"
    return ""


def retimed(query: str, series: Sequence[Series], answers: Mapping[str, Answer]) -> tuple[Series, ...]:
    """The series with each value at the time of the oldest sample that it is made of, and once only."""
    scraped = [dict(points) for points in _scraped(query, answers)]
    return tuple(
        Series(s.labels, tuple({min((own.get(t, t) for own in scraped), default=t): v for t, v in s.points}.items()))
        for s in series
    )


def usual_s(query: str, answers: Mapping[str, Answer]) -> float:
    """The median time between the scrapes of the series that is scraped least often; 0 where it is not known."""
    times = (sorted({at for _, at in points}) for points in _scraped(query, answers))
    return max(
        (statistics.median(b - a for a, b in itertools.pairwise(ts)) for ts in times if len(ts) > 1), default=0.0
    )


def _scraped(query: str, answers: Mapping[str, Answer]) -> Iterator[Sequence[tuple[float, float]]]:
    """For each series of which it is known: (when it was asked, when it had last been scraped)."""
    for named in queries(query):
        for found in answers[named].series if named in answers else ():
            yield found.points
