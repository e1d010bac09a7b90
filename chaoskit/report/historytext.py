"""What a terminal shows of past runs: a table, the trend of each expectation, and what changed between two groups."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from chaoskit import noise, units
from chaoskit.differences import Comparison, Difference, Side, Told, Trend
from chaoskit.history import PastRun
from chaoskit.model import Verdict
from chaoskit.report import wording
from chaoskit.report.terminal import STYLES

BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 40
MARKS = {Told.MORE: "≠", Told.MEASURED: "≠", Told.WITHIN: "=", Told.UNKNOWN: "?"}


def print_runs(runs: Sequence[PastRun], console: Console | None = None) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for wraps in (False, False, True, False):
        table.add_column(no_wrap=not wraps, overflow="fold")
    for run in runs:
        mark = Text(run.verdict.mark, style=STYLES[run.verdict])
        began = Text(wording.moment(run.started_unix).removesuffix(":00 UTC").removesuffix(" UTC"))
        table.add_row(mark, began, _run(run), Text(wording.lasting(run.seconds)))
    (console or Console()).print(table)


def _run(run: PastRun) -> Text:
    said = wording.one_line(run.sentence.removeprefix(f"{run.verdict.value}: "))
    text = Text(wording.one_line(run.experiment))
    if run.verdict is not Verdict.PASSED:
        text.append(f"\n{said}", style=STYLES[run.verdict])
    return text.append(f"\n{wording.one_line(run.folder)}", style="dim")


def print_trends(trends: dict[str, list[Trend]], console: Console | None = None) -> None:
    parts: list[RenderableType] = []
    for experiment, rows in trends.items():
        parts.append(Text(f"\n{wording.one_line(experiment)}", style="bold"))
        for trend in rows:
            parts.append(Text(f"  {wording.one_line(trend.name)}"))
            parts += [Text(f"    {line}", style="bold" if trend.moves else "dim") for line in _trend_lines(trend)]
    (console or Console()).print(Group(*parts))


def _trend_lines(trend: Trend) -> list[str]:
    shown = trend.verdicts[-MOST_BARS:]
    lines = [
        f"{''.join(v.mark for v in shown)}  held in {trend.verdicts.count(Verdict.PASSED)} of {len(trend.verdicts)}"
    ]
    if trend.values:
        low, high, last = (
            wording.shown(v, trend.unit) for v in (min(trend.values), max(trend.values), trend.values[-1])
        )
        lines.append(f"{bars(trend.values)}  {low} to {high}, last {last}; {_moves(trend)}")
    return lines


def _moves(trend: Trend) -> str:
    if trend.p is None:
        return "too few numbers for a trend"
    if not trend.moves:
        return "no trend beyond the noise"
    way = "rises" if trend.a_day > 0 else "falls" if trend.a_day < 0 else "moves"
    return f"{way} by {wording.shown(abs(trend.a_day), trend.unit)} a day (p = {trend.p:.2g})"


def bars(values: Sequence[float]) -> str:
    """The newest numbers as small bars between the least and the most."""
    shown = [value for value in values[-MOST_BARS:] if abs(value) < float("inf")]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if low == high:
        return BARS[3] * len(shown)
    return "".join(BARS[round((value / 2 - low / 2) / (high / 2 - low / 2) * (len(BARS) - 1))] for value in shown)


def print_comparison(found: Comparison, console: Console | None = None) -> None:
    """Each expectation that is on both sides, the experiments under their names, and the statistics used."""
    parts: list[RenderableType] = []
    for experiment in dict.fromkeys(d.experiment for d in found.differences):
        parts.append(Text(f"\n{wording.one_line(experiment)}", style="bold"))
        for difference in (d for d in found.differences if d.experiment == experiment):
            parts += _difference(difference)
    parts += [Text(f"only before: {wording.one_line(name)}", style="dim") for name in found.only_before]
    parts += [Text(f"only after: {wording.one_line(name)}", style="dim") for name in found.only_after]
    parts += [Text(), *(Text(line, style="dim") for line in method(found))]
    (console or Console()).print(Group(*parts))


def _difference(found: Difference) -> list[Text]:
    style = {Told.MORE: "bold", Told.WITHIN: "dim"}.get(found.told, "yellow")
    numbers = f"{_side(found.before, found.unit)} → {_side(found.after, found.unit)}"
    moved = ""
    if found.shift is not None:
        moved = f", by {'+' if found.shift > 0 else ''}{units.show(found.shift, found.unit)}{_worse(found)}"
    return [
        Text(f"  {MARKS[found.told]} {wording.one_line(found.name)}"),
        Text(f"    {wording.one_line(numbers + moved)}"),
        Text(f"    {found.told.value}: {found.why}", style=style),
    ]


def _side(side: Side, unit: str) -> str:
    held = f"held in {side.held} of {side.runs}" if side.runs > 1 else ("held" if side.held else "did not hold")
    if side.median is None:
        return held
    if len(side.values) == 1:
        return f"{wording.shown(side.median, unit, side.uncertainty)} ({held})"
    low, high = wording.shown(min(side.values), unit), wording.shown(max(side.values), unit)
    return f"{wording.shown(side.median, unit)} [{low} … {high}] ({held})"


def _worse(found: Difference) -> str:
    if found.worse is None:
        return ""
    return " (worse)" if found.worse else " (better)"


def method(found: Comparison) -> list[str]:
    """The statistics that were used, in words."""
    lines = []
    if any(d.p is None for d in found.differences):
        lines.append("One run on each side: a difference is compared with the sum of both measurements' uncertainties.")
    if any(d.p is not None for d in found.differences):
        lines.append(
            "Several runs: median [least … most]; rank-sum test (numbers) or Fisher's (verdicts), both exact and"
            f" two-sided, at {noise.LEVEL:.0%}, with Holm's correction for an experiment's expectations."
        )
    return lines
