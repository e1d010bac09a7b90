"""How much worse was it than in the steady state, and how sure is that?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator

from chaoskit import units
from chaoskit.checks.judging import inconclusive, landed_or_why, unseen
from chaoskit.conditions import LATENCIES, MEASURES
from chaoskit.contracts import Check, Record
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.samples import Sample

RESAMPLES = 400
CONFIDENCE = 0.95
BLOCK_S = 1.0
"""Requests of one second share their luck, so whole seconds are drawn: the block bootstrap (Künsch, Annals of
Statistics 17, 1989)."""
FEWEST_BLOCKS = 5
Measure = Callable[[Sequence[Sample], float], float | None]


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


class Baseline(Check):
    """A measure of the load in a step's window is at most so many times what it was in the steady state."""

    kind: ClassVar[str] = "baseline"

    of: str = Field(description="the step")
    measure: str = Field(description="one of the load's measures, as in p99")
    times: float = Field(
        gt=0, strict=True, description="at most so many times the steady state's value; at least, for rate"
    )

    @field_validator("measure")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in MEASURES:
            raise ValueError(f"{units.shown(value)} is no measure of the load; there are: {', '.join(MEASURES)}")
        return value

    def rests_on_load(self) -> bool:
        return True

    def times_requests(self) -> bool:
        return self.measure in LATENCIES

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"{self.measure} during “{self.of}” {self._word} {self.times:g} times the steady state's"

    @property
    def _more_is_better(self) -> bool:
        return self.measure == "rate"

    @property
    def _word(self) -> str:
        return "at least" if self._more_is_better else "at most"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        if "steady" not in record.phases:
            return inconclusive(self, "there was no steady state to compare with", step=self.of)
        samples = record.pulse if self.measure.startswith("pulse") else record.locust
        before = _blocks(samples, *record.phases["steady"])
        during = _blocks(samples, step.began, step.ended or record.ended)
        for blocks, when in ((before, "the steady state"), (during, "the step")):
            if len(blocks) < FEWEST_BLOCKS:
                reason = f"{when} has requests in {units.count(len(blocks), 'second')}; {FEWEST_BLOCKS} are needed"
                return inconclusive(self, reason, step=self.of)
        for began, ended in (record.phases["steady"], (step.began, step.ended or record.ended)):
            if lacking := unseen(record, self.measure.startswith("pulse"), began, ended):
                return inconclusive(self, lacking, step=self.of)
        return self._compare(record, before, during)

    def _compare(self, record: Record, before: list[list[Sample]], during: list[list[Sample]]) -> Finding:
        unit, meaning, measure = MEASURES[self.measure]
        was, now = _measured(measure, before), _measured(measure, during)
        if was is None or now is None or was <= 0:
            shown = units.show(was, unit)
            return inconclusive(self, f"the steady state's {self.measure} is {shown}: no ratio to it", step=self.of)
        interval = _ratio(measure, before, during, random.Random(f"{record.run}/{self.of}"))  # noqa: S311 - repeatable
        ratio = now / was
        return Finding(
            self.title(),
            self.kind,
            self._verdict(interval),
            f"{units.show(now, unit)} after {units.show(was, unit)}: {ratio:.3g} times, between {interval.low:.3g} and "
            f"{interval.high:.3g} with {CONFIDENCE:.0%} confidence",
            value=ratio,
            unit="times",
            uncertainty=(interval.high - interval.low) / 2,
            limit=f"{self._word} {self.times:g} times",
            margin=ratio - self.times if self._more_is_better else self.times - ratio,
            step=self.of,
            evidence=(Evidence("baseline", {"measure": meaning, "before": was, "during": now, "unit": unit}),),
        )

    def _verdict(self, interval: Interval) -> Verdict:
        """Only what lies wholly on one side of the limit is decided."""
        if self.times < interval.low:
            return Verdict.PASSED if self._more_is_better else Verdict.FAILED
        if self.times >= interval.high:
            return Verdict.FAILED if self._more_is_better else Verdict.PASSED
        return Verdict.INCONCLUSIVE


def _blocks(samples: Sequence[Sample], began: float, ended: float) -> list[list[Sample]]:
    """The requests of each whole second of the window, without seconds that have none."""
    found: dict[int, list[Sample]] = {}
    whole = int((ended - began) / BLOCK_S)
    for s in samples:
        number = int((s.intended - began) // BLOCK_S)
        if 0 <= number < whole:
            found.setdefault(number, []).append(s)
    return [found[number] for number in sorted(found)]


def _measured(measure: Measure, blocks: Sequence[Sequence[Sample]]) -> float | None:
    return measure([s for block in blocks for s in block], len(blocks) * BLOCK_S)


def _ratio(
    measure: Measure, before: Sequence[Sequence[Sample]], during: Sequence[Sequence[Sample]], rng: random.Random
) -> Interval:
    """The percentile interval of the ratio over resampled seconds."""
    ratios = []
    for _ in range(RESAMPLES):
        was = _measured(measure, rng.choices(before, k=len(before)))
        now = _measured(measure, rng.choices(during, k=len(during)))
        if was and now is not None:
            ratios.append(now / was)
    ratios.sort()
    tail = int((1 - CONFIDENCE) / 2 * len(ratios))
    return Interval(ratios[tail], ratios[-1 - tail])
