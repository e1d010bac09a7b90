"""An experiment that is run several times: how often it held, and the spread of each number. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from chaoskit.model import Finding, Verdict
from chaoskit.result import Result
from chaoskit.units import show

FILE, PAGE = "repetitions.json", "repetitions.md"


@dataclass(frozen=True, slots=True)
class Spread:
    """One expectation over all runs. Numbers in `unit`; None where no run measured one."""

    name: str
    unit: str
    passed: int
    failed: int
    inconclusive: int
    least: float | None
    median: float | None
    most: float | None
    deviation: float | None
    """The sample standard deviation; None for fewer than two numbers."""

    @property
    def runs(self) -> int:
        return self.passed + self.failed + self.inconclusive


@dataclass(frozen=True, slots=True)
class Repetitions:
    experiment: str
    runs: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    spreads: tuple[Spread, ...]

    @property
    def sentence(self) -> str:
        held = self.verdicts.count(Verdict.PASSED)
        undecided = self.verdicts.count(Verdict.INCONCLUSIVE)
        beside = f", {undecided} of them inconclusive" if undecided else ""
        return f"{self.experiment}: held in {held} of {len(self.verdicts)} runs{beside}"


def summarise(results: Sequence[Result]) -> Repetitions:
    """`results` must not be empty."""
    names = dict.fromkeys(finding.name for result in results for finding in result.asked)
    return Repetitions(
        results[0].experiment,
        tuple(result.run for result in results),
        tuple(result.verdict for result in results),
        tuple(_spread(name, results) for name in names),
    )


def _spread(name: str, results: Sequence[Result]) -> Spread:
    return spread(name, [finding for result in results for finding in result.asked if finding.name == name])


def spread(name: str, found: Sequence[Finding]) -> Spread:
    """Of the findings of one expectation, one from each run."""
    values = [finding.value for finding in found if finding.value is not None]
    verdicts = [finding.verdict for finding in found]
    return Spread(
        name=name,
        unit=next((finding.unit for finding in found if finding.unit), ""),
        passed=verdicts.count(Verdict.PASSED),
        failed=verdicts.count(Verdict.FAILED),
        inconclusive=verdicts.count(Verdict.INCONCLUSIVE),
        least=min(values, default=None),
        median=statistics.median(values) if values else None,
        most=max(values, default=None),
        deviation=statistics.stdev(values) if len(values) > 1 else None,
    )


def lines(found: Repetitions) -> list[str]:
    """For a terminal: the sentence, and a line for each expectation."""
    return [found.sentence, *(f"  {line(seen)}" for seen in found.spreads)]


def line(spread: Spread) -> str:
    numbers = f"; {_numbers(spread)}" if spread.median is not None else ""
    return f"{spread.name}: held in {spread.passed} of {spread.runs}{numbers}"


def _numbers(spread: Spread) -> str:
    least, median, most = (show(value, spread.unit) for value in (spread.least, spread.median, spread.most))
    deviation = f", standard deviation {show(spread.deviation, spread.unit)}" if spread.deviation is not None else ""
    return f"{least} to {most}, median {median}{deviation}"


def to_json(found: Repetitions) -> str:
    return json.dumps({**asdict(found), "verdicts": [v.value for v in found.verdicts]}, indent=2) + "\n"


def to_markdown(found: Repetitions) -> str:
    """A table, each run linked to its report."""
    rows = (
        f"| {_cell(s.name)} | {s.passed} of {s.runs} | {show(s.least, s.unit)} | {show(s.median, s.unit)} "
        f"| {show(s.most, s.unit)} | {show(s.deviation, s.unit)} |"
        for s in found.spreads
    )
    runs = (
        f"{number}. {verdict.mark} [{run}]({number:02}/report.html)"
        for number, (run, verdict) in enumerate(zip(found.runs, found.verdicts, strict=True), 1)
    )
    head = "| expectation | held | least | median | most | standard deviation |\n|---|---|---|---|---|---|"
    return "\n".join([f"# {_cell(found.sentence)}", "", head, *rows, "", *runs]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
