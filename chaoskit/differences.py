"""What changed between runs, and whether by more than runs differ by themselves. Pure.

Of a single pair, each number's own uncertainty is known: both are bounds, so they add up (Taylor, An Introduction to
Error Analysis, 2nd edition, 1997, 2.5). Of several runs their spread is known, and `noise` judges it; the several
expectations of one experiment are allowed for by Holm's correction.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chaoskit import noise
from chaoskit.history import Number, PastRun
from chaoskit.model import Verdict

FEWEST_FOR_TREND = 4
"""Three numbers in a row rise by chance in one of six."""


class Told(enum.Enum):
    """What can be said of a difference."""

    MORE = "more than the noise"
    MEASURED = "more than the measurement's own noise"
    """Of a single pair: how far runs differ by themselves is not known."""
    WITHIN = "within the noise"
    UNKNOWN = "cannot be told"


@dataclass(frozen=True, slots=True)
class Side:
    """One expectation in one group of runs."""

    runs: int
    held: int
    values: tuple[float, ...]
    uncertainty: float | None
    """The median of those that are known."""
    margin: float | None

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None


@dataclass(frozen=True, slots=True)
class Difference:
    """One expectation in two groups of runs. `shift` is in `unit`, positive where the number went up."""

    experiment: str
    name: str
    unit: str
    before: Side
    after: Side
    shift: float | None
    p: float | None
    """The chance of so large a difference among runs that do not differ, corrected for the experiment's others."""
    told: Told
    why: str

    @property
    def worse(self) -> bool | None:
        """Whether it came nearer to its limit, or further beyond; None where that is not known."""
        if self.before.margin is None or self.after.margin is None or self.before.margin == self.after.margin:
            return None
        return self.after.margin < self.before.margin


@dataclass(frozen=True, slots=True)
class Comparison:
    differences: tuple[Difference, ...]
    only_before: tuple[str, ...]
    """Experiments, or expectations of those that are on both sides."""
    only_after: tuple[str, ...]


def compare(before: Sequence[PastRun], after: Sequence[PastRun]) -> Comparison:
    first, second = _by_experiment(before), _by_experiment(after)
    differences: list[Difference] = []
    missing, new = [e for e in first if e not in second], [e for e in second if e not in first]
    for experiment in (e for e in first if e in second):
        a, b = _by_expectation(first[experiment]), _by_expectation(second[experiment])
        pairs = _pairs(a, b)
        differences += _corrected([_difference(experiment, a[old], b[new_]) for old, new_ in pairs])
        missing += [f"{experiment}: {key}" for key in a if key not in {old for old, _ in pairs}]
        new += [f"{experiment}: {key}" for key in b if key not in {new_ for _, new_ in pairs}]
    return Comparison(tuple(differences), tuple(missing), tuple(new))


def _by_experiment(runs: Sequence[PastRun]) -> dict[str, list[PastRun]]:
    found: dict[str, list[PastRun]] = {}
    for run in runs:
        found.setdefault(run.experiment, []).append(run)
    return found


def _by_expectation(runs: Sequence[PastRun]) -> dict[str, list[Number]]:
    found: dict[str, list[Number]] = {}
    for number in (number for run in runs for number in run.numbers):
        found.setdefault(number.name, []).append(number)
    return found


def _pairs(before: Mapping[str, Sequence[Number]], after: Mapping[str, Sequence[Number]]) -> list[tuple[str, str]]:
    """Expectations of the same name; and, as a name tells the limit, the only ones left of a kind about a step."""
    pairs = {name: name for name in before if name in after}
    left = [name for name in before if name not in pairs]
    other = [name for name in after if name not in pairs]
    for name in left:
        alike = [one for one in left if _about(before[one]) == _about(before[name])]
        theirs = [one for one in other if _about(after[one]) == _about(before[name])]
        if len(alike) == len(theirs) == 1:
            pairs[name] = theirs[0]
    return [(name, pairs[name]) for name in before if name in pairs]


def _about(numbers: Sequence[Number]) -> tuple[str, str, str]:
    return numbers[0].kind, numbers[0].step, numbers[0].unit


def _difference(experiment: str, before: Sequence[Number], after: Sequence[Number]) -> Difference:
    a, b = _side(before), _side(after)
    shift = noise.shift(a.values, b.values) if a.values and b.values else None
    bare = Difference(experiment, after[0].name, after[0].unit, a, b, shift, None, Told.UNKNOWN, "")
    if a.runs == b.runs == 1:
        return _of_a_pair(bare)
    if shift is not None:
        return replace(bare, p=noise.mann_whitney(a.values, b.values))
    return replace(bare, p=noise.fisher(a.held, a.runs, b.held, b.runs))


def _side(numbers: Sequence[Number]) -> Side:
    uncertainties = [n.uncertainty for n in numbers if n.uncertainty is not None]
    margins = [n.margin for n in numbers if n.margin is not None]
    return Side(
        runs=len(numbers),
        held=sum(n.verdict is Verdict.PASSED for n in numbers),
        values=tuple(n.value for n in numbers if n.value is not None),
        uncertainty=statistics.median(uncertainties) if uncertainties else None,
        margin=statistics.median(margins) if margins else None,
    )


def _of_a_pair(found: Difference) -> Difference:
    if found.shift is None:
        same = found.before.held == found.after.held
        why = "the verdict is the same" if same else "the verdict is another one; one run each does not tell why"
        return replace(found, told=Told.WITHIN if same else Told.UNKNOWN, why=why)
    if found.shift == 0:
        return replace(found, told=Told.WITHIN, why="the same number")
    if found.before.uncertainty is None or found.after.uncertainty is None:
        return replace(found, why="no uncertainty is known")
    if abs(found.shift) <= found.before.uncertainty + found.after.uncertainty:
        return replace(found, told=Told.WITHIN, why="not more than both uncertainties")
    return replace(found, told=Told.MEASURED, why="how far runs differ by themselves, one pair does not tell")


def _corrected(found: Sequence[Difference]) -> list[Difference]:
    """Judges those that have a p, together."""
    several = [d for d in found if d.p is not None]
    corrected = dict(zip(map(id, several), noise.holm([d.p for d in several if d.p is not None]), strict=True))
    return [_judged(d, corrected[id(d)], len(several)) if id(d) in corrected else d for d in found]


def _judged(found: Difference, p: float, of: int) -> Difference:
    found = replace(found, p=p)
    a, b = found.before, found.after
    measured = (a.uncertainty or 0.0) + (b.uncertainty or 0.0)
    if found.shift is not None and abs(found.shift) <= measured:
        return replace(found, told=Told.WITHIN, why="not more than the uncertainty of a measurement")
    if p < noise.LEVEL:
        return replace(found, told=Told.MORE, why=f"p = {p:.2g}")
    sizes = (len(a.values), len(b.values)) if found.shift is not None else (a.runs, b.runs)
    if noise.least_p(*sizes) * of >= noise.LEVEL:
        return replace(found, told=Told.UNKNOWN, why=f"too few runs; {_enough(of)} on each side could tell")
    return replace(found, told=Told.WITHIN, why=f"p = {p:.2g}")


def _enough(of: int) -> int:
    """How many runs on each side can show anything, where `of` expectations are looked at."""
    return next(n for n in range(2, 1000) if noise.least_p(n, n) * of < noise.LEVEL)


# ── over time ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Trend:
    """One expectation over the runs of an experiment, in order of time."""

    name: str
    unit: str
    verdicts: tuple[Verdict, ...]
    points: tuple[tuple[float, float], ...]
    """(start of the run in Unix seconds, value) of the runs that measured one."""
    a_day: float
    p: float | None
    """The chance of so steady a rise or fall among runs that do not change, corrected for the experiment's others."""

    @property
    def values(self) -> tuple[float, ...]:
        return tuple(value for _, value in self.points)

    @property
    def moves(self) -> bool:
        return self.p is not None and self.p < noise.LEVEL


def trends(runs: Sequence[PastRun]) -> dict[str, list[Trend]]:
    """By experiment. `runs` are in order of time."""
    return {experiment: _trends(found) for experiment, found in _by_experiment(runs).items()}


def _trends(runs: Sequence[PastRun]) -> list[Trend]:
    """By the name that an expectation has now: one whose limit changed keeps its past."""
    names: dict[str, list[tuple[float, Number]]] = {}
    for run in runs:
        known = {key: [numbers[-1][1]] for key, numbers in names.items()}
        pairs = dict(_pairs(known, {number.name: [number] for number in run.numbers}))
        names = {pairs.get(key, key): numbers for key, numbers in names.items()}
        for number in run.numbers:
            names.setdefault(number.name, []).append((run.started_unix, number))
    found = [_trend(name, numbers) for name, numbers in names.items()]
    several = [trend for trend in found if trend.p is not None]
    corrected = dict(zip(map(id, several), noise.holm([t.p for t in several if t.p is not None]), strict=True))
    return [replace(trend, p=corrected.get(id(trend))) for trend in found]


def _trend(name: str, numbers: Sequence[tuple[float, Number]]) -> Trend:
    points = tuple((at, number.value) for at, number in numbers if number.value is not None)
    values = [value for _, value in points]
    return Trend(
        name=name,
        unit=next((number.unit for _, number in numbers if number.unit), ""),
        verdicts=tuple(number.verdict for _, number in numbers),
        points=points,
        a_day=noise.slope(points) * 86400,
        p=noise.mann_kendall(values) if len(values) >= FEWEST_FOR_TREND else None,
    )
