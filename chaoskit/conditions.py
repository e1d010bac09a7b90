"""Conditions such as `errors < 0.1%` or `p99 < 300ms`: a named value, a comparison, a limit. Pure.

Names are the experiment's own metrics (PromQL) or one of the load's measures, which come from the recorded requests.
The no-data rule lives here: a value that is missing, NaN or infinite (a division by zero) never satisfies anything, and
never violates it either.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaoskit import units
from chaoskit.samples import Outcome, Sample, Stream
from chaoskit.units import quantity

_PATTERN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(<=|>=|==|<|>)\s*(\S+(?:\s+\S+)?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`name op limit`; the limit in base units (seconds, bytes, a fraction for %)."""

    name: str
    op: str
    limit: float
    unit: str
    text: str

    def holds(self, value: float | None) -> bool | None:
        """Whether it holds for a value; None for no value, NaN or an infinity."""
        if value is None or not math.isfinite(value):
            return None
        return _COMPARE[self.op](value, self.limit)

    def margin(self, value: float) -> float:
        """How far `value` is on the good side of the limit; negative beyond it."""
        if self.op == "==":
            return -abs(value - self.limit)
        return self.limit - value if self.op.startswith("<") else value - self.limit

    def worst(self, values: Sequence[float]) -> float:
        """The value that is furthest on the bad side. `values` must not be empty, and all be finite."""
        return min(values, key=self.margin)


def parse(text: object) -> Condition:
    """ValueError says how a condition is written."""
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            f"write a condition as NAME < LIMIT, as in errors < 0.1% or p99 < 300ms, not {units.shown(text)}"
        )
    limit, unit = quantity(match[3])
    return Condition(match[1], match[2], limit, unit, f"{match[1]} {match[2]} {match[3]}")


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _latency(share: float) -> Callable[[Sequence[Sample], float], float | None]:
    def measure(samples: Sequence[Sample], _seconds: float) -> float | None:
        answered = [s.latency for s in samples if s.outcome is not Outcome.NOT_SENT]
        return percentile(answered, share) if answered else None

    return measure


def _rate(samples: Sequence[Sample], seconds: float) -> float | None:
    return sum(s.ok for s in samples) / seconds if seconds > 0 else None


def _failures(samples: Sequence[Sample], _seconds: float) -> float | None:
    """Of those that were sent: one that was not is neither good nor bad."""
    sent = [s for s in samples if s.outcome is not Outcome.NOT_SENT]
    return sum(not s.ok for s in sent) / len(sent) if sent else None


def undecidable(values: Sequence[float]) -> str:
    """Why nothing can be concluded from these values of a query, or empty."""
    if not values:
        return "no data"
    if any(math.isnan(v) for v in values):
        return "NaN (a division of zero by zero?)"
    if any(math.isinf(v) for v in values):
        return "infinite (a division by zero?)"
    return ""


MEASURES: dict[str, tuple[str, str, Callable[[Sequence[Sample], float], float | None]]] = {
    "rate": ("/s", "good answers to Locust's users a second", _rate),
    "failures": ("%", "share of Locust's requests that failed", _failures),
    "p50": ("s", "median latency of Locust's requests", _latency(0.50)),
    "p95": ("s", "95th percentile of their latency", _latency(0.95)),
    "p99": ("s", "99th percentile of their latency", _latency(0.99)),
    "slowest": ("s", "their longest latency", _latency(1.0)),
    "pulse_failures": ("%", "share of the pulse's requests that failed", _failures),
}
"""The load's measures: unit, meaning, and the function from samples and seconds."""
LATENCIES = ("p50", "p95", "p99", "slowest")
"""Those of them that say how long requests took."""


def silence(samples: Sequence[Sample], began: float, ended: float) -> float:
    """The longest part of [began, ended) in which no request was due or under way, in seconds."""
    longest, reached = 0.0, began
    for sample in sorted(samples, key=lambda s: s.intended):
        if sample.end <= began or sample.intended >= ended:
            continue
        longest = max(longest, sample.intended - reached)
        reached = max(reached, sample.end)
    return max(longest, ended - reached)


def unit_of(text: object) -> str:
    """The unit of a condition's value: that of the measure that it names, else that of its limit; empty for no
    condition."""
    try:
        condition = parse(text)
    except ValueError:
        return ""
    return MEASURES[condition.name][0] if condition.name in MEASURES else condition.unit


def shown(text: str, value: float) -> str:
    """A value of the condition `text`, with its unit."""
    return units.show(value, unit_of(text))


def measure(name: str, samples: Sequence[Sample], began: float, ended: float) -> float | None:
    """A measure over the requests that were due in [began, ended); None when there was none."""
    return MEASURES[name][2](measured(name, samples, began, ended), ended - began)


def measured(name: str, samples: Sequence[Sample], began: float, ended: float) -> list[Sample]:
    """The requests that a measure of [began, ended) is made of: those that were due then, of the pulse or of Locust."""
    of_pulse = name.startswith("pulse")
    return [s for s in samples if began <= s.intended < ended and (s.stream is not Stream.LOCUST) == of_pulse]
