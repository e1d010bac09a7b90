"""report.html: one file that explains a run to somebody who was not there.

It needs no network and no script (one small script adds a read-out under the pointer), looks the same in ten years, and
stays below a megabyte: curves are binned, lists are cut and say so. A content security policy lets nothing else run,
whatever a cluster calls its objects.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chaoskit import units
from chaoskit.contracts import Record
from chaoskit.model import Evidence, Finding
from chaoskit.report import evidencetext, failures, picture, quality, states, timeline, waterfall, wording
from chaoskit.report.picture import Chart
from chaoskit.result import Result
from chaoskit.spec import Experiment

MOST_EVENTS = 150
MOST_EVIDENCE = 12
MOST_ROWS = 60
MOST_SERIES = 5
MOST_POINTS = 40
MOST_LOGS = 10
LOG_CHARACTERS = 6_000
BEFORE = ".before"
"""The end of a log's name that is of the container before a restart."""
MESSAGE_CHARACTERS = 240


def render(result: Result, record: Record, experiment: Experiment, logs: Mapping[str, str]) -> str:
    """The text of report.html."""
    page = environment()
    script = asset(page, "report.js")
    run, events = timeline.chart(record, experiment), states.reported(record)
    return page.get_template(
        "report.html.j2"
    ).render(
        result=result,
        record=record,
        verdict=result.verdict,
        sentence=headline(result),
        doubts=wording.doubts(result),
        rests_on=[f for f in result.findings if not f.asked],
        findings=wording.ranked(result.asked),
        about=about(result),
        run=run,
        said=Markup(said(run)),  # noqa: S704 - JSON in which every "<" is escaped
        recoveries=waterfall.recoveries(record),
        platform=waterfall.platform(record),
        failures=failures.failures(record),
        events=events[:MOST_EVENTS],
        more_events=max(0, len(events) - MOST_EVENTS),
        logs=ends_of(logs, result),
        more_logs=max(0, len(logs) - MOST_LOGS),
        facts=quality.facts(record),
        commands=wording.reproduce(result),
        most_evidence=MOST_EVIDENCE,
        most_rows=MOST_ROWS,
        css=asset(page, "report.css"),
        js=script,
        policy=policy(script),
    )


def environment() -> Environment:
    page = Environment(
        loader=PackageLoader("chaoskit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: wording.clean(value) if type(value) is str else value,
    )
    page.filters.update(
        line=wording.one_line,
        short=lambda text: wording.shortened(wording.one_line(text), MESSAGE_CHARACTERS),
        measured=wording.measured,
        margin=wording.margin,
        count=wording.count,
        seconds=lambda value: units.show(value, "s"),
        pieces=pieces,
    )
    return page


def asset(page: Environment, name: str) -> Markup:
    """A file of ours, which needs no escaping."""
    assert page.loader is not None  # noqa: S101 - it was given above
    return Markup(page.loader.get_source(page, name)[0])  # noqa: S704


def policy(script: str) -> str:
    """Only our own script may run, and nothing may be fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = ("default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'")
    return "; ".join((*allowed, "base-uri 'none'", "form-action 'none'"))


def headline(result: Result) -> str:
    """The verdict's sentence without its first word, which stands beside it as a sign."""
    text = wording.one_line(result.sentence)
    rest = text.removeprefix(f"{result.verdict.value}: ")
    return rest[:1].upper() + rest[1:]


def about(result: Result) -> list[tuple[str, str]]:
    cluster = result.cluster
    named = " ".join(part for part in (cluster.provider, cluster.context) if part)
    found = [
        ("started", wording.moment(result.started_unix)),
        ("lasted", f"{wording.lasting(result.seconds)}, {wording.ended(result.how)}"),
        ("cluster", ", ".join(part for part in (named, cluster.version) if part)),
        ("profile", cluster.profile),
        ("nodes", str(len(cluster.nodes)) if cluster.nodes else ""),
        ("namespace", result.namespace),
        ("commit", result.commit),
        ("seed", str(result.seed)),
        ("exit code", str(result.exit_code)),
        ("run", result.run),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
    ]
    return [(name, wording.one_line(value)) for name, value in found if value]


def said(chart: Chart) -> str:
    """What the read-out says, as JSON that cannot end the element it stands in."""
    rows = [
        {"name": wording.one_line(row.title), "at": [at for at, _ in row.said], "text": [text for _, text in row.said]}
        for row in chart.rows
        if row.said
    ]
    body = {"began": chart.axis.began, "span": chart.axis.span, "rows": rows}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def ends_of(logs: Mapping[str, str], result: Result) -> list[tuple[str, str]]:
    """(whose, last lines) of each log; of what died first."""
    hit = {target.name for target in result.targets}
    ranked = sorted(logs, key=lambda named: (not named.endswith(BEFORE), named not in hit))
    return [(wording.one_line(_whose(named, hit)), _end(logs[named])) for named in ranked[:MOST_LOGS]]


def _whose(named: str, hit: set[str]) -> str:
    if named.endswith(BEFORE):
        return f"{named.removesuffix(BEFORE)}, before it was restarted"
    return f"{named}, which was hit" if named in hit else named


def _end(text: str) -> str:
    kept = wording.clean(text)[-LOG_CHARACTERS:]
    return f"…{kept}" if len(kept) < len(text) else kept


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of evidence with the same keys."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Spark:
    """A time series as a small curve, and its samples as a table."""

    labels: str
    points: str
    low: str
    high: str
    last: str
    samples: int
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of evidence, laid out: a query, facts, tables and series."""

    title: str
    query: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    sparks: tuple[Spark, ...]
    more: str


def pieces(finding: Finding) -> list[Piece]:
    return [_piece(evidence, finding.unit) for evidence in finding.evidence[:MOST_EVIDENCE]]


def _piece(evidence: Evidence, unit: str) -> Piece:
    data = dict(evidence.data)
    query = str(data.pop("query", ""))
    series = data.pop("series", None) or ()
    tables = tuple(_table(key, found) for key, found in data.items() if evidencetext.is_table(found))
    facts = tuple(
        (evidencetext.word(key), evidencetext.value(key, found))
        for key, found in data.items()
        if not evidencetext.is_table(found) and found not in ((), [], "")
    )
    more = f"and {len(series) - MOST_SERIES} more series in metrics.json" if len(series) > MOST_SERIES else ""
    sparks = tuple(_spark(one, unit) for one in series[:MOST_SERIES])
    return Piece(wording.one_line(evidence.title), query, facts, tables, sparks, more)


def _table(title: str, rows: list[Mapping[str, Any]]) -> Table:
    head = list(dict.fromkeys(key for row in rows for key in row))
    cells = tuple(
        tuple(evidencetext.value(key, row.get(key), evidencetext.unit_of(row)) for key in head)
        for row in rows[:MOST_POINTS]
    )
    more = f" (the first {MOST_POINTS} of {len(rows)})" if len(rows) > MOST_POINTS else ""
    return Table(f"{evidencetext.word(title)}{more}", tuple(evidencetext.word(key) for key in head), cells)


def _spark(series: Mapping[str, Any], unit: str) -> Spark:
    points = [(float(at), float(value)) for at, value in series.get("points") or ()]
    finite = [(at, value) for at, value in points if abs(value) < float("inf")]
    values = [value for _, value in finite]
    axis = picture.Axis(points[0][0], points[-1][0]) if points else picture.Axis(0, 1)
    scale = picture.linear(values)
    step = -(-len(points) // MOST_POINTS) or 1
    labels = ", ".join(f"{k}={v}" for k, v in (series.get("labels") or {}).items())
    return Spark(
        wording.one_line(labels) or "no labels",
        picture.polyline(axis, scale, finite),
        units.show(min(values, default=None), unit),
        units.show(max(values, default=None), unit),
        units.show(values[-1] if values else None, unit),
        int(series.get("samples", len(points))),
        tuple((f"{at:.2f} s", units.show(value, unit)) for at, value in points[::step]),
    )
