"""The report's main picture: all that happened, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskit import units
from chaoskit.conditions import Condition
from chaoskit.contracts import Act, ConditionRecord, Record, StepRecord
from chaoskit.model import GAP
from chaoskit.report import evidencetext, inventory, picture, queries, traffic, wording
from chaoskit.report.picture import Axis, Box, Chart, Key, Mark, Row
from chaoskit.spec import Experiment

MOST_LABELS = 6
MOST_CONDITIONS = 12
MOST_SPELLS = 200
LOOK_S = 1.0
"""The conditions are looked at about once a second."""
CONDITION_LOOKS: dict[bool | None, tuple[str, str, int, int]] = {
    True: ("holds", "holds", 60, 40),
    False: ("broken", "does not hold", 0, 100),
    None: ("undecided", "could not be decided", 30, 70),
}
"""Style, words, top and height of a condition's box, by whether it held."""
ACT_KEYS = (Key("act", "ordered to landed", "box"), Key("held", "landed to healed", "box"))
CONDITION_KEYS = tuple(Key(css, words, "box") for css, words, _, _ in CONDITION_LOOKS.values())


def chart(record: Record, experiment: Experiment) -> Chart:
    axis = Axis(0.0, record.ended)
    limits = limits_of(experiment)
    rows = [
        _phases(record, axis),
        *_steps(record, axis),
        *_conditions(record, axis),
        *traffic.rows(record, axis, limits, experiment),
        *inventory.rows(record, axis),
        *queries.rows(record, axis, limits),
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
        picture.box(
            axis, began, ended, f"phase{' odd' if i % 2 else ''}", f"{name}: {picture.stretch(began, ended)}", name
        )
        for i, (name, (began, ended)) in enumerate(found)
    )
    return Row("phases", height=20, boxes=boxes, said=picture.thinned((began, name) for name, (began, _) in found))


def _steps(record: Record, axis: Axis) -> Iterator[Row]:
    if not record.steps:
        return
    boxes = tuple(
        picture.box(
            axis,
            s.began,
            _end(s, record),
            "step",
            f"step “{s.name}”: {picture.stretch(s.began, _end(s, record))}",
            s.name,
        )
        for s in record.steps
    )
    said = [(at, text) for s in record.steps for at, text in ((s.began, s.name), (_end(s, record), "none"))]
    yield Row("steps", "as long as watched", 20, boxes=boxes, said=picture.thinned(sorted(said)))
    acts = [(step, act) for step in record.steps for act in step.acts]
    if acts:
        yield _acts(record, axis, acts)


def _end(step: StepRecord, record: Record) -> float:
    return step.ended if step.ended is not None else record.ended


def _acts(record: Record, axis: Axis, acts: Sequence[tuple[StepRecord, Act]]) -> Row:
    """Each act from order to landing, and on until it was healed; texts for the first few, for many cannot be read
    anyhow."""
    healed = [act for _, act in acts if act.healed is not None][:MOST_SPELLS]
    boxes = (
        *(_held_box(axis, act) for act in healed),
        *(_act_box(axis, act, record) for _, act in acts[:MOST_SPELLS]),
    )
    marks = tuple(
        Mark(axis.x(step.acts[0].ordered), "▼", _act_words(step.acts[0]), _hit(step), css="hit")
        for step in record.steps[:MOST_LABELS]
        if step.acts
    )
    said = [(act.ordered, _act_words(act)) for _, act in acts]
    said += [(act.healed, f"{act.what}: healed") for act in healed if act.healed is not None]
    note = "from order to landing" if not healed else ""
    return Row(
        "acts",
        note,
        28 if healed else 20,
        boxes=boxes,
        marks=picture.with_room(marks),
        keys=ACT_KEYS if healed else (),
        said=picture.thinned(sorted(said)),
    )


def _act_box(axis: Axis, act: Act, record: Record) -> Box:
    return picture.box(axis, act.ordered, act.landed or record.ended, "act", _act_words(act), top=62, height=30)


def _held_box(axis: Axis, act: Act) -> Box:
    """What stayed as the act had made it, until it was put back."""
    began = act.landed if act.landed is not None else act.ordered
    return picture.box(axis, began, act.healed or began, "held", _act_words(act), top=76, height=16)


def _hit(step: StepRecord) -> str:
    others = len({act.target.uid for act in step.acts}) - 1
    more = f" and {others} more" if others > 0 else ""
    return wording.one_line(f"{step.verb} {step.acts[0].target.name}{more}")


def _act_words(act: Act) -> str:
    accepted = f", accepted {act.accepted:.3f} s" if act.accepted is not None else ", not accepted"
    landed = f", landed {act.landed:.3f} s ({act.how})" if act.landed is not None else ", not seen to land"
    healed = f", healed {act.healed:.3f} s" if act.healed is not None else ""
    return wording.one_line(f"{act.what}: ordered {act.ordered:.3f} s{accepted}{landed}{healed} {act.error}")


# ── the steady state's conditions ────────────────────────────────────────────────────────────────────────────────────


def _conditions(record: Record, axis: Axis) -> Iterator[Row]:
    """One lane for each condition, a box for each look at it."""
    names = list(dict.fromkeys(c.condition for c in record.conditions))[:MOST_CONDITIONS]
    if names:
        yield Row("steady state", css="legend", keys=CONDITION_KEYS)
    for name in names:
        looks = [c for c in record.conditions if c.condition == name]
        said = [(at, text) for look, until in _with_ends(looks) for at, text in _told(look, until)]
        boxes = tuple(_spell(axis, spell) for spell in _spells(_with_ends(looks)))
        yield Row(name, css="lane", boxes=boxes[:MOST_SPELLS], said=picture.thinned(said))


def _with_ends(looks: Sequence[ConditionRecord]) -> list[tuple[ConditionRecord, float]]:
    """What a look says is so until the next one; where nobody looked on, for as long as a look usually takes."""
    following = [c.at for c in looks[1:]] + [looks[-1].at + LOOK_S]
    return [
        (c, after if after - c.at <= 2 * LOOK_S else c.at + LOOK_S) for c, after in zip(looks, following, strict=True)
    ]


def _spells(looks: Sequence[tuple[ConditionRecord, float]]) -> list[list[tuple[ConditionRecord, float]]]:
    """Looks in a row that say the same."""
    spells: list[list[tuple[ConditionRecord, float]]] = []
    for look, until in looks:
        last = spells[-1][-1] if spells else None
        if last and last[0].holds is look.holds and look.at <= last[1] + 1e-6:
            spells[-1].append((look, until))
        else:
            spells.append([(look, until)])
    return spells


def _spell(axis: Axis, spell: Sequence[tuple[ConditionRecord, float]]) -> Box:
    (first, _), (last, until) = spell[0], spell[-1]
    css, words, top, height = CONDITION_LOOKS[first.holds]
    stretch = picture.stretch(first.at, until)
    title = f"{first.condition} {words}: {stretch}, {wording.count(len(spell), 'look')}, last {_value(last)}"
    return picture.box(axis, first.at, until, css, title, top=top, height=height)


def _told(look: ConditionRecord, until: float) -> tuple[tuple[float, str], tuple[float, str]]:
    return (look.at, f"{CONDITION_LOOKS[look.holds][1]}, {_value(look)}"), (until, "not looked at")


def _value(look: ConditionRecord) -> str:
    unit = evidencetext.unit_of({"condition": look.condition})
    return wording.one_line(look.reason or units.show(look.value, unit))


# ── behind and over all rows ─────────────────────────────────────────────────────────────────────────────────────────


def _bands(record: Record, axis: Axis) -> Iterator[Box]:
    for step in record.steps:
        yield picture.box(axis, step.began, _end(step, record), "band", step.name)


def _lines(record: Record, axis: Axis) -> Iterator[Mark]:
    for step in record.steps:
        if step.acts:
            yield Mark(axis.x(step.acts[0].ordered), "", step.name, css="fault")
    for gap in [e for e in record.events if e.change == GAP][:50]:
        yield Mark(axis.x(gap.at), "", f"the watch of {gap.kind}s was broken at {gap.at:.2f} s", css="gap")
