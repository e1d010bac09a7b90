"""What the three dashboards are made of: panels as plain data, and how Grafana's SDK writes them down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

DATA_SOURCE = common.DataSourceRef(type_val="prometheus", uid="$datasource")
TAG = "chaoskit"
ROW_WIDTH = 24

# A cluster's name is a label of its own series only where several clusters share one Prometheus.
CLUSTER = 'cluster=~"$cluster|"'
GREEN, YELLOW, RED, BLUE, GREY, ORANGE = "green", "yellow", "red", "blue", "#8e8e8e", "orange"
Mapping = dict[str, tuple[str, str]]
"""Values to text and colour."""
VERDICTS: Mapping = {"0": ("passed", GREEN), "1": ("inconclusive", YELLOW), "2": ("failed", RED)}
UP: Mapping = {"0": ("down", RED), "1": ("up", GREEN)}


@dataclass(frozen=True)
class Query:
    """PromQL, and what each of its series is called: labels in double braces."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    title: str
    why: str
    """What it shows and how it is read."""
    doc: str
    """The page of the documents that explains it, with an anchor."""
    unit: str
    queries: tuple[Query, ...]
    kind: str = "lines"
    """lines, stack, states, number or table."""
    width: int = 12
    height: int = 7
    shown: Mapping | None = None
    bad_from: float | None = None
    """A value from which on it is shown in red."""
    none: str = ""
    """What is shown where there is no data."""


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    name: str
    label: str
    values: str
    """PromQL's label_values()."""
    multi: bool = False
    newest_first: bool = False


@dataclass(frozen=True)
class Mark:
    """Annotations by a query: a band for as long as it gives more than 0; or points in time, where its value is one."""

    name: str
    expr: str
    text: str
    colour: str
    points: bool = False


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    why: str
    since: str
    refresh: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...] = ()
    marked_by_api: bool = False
    """Whether annotations that chaoskit made by Grafana's own API are shown too."""


# ── PromQL ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def series(name: str, *matchers: str) -> str:
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def rate(name: str, *matchers: str) -> str:
    return f"rate({series(name, *matchers)}[$__rate_interval])"


def total(vector: str, by: str = "") -> str:
    return f"sum by ({by}) ({vector})" if by else f"sum({vector})"


def most(vector: str, by: str = "") -> str:
    return f"max by ({by}) ({vector})" if by else f"max({vector})"


def quantile(share: float, buckets: str, by: str = "") -> str:
    return f"histogram_quantile({share}, {total(buckets, f'{by}, le' if by else 'le')})"


def of_run(vector: str) -> str:
    """What of it is of the run that is chosen: which run it is stands on chaoskit_run_info alone."""
    info = series("chaoskit_run_info", 'cluster="$cluster"', 'experiment="$experiment"', 'run="$run"')
    return f"{vector} * on (job, instance) group_left () {info}"


# ── writing them down ────────────────────────────────────────────────────────────────────────────────────────────────


def dashboard(board: Board) -> models.Dashboard:
    made = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.why)
        .tags([TAG])
        .time(board.since, "now")
        .timezone("browser")
        .refresh(board.refresh)
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .with_variable(_data_source())
    )
    for variable in board.variables:
        made = made.with_variable(_variable(variable))
    made = made.with_variable(_documents())
    for mark in board.marks:
        made = made.annotation(_mark(mark))
    if board.marked_by_api:
        made = made.annotation(_marks_by_api())
    ids = count(1)
    for row in board.rows:
        made = made.with_row(build.Row(row.title).id(next(ids)))
        for panel in row.panels:
            made = made.with_panel(_panel(panel, next(ids)))
    return made.build()


def _others() -> build.DashboardLink:
    link = build.DashboardLink("chaoskit").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.include_vars(True).keep_time(False)


def _data_source() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus")


def _documents() -> build.TextBoxVariable:
    made = build.TextBoxVariable("docs").label("Documents").default_value("docs")
    return made.description("Where chaoskit's folder docs can be read: the links of the panels lead there.")


def _variable(variable: Variable) -> build.QueryVariable:
    made = (
        build.QueryVariable(variable.name)
        .label(variable.label)
        .datasource(DATA_SOURCE)
        .query({"query": variable.values, "refId": variable.name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_DESC if variable.newest_first else models.VariableSort.ALPHABETICAL_ASC)
    )
    return made.multi(True).include_all(True).all_value(".*") if variable.multi else made


def _mark(mark: Mark) -> build.AnnotationQuery:
    made = build.AnnotationQuery().name(mark.name).datasource(DATA_SOURCE).enable(True).icon_color(mark.colour)
    made = made.expr(mark.expr).title_format(mark.name).text_format(mark.text).tag_keys("step,experiment").step("1s")
    return made.use_value_for_time(mark.points)


def _marks_by_api() -> build.AnnotationQuery:
    made = build.AnnotationQuery().name("Acts, by Grafana's own annotations").enable(True).icon_color(ORANGE)
    made = made.datasource(common.DataSourceRef(type_val="grafana", uid="-- Grafana --"))
    return made.target(_Tags([TAG, "$run"]))


@dataclass(frozen=True)
class _Tags:
    """A query of Grafana's own annotations: those that carry all of these tags."""

    tags: list[str]

    def build(self) -> _Tags:
        return self

    def to_json(self) -> dict[str, Any]:
        return {"refId": "Anno", "type": "tags", "tags": self.tags, "matchAny": False, "limit": 100}


def _panel(panel: Panel, number: int) -> Any:  # noqa: ANN401 - one of the SDK's builders
    made = {"lines": _lines, "stack": _stack, "states": _states, "number": _number, "table": _table}[panel.kind](panel)
    made = made.id(number).title(panel.title).description(panel.why).datasource(DATA_SOURCE).unit(panel.unit)
    made = made.span(panel.width).height(panel.height).links([_runbook(panel.doc)])
    for query, name in zip(panel.queries, "ABCDEFGH", strict=False):
        made = made.with_target(
            _target(query, name, instant=panel.kind in ("number", "table"), table=panel.kind == "table")
        )
    if panel.shown:
        made = made.mappings([_mapping(panel.shown)])
    if panel.none:
        made = made.no_value(panel.none)
    steps = [models.Threshold(value=None, color=GREEN)]
    if panel.bad_from is not None:
        steps.append(models.Threshold(value=panel.bad_from, color=RED))
    return made.thresholds(build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))


def _runbook(doc: str) -> build.DashboardLink:
    link = build.DashboardLink("What this means").type(models.DashboardLinkType.LINK)
    return link.url(f"$docs/{doc}").target_blank(True)


def _target(query: Query, name: str, *, instant: bool, table: bool) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(name).expr(query.expr).datasource(DATA_SOURCE).legend_format(query.legend)
    made = made.instant() if instant else made.range()
    return made.format("table") if table else made


def _mapping(shown: Mapping) -> models.ValueMap:
    results = {
        value: models.ValueMappingResult(text=text, color=colour, index=number)
        for number, (value, (text, colour)) in enumerate(shown.items())
    }
    return models.ValueMap(options=results)


def _lines(panel: Panel) -> timeseries.Panel:
    legend = options.VizLegendOptions().show_legend(True).placement(common.LegendPlacement.BOTTOM)
    made = timeseries.Panel().legend(legend.display_mode(common.LegendDisplayMode.LIST)).axis_soft_min(0)
    many = options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    made = made.tooltip(many).line_width(1)
    if panel.bad_from is None:
        return made
    return made.thresholds_style(options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))


def _stack(panel: Panel) -> timeseries.Panel:
    normal = options.StackingConfig().mode(common.StackingMode.NORMAL)
    return _lines(panel).stacking(normal).fill_opacity(30)


def _states(_panel: Panel) -> statetimeline.Panel:
    hidden = options.VizLegendOptions().show_legend(False)
    hidden = hidden.display_mode(common.LegendDisplayMode.HIDDEN).placement(common.LegendPlacement.BOTTOM)
    return (
        statetimeline.Panel().legend(hidden).merge_values(True).show_value(common.VisibilityMode.AUTO).row_height(0.8)
    )


def _number(_panel: Panel) -> stat.Panel:
    made = stat.Panel().graph_mode(common.BigValueGraphMode.NONE).color_mode(common.BigValueColorMode.BACKGROUND)
    return made.reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]).values(False))


def _table(panel: Panel) -> table.Panel:
    """The queries' series as rows: those with the same labels become one, with a column for each query."""
    columns = {f"Value #{name}": query.legend for query, name in zip(panel.queries, "ABCDEFGH", strict=False)}
    hidden = dict.fromkeys(("Time", "job", "instance", "__name__"), True)
    return (
        table.Panel()
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize", options={"excludeByName": hidden, "indexByName": {}, "renameByName": columns}
            )
        )
    )


def texts(boards: Sequence[Board]) -> dict[str, str]:
    """The files' contents by their names."""
    return {f"{board.uid}.json": _text(board) for board in boards}


def _text(board: Board) -> str:
    made = json.loads(JSONEncoder().encode(dashboard(board)))
    # The SDK writes more than Grafana's schema knows: what only variables of another kind have, and tables' footers.
    for variable in made["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    for panel in made["panels"]:
        panel.get("options", {}).pop("footer", None)
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
