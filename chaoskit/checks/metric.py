"""A condition on a PromQL value or on one of the load's measures, over a step's window or the whole run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from chaoskit import buckets, conditions, scrapes, units
from chaoskit.checks.judging import WITNESS, asked_of, inconclusive, landed_or_why, unseen, witnessed
from chaoskit.conditions import LATENCIES, MEASURES, Condition
from chaoskit.contracts import Check, Record
from chaoskit.model import Answer, Evidence, Finding, Series, Verdict
from chaoskit.samples import Outcome, Sample

ConditionField = Annotated[
    Condition,
    PlainValidator(conditions.parse, json_schema_input_type=str),
    PlainSerializer(lambda c: c.text, return_type=str),
]
SHOWN_POINTS = 120
NO_DATA = "the query gave no data in the window"
GROWING = ("rate", "slowest")
SHARES = ("failures", "pulse_failures")


class Metric(Check):
    """A named metric or measure keeps its limit."""

    kind: ClassVar[str] = "metric"
    short_form: ClassVar[bool] = True

    holds: ConditionField = Field(description="as in errors < 1%")
    of: str = Field("", description="only during this step; from the first step to the end where nothing is said")
    when: Literal["always", "at the end"] = Field("always", description="throughout the window, or at its end")

    witness: str = Field("", description=f"for a measure of the load: {WITNESS}")

    @model_validator(mode="after")
    def _witness_of_a_measure(self) -> Metric:
        if self.witness and self.holds.name not in MEASURES:
            raise ValueError(
                f"a witness is for a measure of the load ({', '.join(MEASURES)}), and {self.holds.name} is none"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        """`metric: errors < 1%` is short for `metric: {holds: errors < 1%}`."""
        return {"holds": value} if isinstance(value, str) else value

    def metrics(self) -> Mapping[str, str]:
        return asked_of(self.witness)

    def rests_on_load(self) -> bool:
        return self.holds.name in MEASURES

    def times_requests(self) -> bool:
        return self.holds.name in LATENCIES

    def steps(self) -> Sequence[str]:
        return (self.of,) if self.of else ()

    def title(self) -> str:
        during = f" during “{self.of}”" if self.of else ""
        return f"{self.holds.text}{during}{' at the end' if self.when == 'at the end' else ''}"

    def judge(self, record: Record) -> Finding:
        window, why = self._window(record)
        if window is None:
            return inconclusive(self, why, step=self.of)
        if self.holds.name in MEASURES:
            return witnessed(self._judge_measure(record, *window), record, self.witness, *window)
        return self._judge_answer(record, *window)

    def _window(self, record: Record) -> tuple[tuple[float, float] | None, str]:
        if not self.of:
            if not record.steps:
                return None, "no step was reached"
            return (record.steps[0].began, record.phases.get("watched", (0.0, record.ended))[1]), ""
        step, why = landed_or_why(record, self.of)
        return ((step.began, step.ended or record.ended) if step else None), why

    def _judge_measure(self, record: Record, began: float, ended: float) -> Finding:
        samples = record.pulse if self.holds.name.startswith("pulse") else record.locust
        unit, meaning, measure = MEASURES[self.holds.name]
        within = conditions.measured(self.holds.name, samples, began, ended)
        value = measure(within, ended - began)
        shown: tuple[Evidence, ...] = (
            Evidence("requests", {"measure": meaning, "from": began, "to": ended, "requests": len(within)}),
        )
        if value is None:
            return inconclusive(self, "no request was recorded in the window", step=self.of, evidence=shown)
        reason = f"{units.count(len(within), 'request')} in {units.show(ended - began, 's')}"
        why = unseen(record, self.holds.name.startswith("pulse"), began, ended) or self._unsure(within)
        if why and not self._certain(value):
            return inconclusive(self, f"{why}; {reason}", step=self.of, evidence=shown, value=value, unit=unit)
        return self._finding(value, unit, shown, reason)

    def _unsure(self, within: Sequence[Sample]) -> str:
        """Why what was not sent could have decided otherwise: all of it may have failed, or none."""
        unsent = sum(s.outcome is Outcome.NOT_SENT for s in within)
        if not unsent or self.holds.name not in SHARES:
            return ""
        bad = sum(not s.ok for s in within)  # Those that were not sent are among these.
        if self.holds.holds((bad - unsent) / len(within)) == self.holds.holds(bad / len(within)):
            return ""
        return f"{units.count(unsent, 'request')} not sent, and may have failed"

    def _certain(self, value: float) -> bool:
        """Whether more requests could change nothing: they only raise a rate, or the longest latency."""
        kept, less = self.holds.holds(value), self.holds.op.startswith("<")
        return self.holds.name in GROWING and self.holds.op != "==" and kept != less

    def _judge_answer(self, record: Record, began: float, ended: float) -> Finding:
        answer = record.answers.get(self.holds.name)
        shown: tuple[Evidence, ...] = (_evidence(record, answer, began, ended),) if answer else ()
        if self.when == "at the end":
            # Only what is still there at the end counts: a series may have ended with its pod long before.
            began = max(began, ended - _longest_gap(record, self.holds.name))
        why, series = _usable(record, self.holds.name, began, ended, last=self.when == "at the end")
        values = [v for s in series for _, v in s.points]
        finite = [v for v in values if math.isfinite(v)]
        unit = self.holds.unit
        known = buckets.read(record.metrics.get(self.holds.name, ""), record.answers)
        if known:
            shown = (*shown, Evidence("buckets", {"boundaries": list(known.boundaries)}))
        value, doubt = buckets.decisive(self.holds, finite, known) if finite else (None, "no data")
        violated = not doubt and self.holds.holds(value) is False and not (answer and answer.warnings)
        if value is None or ((why or doubt) and not violated):
            return inconclusive(self, why or doubt, step=self.of, evidence=shown, value=value, unit=unit)
        return self._finding(value, unit, shown, self._of_samples(len(values)))

    def _of_samples(self, number: int) -> str:
        last = "last " if self.when == "at the end" else ""
        return f"the {last or 'only '}sample" if number == 1 else f"the worst of {number} {last}samples"

    def _finding(self, value: float, unit: str, shown: tuple[Evidence, ...], reason: str) -> Finding:
        return Finding(
            self.title(),
            self.kind,
            Verdict.PASSED if self.holds.holds(value) else Verdict.FAILED,
            reason,
            value=value,
            unit=unit or self.holds.unit,
            limit=self.holds.text,
            margin=self.holds.margin(value),
            step=self.of,
            evidence=shown,
        )


def _usable(record: Record, name: str, began: float, ended: float, *, last: bool) -> tuple[str, tuple[Series, ...]]:
    """(why the answer cannot carry a pass, or empty; its series within the window, or their `last` points)."""
    answer, query = record.answers.get(name), record.metrics.get(name, "")
    if answer is None:
        return "the query was never run", ()
    if answer.error:
        return f"Prometheus gave no answer: {answer.error}", ()
    first, until = record.origin_unix + began, record.origin_unix + ended
    known = scrapes.retimed(query, answer.series, record.answers)
    cut = [Series(s.labels, tuple(p for p in s.points if first <= p[0] <= until)) for s in known]
    series = tuple(Series(s.labels, s.points[-1:] if last else s.points) for s in cut if s.points)
    if not series:
        shown = any(first <= t <= until for s in answer.series for t, _ in s.points)
        return "nothing was scraped in the window: what was shown is older" if shown else NO_DATA, ()
    if answer.warnings:
        return f"the answer may be partial: {'; '.join(answer.warnings)}", series
    why = scrapes.lacking(query, record.answers) or conditions.undecidable([v for s in series for _, v in s.points])
    return f"the query gave {why}" if why else _gap(record, name, series, first, until, last=last), series


def _gap(record: Record, name: str, series: Sequence[Series], first: float, until: float, *, last: bool) -> str:
    """Where no series at all covers a stretch of the window. A series may begin or end with its pod; all may not."""
    times = sorted({t for s in series for t, _ in s.points})
    if not last and len(times) < scrapes.FEWEST:
        return "a single scrape fell into the window: watch longer, or scrape more often"
    longest = max(b - a for a, b in itertools.pairwise([first, *times, until]))
    return f"the data has a gap of {longest:.1f} s in the window" if longest > _longest_gap(record, name) else ""


def _longest_gap(record: Record, name: str) -> float:
    """How long the data may be silent: some of its own scrapes, where they are rarer than the others."""
    usual = scrapes.usual_s(record.metrics.get(name, ""), record.answers)
    return scrapes.LATE * max(record.scrape_interval_s, usual)


def _evidence(record: Record, answer: Answer, began: float, ended: float) -> Evidence:
    first, last = record.origin_unix + began, record.origin_unix + ended
    rows: list[dict[str, Any]] = []
    for series in answer.series:
        points = [(round(t - record.origin_unix, 3), v) for t, v in series.points if first <= t <= last]
        step = max(1, math.ceil(len(points) / SHOWN_POINTS))
        rows.append({"labels": dict(series.labels), "samples": len(points), "points": points[::step]})
    data = {"query": answer.query, "from": began, "to": ended, "series": rows, "warnings": list(answer.warnings)}
    return Evidence("PromQL", data | ({"error": answer.error} if answer.error else {}))
