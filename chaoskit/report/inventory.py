"""The cluster's objects as rows of a chart: workloads with their pods, and nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaoskit import evidence_scaling, units
from chaoskit.contracts import Record
from chaoskit.report import picture, states, wording
from chaoskit.report.picture import Axis, Curve, Key, Level, Mark, Row
from chaoskit.report.states import Lane, Workload

POD_KEYS = (
    Key("have", "ready replicas"),
    Key("wanted", "wanted replicas"),
    *(Key(s.replace(" ", "-"), s, "box") for s in states.POD_STATES[:5]),
    Key("hit", "hit by a step", "✗"),
    Key("restart", "restarted", "↻"),
)
NODE_KEYS = (*(Key(s.replace(" ", "-"), s, "box") for s in states.NODE_STATES), Key("hit", "hit by a step", "✗"))
MOST_LANES = 30
MOST_NAMED = 4
MARKS_APART = 2.5
"""Percent of the width between two marks on a lane."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An act upon an object, to be marked on its lane."""

    uid: str
    name: str
    at: float
    what: str


def rows(record: Record, axis: Axis) -> Iterator[Row]:
    """Workloads with their pods, then the nodes."""
    hits = [
        Hit(act.target.uid, act.target.name, act.ordered, f"{step.name}: {act.what}")
        for step in record.steps
        for act in step.acts
    ]
    yield from _workloads(record, axis, hits)
    yield from _nodes(record, axis, hits)


def _workloads(record: Record, axis: Axis, hits: Sequence[Hit]) -> Iterator[Row]:
    lanes = states.pods(record)
    shown = shown_lanes(lanes, {hit.uid for hit in hits})
    if lanes:
        yield Row("pods", css="legend", keys=POD_KEYS)
    for group, workload in states.workloads(record, lanes).items():
        mine = [lane for lane in lanes if lane.group == group]
        visible = [lane for lane in mine if lane.uid in shown]
        yield _replicas(axis, workload, mine, *watched(record))
        if workload.scaler:
            yield from _scaler(record, axis, workload.scaler)
        for lane in sorted(visible, key=lambda lane: lane.node):
            yield _lane(axis, lane, _short(lane.name, group), _note(lane), [hit for hit in hits if hit.uid == lane.uid])
        if len(visible) < len(mine):
            yield Row("", f"and {wording.count(len(mine) - len(visible), 'pod')} more", 14, css="lane")


def watched(record: Record) -> tuple[float, float]:
    """From the first act until healing began; nothing where there was no act."""
    acts = [act.ordered for step in record.steps for act in step.acts]
    return (min(acts), record.phases.get("heal", (record.ended, 0.0))[0]) if acts else (0.0, 0.0)


def shown_lanes(lanes: Sequence[Lane], hit: set[str]) -> set[str]:
    """Those that can be drawn: what was hit first, then what changed, then the rest."""
    ranked = sorted(lanes, key=lambda lane: (lane.uid not in hit, lane.quiet))
    return {lane.uid for lane in ranked[:MOST_LANES]}


def _note(lane: Lane) -> str:
    times = f"↻{len(lane.restarted)}" if lane.restarted else ""
    return " ".join(part for part in (lane.node, times) if part)


def _short(name: str, group: str) -> str:
    return name.removeprefix(f"{group.partition('/')[2]}-")


def _scaler(record: Record, axis: Axis, named: str) -> Iterator[Row]:
    """Each metric that the autoscaler read, with its target."""
    told = evidence_scaling.scaling(record, named)
    looks = told.looks if told else ()
    for metric in dict.fromkeys(r.name for look in looks for r in look.readings):
        read = [(look, r) for look in looks for r in look.readings if r.name == metric]
        target, unit = read[-1][1].target, read[-1][1].unit
        size = 0.01 if unit == "%" else 1.0
        points = [(look.at, r.usage * size) for look, r in read]
        scale = picture.linear([*(value for _, value in points), target * size])
        aim = (target * size, f"target {units.exact(target * size, unit)}")
        yield Row(
            metric,
            f"as autoscaler {named} read it",
            60,
            curves=(picture.curve(axis, scale, picture.stairs(points, axis.ended), "s0", f"{metric} read"),),
            levels=picture.levels(scale, unit, (aim,)),
            said=picture.thinned((look.at, f"{r}; wants {wording.count(look.wanted, 'replica')}") for look, r in read),
        )


def _replicas(axis: Axis, workload: Workload, lanes: Sequence[Lane], since: float, until: float) -> Row:
    numbers = [n for _, n in (*workload.wanted, *workload.ready)]
    scale = picture.linear([max(numbers, default=1) * 1.0])
    curves = tuple(
        Curve(picture.polyline(axis, scale, picture.stairs(points, axis.ended)), css, f"{css} replicas")
        for css, points in (("wanted", workload.wanted), ("have", workload.ready))
        if points
    )
    said = _replica_words(workload, lanes)
    note = ", ".join(part for part in (_lowest_words(workload, since, until), workload.scaling) if part)
    levels = (Level(scale.y(scale.high), wording.count(int(scale.high), "pod")),)
    return Row(workload.name, note, 34, "group", curves=curves, levels=levels, said=said)


def _lowest_words(workload: Workload, since: float, until: float) -> str:
    """The fewest ready replicas while consequences were watched: after the run the app is taken away."""
    if until <= since:
        return ""
    within = [n for at, n in workload.ready if since < at < until]
    before = [n for at, n in workload.ready if at <= since]
    wanted = _at(workload.wanted, since)
    of = f" of {wanted}" if wanted is not None else ""
    return f"lowest {min([*before[-1:], *within], default=0)}{of} ready after the first act"


def _replica_words(workload: Workload, lanes: Sequence[Lane]) -> tuple[tuple[float, str], ...]:
    """How many are ready and wanted, and by name those in another state."""
    times = {at for curve in (workload.wanted, workload.ready) for at, _ in curve}
    times |= {at for lane in lanes for stay in lane.stays for at in (stay.began, stay.ended)}
    return picture.thinned((at, "; ".join(_replica_words_at(workload, lanes, at))) for at in sorted(times))


def _replica_words_at(workload: Workload, lanes: Sequence[Lane], at: float) -> Iterator[str]:
    wanted = _at(workload.wanted, at)
    yield f"{_at(workload.ready, at) or 0} ready" + (f", {wanted} wanted" if wanted is not None else "")
    states_now = [(_short(lane.name, workload.name), lane.state_at(at)) for lane in lanes]
    yield from _few([f"{named} {state}" for named, state in states_now if state not in ("ready", "")])


def _few(named: Sequence[str]) -> Iterator[str]:
    if named:
        more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
        yield ", ".join(named[:MOST_NAMED]) + more


def _at(curve: Sequence[tuple[float, int]], at: float) -> int | None:
    return next((n for began, n in reversed(curve) if began <= at), None)


def _lane(axis: Axis, lane: Lane, title: str, note: str, hits: Sequence[Hit]) -> Row:
    boxes = tuple(
        picture.stay(axis, s.began, s.ended, s.state.replace(" ", "-"), f"{lane.name} {s.state}") for s in lane.stays
    )
    restarts = (Mark(axis.x(at), "↻", f"restart {n} at {at:.2f} s", css="restart") for at, n in lane.restarted)
    marks = list(picture.apart(restarts, MARKS_APART))
    marks += [Mark(axis.x(hit.at), "✗", f"{hit.what} at {hit.at:.2f} s", css="hit") for hit in hits[:5]]
    return Row(wording.one_line(title), note, 14, "lane", boxes=boxes, marks=tuple(marks))


def _nodes(record: Record, axis: Axis, hits: Sequence[Hit]) -> Iterator[Row]:
    lanes = states.nodes(record)
    if not lanes:
        return
    hit = {h.name for h in hits}
    shown = sorted(lanes, key=lambda lane: (lane.name not in hit, lane.quiet))[:MOST_LANES]
    yield Row("nodes", css="legend", keys=NODE_KEYS, said=_node_words(lanes))
    for lane in sorted(shown, key=lambda lane: lane.name):
        yield _lane(axis, lane, lane.name, "", [h for h in hits if h.name == lane.name])
    if len(shown) < len(lanes):
        yield Row("", f"and {wording.count(len(lanes) - len(shown), 'node')} more", 14, css="lane")


def _node_words(lanes: Sequence[Lane]) -> tuple[tuple[float, str], ...]:
    times = sorted({s.began for lane in lanes for s in lane.stays})
    return picture.thinned((at, "; ".join(_counted(lanes, at))) for at in times)


def _counted(lanes: Sequence[Lane], at: float) -> Iterator[str]:
    found = [lane.state_at(at) for lane in lanes]
    yield ", ".join(f"{found.count(state)} {state}" for state in states.NODE_STATES if state in found)
    yield from _few([f"{lane.name} {s}" for lane, s in zip(lanes, found, strict=True) if s not in ("ready", "")])
