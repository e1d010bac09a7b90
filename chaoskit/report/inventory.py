"""The cluster's objects as rows of a chart: workloads with their pods, and nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
        yield _replicas(axis, workload, *watched(record))
        for lane in visible:
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


def _replicas(axis: Axis, workload: Workload, since: float, until: float) -> Row:
    numbers = [n for _, n in (*workload.wanted, *workload.ready)]
    scale = picture.linear([max(numbers, default=1) * 1.0])
    curves = tuple(
        Curve(picture.polyline(axis, scale, picture.stairs(points, axis.ended)), css, f"{css} replicas")
        for css, points in (("wanted", workload.wanted), ("have", workload.ready))
        if points
    )
    said = _replica_words(workload)
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
    return f"lowest {min([*before[-1:], *within], default=0)} of {wanted} ready after the first act"


def _replica_words(workload: Workload) -> tuple[tuple[float, str], ...]:
    times = sorted({at for at, _ in (*workload.wanted, *workload.ready)})
    return picture.thinned((at, f"{_at(workload.ready, at)} ready, {_at(workload.wanted, at)} wanted") for at in times)


def _at(curve: Sequence[tuple[float, int]], at: float) -> str:
    return next((str(n) for began, n in reversed(curve) if began <= at), "?")


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
    return picture.thinned((at, _counted([lane.state_at(at) for lane in lanes])) for at in times)


def _counted(found: Sequence[str]) -> str:
    return ", ".join(f"{found.count(state)} {state}" for state in states.NODE_STATES if state in found)
