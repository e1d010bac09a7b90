"""What the buckets of a histogram can tell: between which two of their boundaries a quantile lies, and no more. Pure.

Prometheus interpolates within the bucket, as if the observations in it were spread evenly, and answers with the last
boundary for all that lies beyond it. So a limit between the same two boundaries as the value decides nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaoskit import promql
from chaoskit.conditions import Condition
from chaoskit.model import Answer
from chaoskit.units import exact

PREFIX = "buckets: "
"""Before the series of a histogram in the names of a run's answers; no name of a metric can begin like that."""
SAME = 1e-9
"""An interpolated value may be a boundary but for rounding."""


def queries(query: str) -> dict[str, str]:
    """What tells the boundaries behind a quantile, by the name under which its answer is kept; nothing for others."""
    found = promql.quantile(query)
    return {PREFIX + series: f"count by (le) ({series})" for series in (found.series if found else ())}


@dataclass(frozen=True, slots=True)
class Buckets:
    """The finite boundaries, ascending; `lacking` says why they are not known."""

    boundaries: tuple[float, ...]
    lacking: str = ""

    def around(self, value: float) -> tuple[float, float]:
        """(more than, at most): between these lies the quantile that is shown as `value`."""
        low = max((b for b in self.boundaries if b < value and not _same(b, value)), default=-math.inf)
        high = min((b for b in self.boundaries if b > value or _same(b, value)), default=math.inf)
        if low == -math.inf and high > 0:
            low = 0.0  # Prometheus takes it that nothing is negative, unless a boundary is.
        return low, high

    def doubt(self, condition: Condition, value: float) -> str:
        """Why a quantile shown as `value` neither keeps nor breaks the limit, or empty."""
        if self.lacking:
            return f"a quantile is known only to its bucket, and the buckets are not known: {self.lacking}"
        low, high = self.around(value)
        last = self.boundaries[-1] if self.boundaries else -math.inf
        if _same(value, last):
            high = math.inf
        limit = condition.limit
        if low < limit < high and not _same(low, limit) and not _same(high, limit):
            if math.isinf(high):
                return f"the quantile is at or beyond the last bucket boundary, {exact(last, condition.unit)}"
            return f"value and limit are both {_between(low, high, condition.unit)}: the quantile is known no better"
        if _same(high, limit) and (condition.op == "==" or (_same(value, limit) and condition.op in ("<", ">="))):
            return f"the quantile is at most {exact(limit, condition.unit)}, the boundary of its bucket: write <= or >"
        return ""

    def beside(self, condition: Condition) -> str:
        """Where the limit lies, if it is no boundary; else empty."""
        if self.lacking or any(_same(b, condition.limit) for b in self.boundaries):
            return ""
        low, high = self.around(condition.limit)
        if math.isinf(high):
            return f"beyond the last bucket boundary, {exact(low, condition.unit)}"
        return _between(low, high, condition.unit)


def read(query: str, answers: Mapping[str, Answer]) -> Buckets | None:
    """The buckets behind a query. None if it is no quantile, or one of native histograms: their series have no `le`.

    Of histograms with different boundaries, or that changed them meanwhile, those count that all have always had."""
    found = promql.quantile(query)
    if found is None:
        return None
    told = {series: answers.get(PREFIX + series) for series in found.series}
    for series, answer in told.items():
        if why := _lacking(answer):
            return Buckets((), f"{series}: {why}")
    shared = [_shared(answer) for answer in told.values() if answer and any("le" in s.labels for s in answer.series)]
    if not shared:
        return None
    return Buckets(tuple(sorted(le * found.scale for le in set.intersection(*shared) if math.isfinite(le))))


def decisive(condition: Condition, values: Sequence[float], buckets: Buckets | None) -> tuple[float, str]:
    """The value that decides, and why it does not: the worst that breaks the limit for certain; else one that is in
    doubt; else the worst. `values` must not be empty, and all be finite."""
    doubts = {v: buckets.doubt(condition, v) if buckets else "" for v in values}
    certain = [v for v, doubt in doubts.items() if not doubt]
    if certain and condition.holds(worst := condition.worst(certain)) is False:
        return worst, ""
    doubtful = [v for v, doubt in doubts.items() if doubt]
    worst = condition.worst(doubtful or certain)
    return worst, doubts[worst]


def _lacking(answer: Answer | None) -> str:
    if answer is None:
        return "never asked"
    return answer.error or "; ".join(answer.warnings) or ("" if any(s.points for s in answer.series) else "no data")


def _shared(answer: Answer) -> set[float]:
    """The boundaries that as many series have as any other, at each moment that there is."""
    counted = defaultdict[float, dict[float, float]](dict)
    for series in answer.series:
        for at, number in series.points:
            counted[at][float(series.labels.get("le", "nan"))] = number
    return set.intersection(*({le for le, n in row.items() if n == max(row.values())} for row in counted.values()))


def _between(low: float, high: float, unit: str) -> str:
    return f"between the bucket boundaries {exact(low, unit)} and {exact(high, unit)}"


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=SAME)
