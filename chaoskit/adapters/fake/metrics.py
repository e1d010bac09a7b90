"""The Metrics port: answers from a table, seen through scrapes as Prometheus sees the world."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.model import Answer, Series

Labels: TypeAlias = Mapping[str, str]
Value: TypeAlias = float | Sequence[tuple[Labels, float]] | None
"""One value without labels, one for each of several series, or no data."""
Source: TypeAlias = Value | Answer | Callable[[float], Value]
"""A constant, a whole answer, or what it was at a moment of the run (seconds since the origin)."""


_SCRAPED = re.compile(r"max\(timestamp\((.*)\)\)")


class FakeMetrics:
    """A Prometheus that knows what `table` says. A query that is not in it has no data, as with the real one."""

    def __init__(self, clock: FakeClock, *, scrape_interval_s: float = 1.0) -> None:
        self._clock = clock
        self.scrape_interval_s = scrape_interval_s
        self.table: dict[str, Source] = {}
        """By query. Where the very query is missing, the longest entry that occurs in it counts, so that a metric's
        name is enough where the query carries the name of a fresh namespace."""
        self.still: list[tuple[float, float]] = []
        """Spans of the run in which nothing is scraped: the last samples are shown on."""
        self.error = ""
        """Why there is no answer at all; empty: there is one."""
        self.warnings: tuple[str, ...] = ()
        self.asked: list[str] = []
        """The queries, in the order they came."""
        self.answer_s = 0.004
        """How long an answer takes."""

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def instant(self, query: str, at_unix: float) -> Answer:
        return self._answer(query, [at_unix])

    def range(self, query: str, start_unix: float, end_unix: float, step_s: float) -> Answer:
        count = math.floor((end_unix - start_unix) / step_s + 1e-9) + 1
        return self._answer(query, [start_unix + i * step_s for i in range(count)])

    def scrape_interval(self) -> float:
        return self.scrape_interval_s

    # ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _answer(self, query: str, times: Sequence[float]) -> Answer:
        self.asked.append(query)
        self._clock.advance(self.answer_s)
        if self.error:
            return Answer(query, (), error=self.error)
        if asked := _SCRAPED.fullmatch(query):
            return self._times(query, self._source(asked[1]), times)
        source = self._source(query)
        if isinstance(source, Answer):
            return replace(source, query=query)
        return Answer(query, self._series(source, times), self.warnings)

    def _source(self, query: str) -> Source:
        if query in self.table:
            return self.table[query]
        within = [key for key in self.table if key in query]
        return self.table[max(within, key=len)] if within else None

    def _times(self, query: str, source: Source, times: Sequence[float]) -> Answer:
        """When the newest of the series was scraped, at each time that it is there."""
        if isinstance(source, Answer):
            return Answer(query, ())
        moments = [(time, self._scraped(time)) for time in times]
        there = [(time, at) for time, at in moments if _rows(source(at) if callable(source) else source)]
        points = tuple((time, self._clock.unix(at)) for time, at in there)
        return Answer(query, (Series({}, points),) if points else ())

    def _series(self, source: Value | Callable[[float], Value], times: Sequence[float]) -> tuple[Series, ...]:
        points: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
        for time in times:
            value = source(self._scraped(time)) if callable(source) else source
            for labels, number in _rows(value):
                points.setdefault(tuple(sorted(labels.items())), []).append((time, number))
        return tuple(Series(dict(labels), tuple(found)) for labels, found in sorted(points.items()))

    def _scraped(self, unix: float) -> float:
        """The moment of the last scrape at that time; nothing is known of the future."""
        at = min(self._clock.moment(unix), self._clock.now())
        at = min((began for began, ended in self.still if began <= at < ended), default=at)
        return math.floor(at / self.scrape_interval_s + 1e-9) * self.scrape_interval_s


def _rows(value: Value) -> Sequence[tuple[Labels, float]]:
    if value is None:
        return ()
    return [({}, float(value))] if isinstance(value, int | float) else value
