"""The report's main picture: all that happened, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskit import evidence, units
from chaoskit.conditions import MEASURES, Condition
from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.model import GAP, Answer, Outage
from chaoskit.report import bins, picture, states, wording
from chaoskit.report.bins import Bin
from chaoskit.report.picture import Axis, Box, Chart, Curve, Key, Level, Mark, Row, Scale
from chaoskit.report.states import Lane, Workload
from chaoskit.samples import Stream
from chaoskit.spec import Experiment

PULSE_KEYS = (Key("good", "answered", "box"), Key("failed", "failed", "box"), Key("unsent", "not sent", "box"))
POD_KEYS = (
    *(Key(s.replace(" ", "-"), s, "box") for s in states.POD_STATES[:5]),
    Key("hit", "hit by a step", "✗"),
    Key("restart", "restarted", "↻"),
)
NODE_KEYS = tuple(Key(s.replace(" ", "-"), s, "box") for s in states.NODE_STATES)
MOST_LANES = 30
MOST_SERIES = 8
MOST_LABELS = 6
LATENCIES = ((1.0, "max", "longest"), (0.99, "p99", "p99"), (0.95, "p95", "p95"), (0.5, "p50", "p50"))


def chart(record: Record, experiment: Experiment) -> Chart:
    axis = Axis(0.0, record.ended)
    limits = limits_of(experiment)
    lanes = states.pods(record)
    rows = [
        _phases(record, axis),
        *_steps(record, axis),
        *_requests(record, axis, limits, experiment),
        *_pulse(record, axis),
        *_workloads(record, axis, lanes),
        *_nodes(record, axis),
        *_metrics(record, axis, limits),
    ]
    return Chart("run", axis, tuple(rows), tuple(_bands(record, axis)), tuple(_lines(record, axis)))


def limits_of(experiment: Experiment) -> dict[str, list[Condition]]:
    """All conditions that the experiment sets, by the name of what they limit."""
    found: list[Condition] = [*(experiment.steady_state.hold if experiment.steady_state else ())]
    found += [c for check in experiment.expect if isinstance(c := getattr(check, "holds", None), Condition)]
    found += experiment.safety.stop_if
    by_name: dict[str, list[Condition]] = {}
    for condition in found:
        by_name.setdefault(condition.name, []).append(condition)
    return by_name


# ── phases, steps and acts ───────────────────────────────────────────────────────────────────────────────────────────


def _phases(record: Record, axis: Axis) -> Row:
    found = sorted(record.phases.items(), key=lambda item: item[1])
    boxes = tuple(
        picture.box(axis, began, ended, f"phase{' odd' if i % 2 else ''}", f"{name}: {_stretch(began, ended)}", name)
        for i, (name, (began, ended)) in enumerate(found)
    )
    return Row("phases", height=20, boxes=boxes, said=picture.thinned((began, name) for name, (began, _) in found))


def _steps(record: Record, axis: Axis) -> Iterator[Row]:
    if not record.steps:
        return
    boxes = tuple(
        picture.box(
            axis, s.began, _end(s, record), "step", f"step “{s.name}”: {_stretch(s.began, _end(s, record))}", s.name
        )
        for s in record.steps
    )
    said = [(at, text) for s in record.steps for at, text in ((s.began, s.name), (_end(s, record), "none"))]
    yield Row("steps", "and how long each was watched", 20, boxes=boxes, said=picture.thinned(sorted(said)))
    acts = [(step, act) for step in record.steps for act in step.acts]
    if acts:
        yield _acts(record, axis, acts)


def _end(step: StepRecord, record: Record) -> float:
    return step.ended if step.ended is not None else record.ended


def _stretch(began: float, ended: float) -> str:
    return f"{began:.2f} s to {ended:.2f} s ({ended - began:.2f} s)"


def _acts(record: Record, axis: Axis, acts: Sequence[tuple[StepRecord, Act]]) -> Row:
    """Each act from order to landing; texts for the first few, for many cannot be read anyhow."""
    boxes = tuple(_act_box(axis, act, record) for _, act in acts[:200])
    marks = tuple(
        Mark(axis.x(step.acts[0].ordered), "▼", _act_words(step.acts[0]), _hit(step), css="hit")
        for step in record.steps[:MOST_LABELS]
        if step.acts
    )
    said = [(act.ordered, _act_words(act)) for _, act in acts]
    note = "from order to landing"
    return Row("acts", note, 20, boxes=boxes, marks=picture.with_room(marks), said=picture.thinned(sorted(said)))


def _act_box(axis: Axis, act: Act, record: Record) -> Box:
    return picture.box(axis, act.ordered, act.landed or record.ended, "act", _act_words(act), top=62, height=30)


def _hit(step: StepRecord) -> str:
    others = len({act.target.uid for act in step.acts}) - 1
    more = f" and {others} more" if others > 0 else ""
    return wording.one_line(f"{step.verb} {step.acts[0].target.name}{more}")


def _act_words(act: Act) -> str:
    accepted = f", accepted {act.accepted:.3f} s" if act.accepted is not None else ", not accepted"
    landed = f", landed {act.landed:.3f} s ({act.how})" if act.landed is not None else ", not seen to land"
    return wording.one_line(f"{act.what}: ordered {act.ordered:.3f} s{accepted}{landed} {act.error}")


def _bands(record: Record, axis: Axis) -> Iterator[Box]:
    for step in record.steps:
        yield picture.box(axis, step.began, _end(step, record), "band", step.name)


def _lines(record: Record, axis: Axis) -> Iterator[Mark]:
    for step in record.steps:
        if step.acts:
            yield Mark(axis.x(step.acts[0].ordered), "", step.name, css="fault")
    for gap in [e for e in record.events if e.change == GAP][:50]:
        yield Mark(axis.x(gap.at), "", f"the watch of {gap.kind}s was broken at {gap.at:.2f} s", css="gap")


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _requests(record: Record, axis: Axis, limits: dict[str, list[Condition]], experiment: Experiment) -> Iterator[Row]:
    width = bins.width_for(axis)
    found = bins.binned(record.locust, width)
    if not found:
        return
    note = f"Locust’s users, per {units.show(width, 's')}"
    yield _rates(axis, found, note, _rate_limits(limits, experiment))
    yield _latencies(
        axis, found, note, [limit for name in ("p50", "p95", "p99", "slowest") for limit in limits.get(name, ())]
    )
    yield from _versions(record, axis, width)


def _rate_limits(limits: dict[str, list[Condition]], experiment: Experiment) -> list[tuple[float, str]]:
    found = [(c.limit, c.text) for c in limits.get("rate", ())]
    if experiment.load and experiment.load.must_reach is not None:
        found.append((experiment.load.must_reach, f"must reach {units.show(experiment.load.must_reach, '/s')}"))
    return list({limit: (limit, text) for limit, text in found}.values())


def _rates(axis: Axis, found: Sequence[Bin], note: str, limits: Sequence[tuple[float, str]]) -> Row:
    scale = picture.linear([*(b.a_second(b.due) for b in found), *(limit for limit, _ in limits)])

    def curve(css: str, title: str, numbers: Sequence[float], *, filled: bool = False) -> Curve:
        points = [(b.began + b.width / 2, n) for b, n in zip(found, numbers, strict=True)]
        return _curve(axis, scale, points, css, title, filled=filled)

    curves = (
        curve("failed", "failed requests a second", [b.a_second(b.failed) for b in found], filled=True),
        curve("offered", "requests offered a second", [b.a_second(b.due) for b in found]),
        curve("good", "good answers a second", [b.a_second(b.ok) for b in found]),
    )
    keys = (Key("good", "good"), Key("offered", "offered"), Key("failed filled", "failed", "box"))
    levels = (*_levels(scale, "/s"), *(Level(scale.y(limit), text, limit=True) for limit, text in limits))
    said = ((b.began, f"{b.a_second(b.ok):.4g}/s good, {b.a_second(b.failed):.4g}/s failed") for b in found)
    return Row("requests", note, 90, curves=curves, levels=levels, keys=keys, said=picture.thinned(said))


def _curve(
    axis: Axis, scale: Scale, points: Sequence[tuple[float, float]], css: str, title: str, *, filled: bool = False
) -> Curve:
    return Curve(picture.polyline(axis, scale, grounded(points) if filled else points), css, title, filled)


def grounded(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """With a foot at either end, so that the area beneath can be filled."""
    return [(points[0][0], 0.0), *points, (points[-1][0], 0.0)] if points else []


def _levels(scale: Scale, unit: str) -> tuple[Level, ...]:
    if scale.log:
        steps = [scale.low * 10**i for i in range(12) if scale.low * 10**i <= scale.high * 1.001]
        return tuple(Level(scale.y(v), units.show(v, unit)) for v in steps)
    middle = (scale.low + scale.high) / 2
    return tuple(Level(scale.y(v), units.show(v, unit)) for v in (scale.high, middle))


def _latencies(axis: Axis, found: Sequence[Bin], note: str, limits: Sequence[Condition]) -> Row:
    values = {
        css: [(b.began + b.width / 2, v) for b in found if (v := b.percentile(share)) is not None]
        for share, css, _ in LATENCIES
    }
    scale = picture.decades([v for points in values.values() for _, v in points] + [c.limit for c in limits])
    curves = tuple(_curve(axis, scale, values[css], css, f"{word} latency") for _, css, word in LATENCIES)
    keys = tuple(Key(css, word) for _, css, word in LATENCIES)
    levels = (*_levels(scale, "s"), *(Level(scale.y(c.limit), c.text, limit=True) for c in limits))
    said = ((b.began, ", ".join(_latency_words(b)) or "no requests") for b in found)
    return Row(
        "latency", f"{note}, logarithmic", 110, curves=curves, levels=levels, keys=keys, said=picture.thinned(said)
    )


def _latency_words(found: Bin) -> Iterator[str]:
    for share, _, word in reversed(LATENCIES):
        value = found.percentile(share)
        if value is not None:
            yield f"{word} {units.show(value, 's')}"


def _versions(record: Record, axis: Axis, width: float) -> Iterator[Row]:
    """Which version answered, where there was more than one."""
    counted = [
        (b.began, evidence.shares(record.locust, b.began, b.began + width, 1))
        for b in bins.binned(record.locust, width)
    ]
    names = sorted({version for _, shares in counted for version in shares if version})[:MOST_SERIES]
    if len(names) < 2:
        return
    scale = Scale(0.0, 1.0)
    curves = []
    for i, named in enumerate(names):
        points = [(at + width / 2, shares.get(named, 0) / max(sum(shares.values()), 1)) for at, shares in counted]
        curves.append(_curve(axis, scale, points, f"s{i}", f"share of answers by version {named}"))
    said = ((at, ", ".join(f"{v}: {n} answers" for v, n in sorted(shares.items()))) for at, shares in counted)
    keys = tuple(Key(f"s{i}", named) for i, named in enumerate(names))
    yield Row(
        "versions",
        "share of answers",
        60,
        curves=tuple(curves),
        levels=_levels(scale, "%"),
        keys=keys,
        said=picture.thinned(said),
    )


# ── the pulse ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _pulse(record: Record, axis: Axis) -> Iterator[Row]:
    for stream, words in ((Stream.FRESH, "new connections"), (Stream.KEPT, "kept connections")):
        row = pulse_row(record, axis, stream, words)
        if row:
            yield row


def pulse_row(record: Record, axis: Axis, stream: Stream, words: str) -> Row | None:
    """The pulse as a strip: low where answered, full height where not, with the longest outages’ seconds."""
    stretches = bins.strip(record.pulse, stream, axis, record.pulse_period_s)
    if not stretches:
        return None
    looks = {"good": ("good", 70.0, 30.0), "failed": ("failed", 0.0, 100.0), "not sent": ("unsent", 35.0, 65.0)}
    boxes = []
    for s in stretches:
        css, top, height = looks[s.state]
        title = f"{s.state}: {_stretch(s.began, s.ended)}, {s.bad:,} of {s.requests:,} requests"
        boxes.append(picture.box(axis, s.began, s.ended, css, title, top=top, height=height))
    said = [(s.began, _state_words(s.state)) for s in stretches] + [(stretches[-1].ended, "no requests")]
    note = f"{words}, one request every {units.show(record.pulse_period_s, 's')}"
    return Row(
        "pulse",
        note,
        30,
        boxes=tuple(boxes),
        marks=_outage_marks(record, axis, stream, stretches[0].began, stretches[-1].ended),
        keys=PULSE_KEYS,
        said=picture.thinned(said),
    )


def _state_words(state: str) -> str:
    return {"good": "answered", "failed": "FAILING", "not sent": "not sent"}[state]


def _outage_marks(record: Record, axis: Axis, stream: Stream, began: float, ended: float) -> tuple[Mark, ...]:
    found = evidence.outages(record.pulse, stream, began, ended, record.pulse_period_s).outages
    longest = sorted(found, key=lambda o: -o.seconds)[:MOST_LABELS]
    return picture.with_room(
        Mark(
            axis.x(o.first_good), "", _outage_title(o), f"down {units.show(o.seconds, 's', o.uncertainty)}", css="down"
        )
        for o in longest
    )


def _outage_title(found: Outage) -> str:
    return f"last good {found.last_good:.3f} s, first good again {found.first_good:.3f} s, {found.lost} requests lost"


# ── pods, nodes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _workloads(record: Record, axis: Axis, lanes: Sequence[Lane]) -> Iterator[Row]:
    hits = [(act.target.uid, act.ordered, f"{step.name}: {act.what}") for step in record.steps for act in step.acts]
    shown = shown_lanes(lanes, {uid for uid, _, _ in hits})
    keys = POD_KEYS
    for group, workload in states.workloads(record, lanes).items():
        mine = [lane for lane in lanes if lane.group == group]
        visible = [lane for lane in mine if lane.uid in shown]
        yield _replicas(axis, workload, keys, record.ended)
        keys = ()
        for lane in visible:
            yield _lane(
                axis,
                lane,
                _short(lane.name, group),
                lane.node,
                [(at, what) for uid, at, what in hits if uid == lane.uid],
            )
        if len(visible) < len(mine):
            yield Row("", f"and {wording.count(len(mine) - len(visible), 'pod')} more", 14, css="lane")


def shown_lanes(lanes: Sequence[Lane], hit: set[str]) -> set[str]:
    """Those that can be drawn: what was hit first, then what changed, then the rest."""
    ranked = sorted(lanes, key=lambda lane: (lane.uid not in hit, lane.quiet))
    return {lane.uid for lane in ranked[:MOST_LANES]}


def _short(name: str, group: str) -> str:
    return name.removeprefix(f"{group.partition('/')[2]}-")


def _replicas(axis: Axis, workload: Workload, keys: tuple[Key, ...], ended: float) -> Row:
    numbers = [n for _, n in (*workload.wanted, *workload.ready)]
    scale = picture.linear([max(numbers, default=1) * 1.0])
    curves = tuple(
        Curve(picture.polyline(axis, scale, list(picture.stairs(points, ended))), css, f"{css} replicas")
        for css, points in (("wanted", workload.wanted), ("have", workload.ready))
        if points
    )
    said = _replica_words(workload)
    last = f"{workload.ready[-1][1]} ready" if workload.ready else ""
    wanted = f" of {workload.wanted[-1][1]} wanted at the end" if workload.wanted else " at the end"
    note = ", ".join(part for part in (f"{last}{wanted}", workload.scaling) if part)
    levels = (Level(scale.y(scale.high), f"{scale.high:g} pods"),)
    line_keys = (Key("have", "ready"), Key("wanted", "wanted"))
    return Row(workload.name, note, 34, "group", curves=curves, levels=levels, keys=(*line_keys, *keys), said=said)


def _replica_words(workload: Workload) -> tuple[tuple[float, str], ...]:
    times = sorted({at for at, _ in (*workload.wanted, *workload.ready)})
    return picture.thinned((at, f"{_at(workload.ready, at)} ready, {_at(workload.wanted, at)} wanted") for at in times)


def _at(curve: Sequence[tuple[float, int]], at: float) -> str:
    return next((str(n) for began, n in reversed(curve) if began <= at), "?")


def _lane(axis: Axis, lane: Lane, title: str, note: str, hits: Sequence[tuple[float, str]]) -> Row:
    boxes = tuple(
        picture.box(
            axis, s.began, s.ended, s.state.replace(" ", "-"), f"{lane.name} {s.state}: {_stretch(s.began, s.ended)}"
        )
        for s in lane.stays
    )
    marks = [Mark(axis.x(at), "↻", f"restart {n} at {at:.2f} s", css="restart") for at, n in lane.restarted[:20]]
    marks += [Mark(axis.x(at), "✗", f"{what} at {at:.2f} s", css="hit") for at, what in hits[:5]]
    return Row(wording.one_line(title), note, 14, "lane", boxes=boxes, marks=tuple(marks))


def _nodes(record: Record, axis: Axis) -> Iterator[Row]:
    lanes = states.nodes(record)
    hits = [
        (act.target.name, act.ordered, act.what) for s in record.steps for act in s.acts if act.target.kind == "node"
    ]
    if not lanes:
        return
    quiet = [lane for lane in lanes if lane.quiet and lane.name not in {name for name, _, _ in hits}]
    loud = [lane for lane in lanes if lane not in quiet]
    shown = (loud + quiet)[:MOST_LANES]
    note = f"{len(quiet)} of {wording.count(len(lanes), 'node')} ready throughout"
    yield Row("nodes", note, 14, "group", keys=NODE_KEYS, said=_node_words(lanes))
    for lane in sorted(shown, key=lambda lane: lane.name):
        yield _lane(axis, lane, lane.name, "", [(at, what) for name, at, what in hits if name == lane.name])
    if len(shown) < len(lanes):
        yield Row("", f"and {wording.count(len(lanes) - len(shown), 'node')} more, ready throughout", 14, css="lane")


def _node_words(lanes: Sequence[Lane]) -> tuple[tuple[float, str], ...]:
    times = sorted({s.began for lane in lanes for s in lane.stays})
    return picture.thinned((at, _counted([lane.state_at(at) for lane in lanes])) for at in times)


def _counted(found: Sequence[str]) -> str:
    return ", ".join(f"{found.count(state)} {state}" for state in states.NODE_STATES if state in found)


# ── metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _metrics(record: Record, axis: Axis, limits: dict[str, list[Condition]]) -> Iterator[Row]:
    for name, answer in record.answers.items():
        if name not in MEASURES:
            yield _metric(record, axis, name, answer, limits.get(name, []))


def _metric(record: Record, axis: Axis, name: str, answer: Answer, limits: Sequence[Condition]) -> Row:
    unit = next((c.unit for c in limits if c.unit), "")
    series = [[(t - record.origin_unix, v) for t, v in s.points if v == v] for s in answer.series]  # noqa: PLR0124 - NaN
    series = [points for points in series if points]
    scale = picture.linear([v for points in series for _, v in points] + [c.limit for c in limits])
    curves = tuple(
        _curve(axis, scale, coarse(points), f"s{i % MOST_SERIES}", f"{name} {_label_words(answer, i)}")
        for i, points in enumerate(series[:MOST_SERIES])
    )
    more = f", {len(series) - MOST_SERIES} more not drawn" if len(series) > MOST_SERIES else ""
    note = answer.error or (
        f"PromQL, {wording.count(len(series), 'series').removesuffix('s') + 's'}{more}" if series else "PromQL: no data"
    )
    levels = (*_levels(scale, unit), *(Level(scale.y(c.limit), c.text, limit=True) for c in limits))
    said = _metric_words(series, unit)
    return Row(name, note, 60, curves=curves, levels=levels if series else (), said=said)


def coarse(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most a few hundred points; each stretch keeps its lowest and highest: a spike is what one looks for."""
    size = -(-len(points) // bins.MOST_BINS)
    if size <= 1:
        return list(points)
    kept: list[tuple[float, float]] = []
    for i in range(0, len(points), 2 * size):
        part = points[i : i + 2 * size]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept


def _label_words(answer: Answer, number: int) -> str:
    labels = [s.labels for s in answer.series if s.points]
    return ", ".join(f"{k}={v}" for k, v in labels[number].items()) if number < len(labels) else ""


def _metric_words(series: Sequence[Sequence[tuple[float, float]]], unit: str) -> tuple[tuple[float, str], ...]:
    if not series:
        return ()
    shown = coarse(series[0])
    return picture.thinned((at, units.show(value, unit)) for at, value in shown)
