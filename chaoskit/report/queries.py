"""What Prometheus answered, as rows of a chart: one for each named query, with the limits that it is held to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from chaoskit import buckets, scrapes, units, witness
from chaoskit.conditions import MEASURES, Condition
from chaoskit.contracts import Record
from chaoskit.model import Answer, Series
from chaoskit.report import picture
from chaoskit.report.picture import Axis, Row

MOST_SERIES = 8


def rows(record: Record, axis: Axis, limits: Mapping[str, Sequence[Condition]]) -> Iterator[Row]:
    """One row for each named query. What else was asked stands with the finding: raw counters tell a reader nothing."""
    for name, answer in record.answers.items():
        if name not in MEASURES and not name.startswith((witness.PREFIX, buckets.PREFIX, scrapes.PREFIX)):
            yield _row(record, axis, name, answer, limits.get(name, ()))


def _row(record: Record, axis: Axis, name: str, answer: Answer, limits: Sequence[Condition]) -> Row:
    unit = next((c.unit for c in limits if c.unit), "")
    series = [(_words(s), _finite(s, record.origin_unix)) for s in answer.series]
    series = [(words, points) for words, points in series if points]
    values = [v for _, points in series for _, v in points]
    scale = picture.linear([*values, *(c.limit for c in limits)])
    curves = tuple(
        picture.curve(axis, scale, picture.coarse(points), f"s{i}", f"{name} {words}")
        for i, (words, points) in enumerate(series[:MOST_SERIES])
    )
    marked = dict.fromkeys((c.limit, c.text) for c in limits)
    levels = picture.levels(scale, unit, marked) if series else ()
    said = picture.thinned((at, units.show(v, unit)) for at, v in picture.coarse(series[0][1])) if series else ()
    return Row(name, _note(answer, len(series)), 56, "group", curves=curves, levels=levels, said=said)


def _finite(series: Series, origin_unix: float) -> list[tuple[float, float]]:
    return [(t - origin_unix, value) for t, value in series.points if math.isfinite(value)]


def _words(series: Series) -> str:
    return ", ".join(f"{key}={value}" for key, value in series.labels.items())


def _note(answer: Answer, drawn: int) -> str:
    if answer.error:
        return f"PromQL, no answer: {answer.error}"
    if not drawn:
        return "PromQL, no data"
    more = f", {drawn - MOST_SERIES} of them not drawn" if drawn > MOST_SERIES else ""
    return f"PromQL, {drawn} series{more}"
