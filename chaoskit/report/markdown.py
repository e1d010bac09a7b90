"""summary.md: the run in one screen, for a pull request or a job's summary page."""

from __future__ import annotations

import re

from chaoskit.batch import Batch, Part, ranked
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.report import evidencetext, wording
from chaoskit.result import Result

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~!@&])")
MOST_CHAINS = 3


def render(result: Result) -> str:
    """The text of summary.md."""
    parts = [
        f"# {result.verdict.mark} {_escaped(result.sentence)}",
        _escaped(result.why),
        _unhealed(result),
        _doubts(result),
        _expectations(result),
        _chains(result),
        _about(result),
        _reproduce(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_all(batch: Batch) -> str:
    """One page for a batch: each experiment in a line, and the expectations of those that did not hold."""
    parts = [
        f"# {batch.verdict.mark} {_escaped(batch.sentence)}",
        *(_unhealed(result) for result in batch.results),
        "\n".join(["| | experiment | what decided | lasted |", "|---|---|---|--:|", *map(_row, ranked(batch.parts))]),
        *(_beneath(part) for part in ranked(batch.parts) if part.runs and part.verdict is not Verdict.PASSED),
        f"- began {wording.moment(batch.began_unix)}, exit code {batch.exit_code}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(part: Part) -> str:
    verdict = f"{part.verdict.mark} {part.verdict.value}" if part.verdict else "– not run"
    lasted = wording.lasting(part.seconds) if part.runs else "–"
    return f"| {verdict} | {_escaped(part.name)} | {_escaped(part.decided)} | {lasted} |"


def _beneath(part: Part) -> str:
    bad = [done for done in part.runs if done.result.verdict is not Verdict.PASSED]
    tables = [f"{_code(done.folder)}\n\n{_doubts(done.result)}\n\n{_expectations(done.result)}" for done in bad]
    return "\n\n".join([f"## {_escaped(part.name)}", *tables])


def _escaped(text: str) -> str:
    """One line in which no character means anything to Markdown or HTML."""
    return _MARKUP.sub(
        lambda m: {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(m[1], f"\\{m[1]}"), wording.one_line(text)
    )


def _code(text: str) -> str:
    """A code span; its fence is longer than any run of backticks within."""
    line = wording.one_line(text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}" if len(fence) > 1 else f"`{line}`"


def _unhealed(result: Result) -> str:
    if not result.unhealed:
        return ""
    rows = [f"- ✗ {_escaped(left)}; type {_code(fix)}" for left, fix in result.unhealed]
    return "\n".join(["**✗ Not everything could be put back. This is left broken:**", "", *rows])


def _doubts(result: Result) -> str:
    rows = [f"- {f.verdict.mark} {_escaped(f.name)}: {_escaped(f.reason)}" for f in wording.doubts(result)]
    return "\n".join(["**What this verdict rests on is not all in order:**", "", *rows]) if rows else ""


def _expectations(result: Result) -> str:
    head = ["| | expectation | measured | limit | margin | why |", "|---|---|---|---|---|---|"]
    return "\n".join(head + [_expectation(f) for f in wording.ranked(result.asked)]) if result.asked else ""


def _expectation(finding: Finding) -> str:
    cells = (
        f"{finding.verdict.mark} {finding.verdict.value}",
        _escaped(finding.name),
        _escaped(wording.measured(finding)),
        _escaped(finding.limit) or "–",
        _escaped(wording.margin(finding)) or "–",
        _escaped(finding.reason),
    )
    return f"| {' | '.join(cells)} |"


def _chains(result: Result) -> str:
    found = [piece for finding in result.asked for piece in finding.evidence if "links" in piece.data]
    shown = [_chain(piece) for piece in found[:MOST_CHAINS]]
    if len(found) > MOST_CHAINS:
        shown.append(f"And {len(found) - MOST_CHAINS} more in `report.html`.")
    return "\n\n".join(["## Recovery, link by link", *shown]) if shown else ""


def _chain(piece: Evidence) -> str:
    heir = piece.data.get("replacement") or "no replacement was seen"
    rows = [
        f"| {_escaped(str(link['link']))} | {evidencetext.value('after', link['after'])} |"
        for link in piece.data["links"]
    ]
    title = f"{_code(str(piece.data['victim']))} → {_code(str(heir))}"
    return "\n".join([title, "", "| link | after the fault |", "|---|--:|", *rows])


def _about(result: Result) -> str:
    cluster = result.cluster
    where = " ".join(part for part in (cluster.provider, cluster.context, cluster.version, cluster.profile) if part)
    targets = ", ".join(_code(str(target)) for target in result.targets[:20]) or "none"
    more = f" and {len(result.targets) - 20} more" if len(result.targets) > 20 else ""
    lasted = f"lasted {wording.lasting(result.seconds)}, {_escaped(wording.ended(result.how))}"
    lines = (
        f"- started {wording.moment(result.started_unix)}, {lasted}",
        f"- cluster: {_escaped(where)}; namespace {_code(result.namespace)}",
        f"- targets: {targets}{more}",
        f"- run {_code(result.run)}, seed {result.seed}, exit code {result.exit_code}",
    )
    return "\n".join(lines)


def _reproduce(result: Result) -> str:
    run, judge = wording.reproduce(result)
    lines = [
        "## Again",
        "",
        "In the run's folder:",
        "",
        "```sh",
        f"{run}    # the same targets",
        f"{judge}    # the same data, offline",
        "```",
    ]
    return "\n".join(lines)
