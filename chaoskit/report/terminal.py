"""What a terminal shows: the verdict with one line for each expectation, and what a run would do.

Texts from files and clusters are printed as they are, never as markup, and without control characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chaoskit import buckets, evidence, rbac, scrapes
from chaoskit.batch import Batch
from chaoskit.contracts import Record
from chaoskit.model import Answer, Finding, Right, Target, Verdict
from chaoskit.report import wording
from chaoskit.report.live import LiveView
from chaoskit.result import Result

__all__ = ["LiveView", "print_batch", "print_preview", "print_verdict", "verdict_lines"]

STYLES = {Verdict.PASSED: "green", Verdict.INCONCLUSIVE: "yellow", Verdict.FAILED: "bold red"}
NARROW = 80
"""Below this many columns, the numbers stand under an expectation and not beside it."""
MOST_POINTS = 3


def print_verdict(
    result: Result, record: Record | None = None, console: Console | None = None, *, verbose: bool = False
) -> None:
    console = console or Console()
    console.print(verdict_lines(result, record, width=console.width, verbose=verbose))


def print_batch(batch: Batch, console: Console | None = None) -> None:
    """A line for each experiment, the sentence about all, and what is left broken."""
    console = console or Console()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for part in batch.parts:
        mark, style = (part.verdict.mark, STYLES[part.verdict]) if part.verdict else ("–", "dim")
        table.add_row(Text(mark, style=style), Text(wording.one_line(part.name)))
        if part.verdict is not Verdict.PASSED:
            table.add_row(Text(), Text(wording.one_line(part.decided), style=style))
    sentence = Text(f"{batch.verdict.mark} {wording.one_line(batch.sentence)}", style=STYLES[batch.verdict])
    left = [left for result in batch.results for left in result.unhealed]
    console.print(Group(Text(), table, Text(), sentence.append(f" (exit code {batch.exit_code})", style="dim")))
    if left:
        console.print(_unhealed(left))


def verdict_lines(
    result: Result, record: Record | None = None, *, width: int = 100, verbose: bool = False
) -> RenderableType:
    """Expectations, what the verdict rests on where it is not in order, the recovery, the verdict, and what is left."""
    rests_on = [f for f in result.findings if not f.asked and (verbose or f.verdict is not Verdict.PASSED)]
    parts: list[RenderableType] = [_findings([*result.asked, *rests_on], narrow=width < NARROW)]
    parts += [Text(line) for line in (_recovery(record) if record else ())]
    parts += [Text(wording.one_line(f"note: {note}"), style="dim") for note in (result.notes if verbose else ())]
    parts += [Text(), _sentence(result)]
    parts += [_unhealed(result.unhealed)] if result.unhealed else []
    return Group(*parts)


def _sentence(result: Result) -> Text:
    text = Text(f"{result.verdict.mark} {wording.one_line(result.sentence)}", style=STYLES[result.verdict])
    return text.append(f" (exit code {result.exit_code})", style="dim")


def _findings(findings: Sequence[Finding], *, narrow: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    if not narrow:
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="fold")
    for finding in findings:
        for row in _narrow_rows(finding) if narrow else _wide_rows(finding):
            table.add_row(*row)
    return table


def _wide_rows(finding: Finding) -> Iterator[tuple[Text, ...]]:
    yield _mark(finding), _name(finding), Text(wording.measured(finding)), _limit(finding)
    if finding.verdict is not Verdict.PASSED:
        yield Text(), _reason(finding), Text(), Text()


def _narrow_rows(finding: Finding) -> Iterator[tuple[Text, ...]]:
    yield _mark(finding), _name(finding)
    if finding.value is not None or finding.limit:
        yield Text(), Text(f"{wording.measured(finding)}, ").append_text(_limit(finding))
    if finding.verdict is not Verdict.PASSED:
        yield Text(), _reason(finding)


def _mark(finding: Finding) -> Text:
    return Text(finding.verdict.mark, style=STYLES[finding.verdict])


def _name(finding: Finding) -> Text:
    name = Text(wording.one_line(finding.name))
    return name if finding.verdict is Verdict.PASSED else name.append(f" ({finding.verdict.value})", style="bold")


def _limit(finding: Finding) -> Text:
    return Text(f"limit {wording.one_line(finding.limit)}" if finding.limit else "", style="dim")


def _reason(finding: Finding) -> Text:
    away = wording.margin(finding)
    return Text(wording.one_line(f"{finding.reason}{f'; {away}' if away else ''}"), style=STYLES[finding.verdict])


# ── recovery, and what is left ───────────────────────────────────────────────────────────────────────────────────────


def _recovery(record: Record) -> Iterator[str]:
    """The chain of the first target, in one line."""
    chains = [chain for step in record.steps for chain in evidence.recovery_chains(record, step)]
    if not chains:
        return
    first = chains[0]
    seen = sorted((link.at, link.name) for link in first.links if link.at is not None)
    moments = " → ".join(f"{name} +{at - first.accepted:.2f} s" for at, name in seen[1:])
    heir = first.replacement or "no replacement"
    more = f" (and {len(chains) - 1} more)" if len(chains) > 1 else ""
    yield ""
    yield wording.one_line(f"{first.victim} → {heir}{more}: {moments}; longest: {first.slowest_link}")


def _unhealed(left: Sequence[tuple[str, str]]) -> RenderableType:
    """The loudest thing that chaoskit says: something of the user's is still broken."""
    lines: list[RenderableType] = [Text(" NOT PUT BACK ", style="bold white on red"), Text()]
    for what, fix in left:
        lines.append(Text(f"✗ {wording.one_line(what)}", style="bold red"))
        lines.append(Text(f"  type: {wording.one_line(fix)}", style="bold"))
    return Padding(Group(*lines), (1, 0, 0, 0))


# ── what a run would do ──────────────────────────────────────────────────────────────────────────────────────────────


class _Plan(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def seed(self) -> int: ...


class _Planned(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def targets(self) -> Sequence[Target]: ...
    @property
    def undo(self) -> Sequence[str]: ...
    @property
    def why_not(self) -> str: ...


class PreviewLike(Protocol):
    """What would be done, as `chaoskit plan` finds it out."""

    @property
    def plan(self) -> _Plan: ...
    @property
    def steps(self) -> Sequence[_Planned]: ...
    @property
    def rights(self) -> Mapping[Right, bool | None]: ...
    @property
    def answers(self) -> Mapping[str, Answer]: ...
    @property
    def warnings(self) -> Sequence[str]: ...


def print_preview(preview: PreviewLike, console: Console | None = None) -> None:
    """Targets and undo of each step, rights, and queries with their present values."""
    console = console or Console()
    parts: list[tuple[str, Callable[[PreviewLike], Iterator[str]]]] = [
        ("Steps", _planned),
        ("Rights", _rights),
        ("Queries now", _queries),
        ("Warnings", lambda preview: iter(preview.warnings)),
    ]
    plan = preview.plan
    console.print(Text(wording.one_line(f"namespace {plan.namespace}, seed {plan.seed}; nothing is touched")))
    for title, lines in parts:
        console.print(Text(f"\n{title}", style="bold"))
        for line in list(lines(preview)) or ["none"]:
            console.print(Text(f"  {wording.clean(line)}"))


def _planned(preview: PreviewLike) -> Iterator[str]:
    for step in preview.steps:
        yield f"{step.name} ({step.verb})"
        if step.why_not:
            yield f"  ✗ refused: {step.why_not}"
        for target in step.targets:
            yield f"  hits {target}{f' on {target.node}' if target.node else ''}"
        for undo in dict.fromkeys(step.undo):
            yield f"  undo: {undo}"


def _rights(preview: PreviewLike) -> Iterator[str]:
    marks = {True: "✓", False: "✗ missing:", None: "? not known:"}
    for right, allowed in preview.rights.items():
        yield f"{marks[allowed]} {right}"
    missing = [right for right, allowed in preview.rights.items() if allowed is False]
    for space, rights in rbac.by_namespace(missing).items():
        kind = f"a Role in {space}" if space else "a ClusterRole"
        yield f"rules of {kind} that would grant what is missing; chaoskit rbac FILE writes all of them:"
        for rule in rbac.rules(rights):
            yield f"  {json.dumps(rule)}"


def _queries(preview: PreviewLike) -> Iterator[str]:
    for name, answer in preview.answers.items():
        if name.startswith((buckets.PREFIX, scrapes.PREFIX)):
            continue
        yield f"{name} = {_value_now(answer)}"
        yield f"  {wording.one_line(answer.query)}"


def _value_now(answer: Answer) -> str:
    if answer.error:
        return f"? no answer: {answer.error}"
    values = [s.points[-1][1] for s in answer.series if s.points]
    shown = ", ".join(f"{value:.6g}" for value in values[:MOST_POINTS]) or "? no data"
    more = f" and {len(values) - MOST_POINTS} more series" if len(values) > MOST_POINTS else ""
    return f"{shown}{more}{f' (warnings: {answer.warnings})' if answer.warnings else ''}"
