"""What the load saw, as rows of a chart: requests a second, latency, versions, and the pulse as a strip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from chaoskit import evidence, units
from chaoskit.conditions import Condition
from chaoskit.contracts import Record
from chaoskit.model import Outage
from chaoskit.report import bins, picture, wording
from chaoskit.report.bins import Bin
from chaoskit.report.picture import Axis, Box, Curve, Key, Mark, Row, Scale
from chaoskit.samples import Stream
from chaoskit.spec import Experiment

PULSE_KEYS = (
    Key("good", "answered", "box"),
    Key("some", "some failed", "box"),
    Key("failed", "all failed", "box"),
    Key("unsent", "not sent", "box"),
)
PULSE_LOOKS = {
    "good": ("good", 75.0, 25.0),
    "some failed": ("some", 50.0, 50.0),
    "failed": ("failed", 45.0, 55.0),
    "not sent": ("unsent", 60.0, 40.0),
}
"""Style, top and height of a stretch of the pulse, by its state."""
MOST_LABELS = 6
NEEDED = 15.0
"""Percent of the width without which the seconds of an outage are not written."""
MOST_VERSIONS = 8
LATENCIES = ((1.0, "max", "longest"), (0.99, "p99", "p99"), (0.95, "p95", "p95"), (0.5, "p50", "p50"))


Limits: TypeAlias = Mapping[str, Sequence[Condition]]


def rows(record: Record, axis: Axis, limits: Limits, experiment: Experiment) -> Iterator[Row]:
    """All that the load saw."""
    width = bins.width_for(axis)
    found = bins.binned(record.locust, width)
    if found:
        wide = bins.binned(record.locust, bins.width_for(axis, record.locust))
        slow = [(c.limit, c.text) for name in ("p50", "p95", "p99", "slowest") for c in limits.get(name, ())]
        yield _rates(axis, found, _rate_limits(limits, experiment))
        yield _latencies(axis, wide, list(dict.fromkeys(slow)))
        yield from _versions(record, axis, found)
    for stream, words in ((Stream.FRESH, "new connections"), (Stream.KEPT, "kept connections")):
        row = pulse_row(record, axis, stream, words)
        if row:
            yield row


def _rate_limits(limits: Limits, experiment: Experiment) -> list[tuple[float, str]]:
    found = [(c.limit, c.text) for c in limits.get("rate", ())]
    if experiment.load and experiment.load.must_reach is not None:
        found.append((experiment.load.must_reach, f"must reach {units.show(experiment.load.must_reach, '/s')}"))
    return list({limit: (limit, text) for limit, text in found}.values())


def _rates(axis: Axis, found: Sequence[Bin], limits: Sequence[tuple[float, str]]) -> Row:
    scale = picture.linear([*(b.a_second(b.due) for b in found), *(limit for limit, _ in limits)])

    def curve(css: str, title: str, numbers: Sequence[float], *, filled: bool = False) -> Curve:
        points = [(b.began + b.width / 2, n) for b, n in zip(found, numbers, strict=True) if filled or b.whole]
        return picture.curve(axis, scale, points, css, title, filled=filled)

    curves = (
        curve("failed", "failed requests a second", [b.a_second(b.failed) for b in found], filled=True),
        curve("offered", "requests offered a second", [b.a_second(b.due) for b in found]),
        curve("good", "good answers a second", [b.a_second(b.ok) for b in found]),
    )
    levels = picture.levels(scale, "/s", limits)
    keys = (Key("good", "good"), Key("offered", "offered"), Key("failed filled", "failed", "box"))
    said = ((b.began, _rate_words(b)) for b in found)
    return Row("requests", _note(found), 90, curves=curves, levels=levels, keys=keys, said=picture.thinned(said))


def _rate_words(found: Bin) -> str:
    numbers = ((found.due, "offered"), (found.ok, "good"), (found.failed, "failed"))
    return ", ".join(f"{found.a_second(n):.4g}/s {word}" for n, word in numbers)


def _latencies(axis: Axis, found: Sequence[Bin], limits: Sequence[tuple[float, str]]) -> Row:
    drawn = {css: _percentiles(found, share) for share, css, _ in LATENCIES}
    values = [v for points in drawn.values() for _, v in points]
    scale = picture.decades([*values, *(limit for limit, _ in limits)])
    curves = tuple(picture.curve(axis, scale, drawn[css], css, f"{word} latency") for _, css, word in LATENCIES)
    keys = tuple(Key(css, word) for _, css, word in LATENCIES)
    levels = picture.levels(scale, "s", limits)
    said = picture.thinned((b.began, ", ".join(_latency_words(b)) or "no requests") for b in found)
    return Row("latency", f"{_note(found)}, logarithmic", 110, curves=curves, levels=levels, keys=keys, said=said)


def _note(found: Sequence[Bin]) -> str:
    return f"Locust’s users, per {units.show(found[0].width, 's')}"


def _percentiles(found: Sequence[Bin], share: float) -> list[tuple[float, float]]:
    return [(b.began + b.width / 2, v) for b in found if (v := b.percentile(share)) is not None]


def _latency_words(found: Bin) -> Iterator[str]:
    for share, _, word in reversed(LATENCIES):
        value = found.percentile(share)
        if value is not None:
            yield f"{word} {units.show(value, 's')}"


def _versions(record: Record, axis: Axis, found: Sequence[Bin]) -> Iterator[Row]:
    """Which version answered, where there was more than one."""
    counted = [(b.began, b.width, evidence.shares(record.locust, b.began, b.began + b.width, 1)) for b in found]
    names = sorted({version for _, _, shares in counted for version in shares if version})[:MOST_VERSIONS]
    if len(names) < 2:
        return
    scale = Scale(0.0, 1.0)
    curves = []
    for i, named in enumerate(names):
        points = [
            (at + width / 2, shares.get(named, 0) / max(sum(shares.values()), 1)) for at, width, shares in counted
        ]
        curves.append(picture.curve(axis, scale, points, f"s{i}", f"share of answers by version {named}"))
    yield Row(
        "versions",
        "share of good answers",
        60,
        curves=tuple(curves),
        levels=picture.levels(scale, "%"),
        keys=tuple(Key(f"s{i}", f"version {named}") for i, named in enumerate(names)),
        said=picture.thinned((at, _share_words(shares)) for at, _, shares in counted),
    )


def _share_words(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{v} {units.show(_share(shares, v), '%')}" for v in sorted(shares)) or "no answers"


def _share(shares: Mapping[str, int], named: str) -> float:
    return shares.get(named, 0) / max(sum(shares.values()), 1)


# ── the pulse ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pulse_row(record: Record, axis: Axis, stream: Stream, words: str) -> Row | None:
    """The pulse as a strip: low where answered, high where not, and above it the seconds of the longest outages."""
    stretches = bins.strip(record.pulse, stream, axis, record.pulse_period_s)
    if not stretches:
        return None
    boxes = tuple(_pulse_box(axis, s) for s in stretches)
    said = [(s.began, _state_words(s.state)) for s in stretches] + [(stretches[-1].ended, "no requests")]
    return Row(
        f"pulse, {words}",
        f"one request every {units.show(record.pulse_period_s, 's')}",
        36,
        boxes=boxes,
        marks=_outage_marks(record, axis, stream, stretches[0].began, stretches[-1].ended),
        keys=PULSE_KEYS if stream is Stream.FRESH else (),
        said=picture.thinned(said),
    )


def _pulse_box(axis: Axis, found: bins.Stretch) -> Box:
    css, top, height = PULSE_LOOKS[found.state]
    when = picture.stretch(found.began, found.ended)
    title = f"{found.state}: {when}, {found.bad:,} of {found.requests:,} requests"
    return picture.box(axis, found.began, found.ended, css, title, top=top, height=height)


def _state_words(state: str) -> str:
    return {"good": "answered", "failed": "FAILING"}.get(state, state)


def _outage_marks(record: Record, axis: Axis, stream: Stream, began: float, ended: float) -> tuple[Mark, ...]:
    found = evidence.outages(record.pulse, stream, began, ended, record.pulse_period_s).outages
    kept: list[Mark] = []
    for outage in sorted(found, key=lambda o: -o.seconds)[:MOST_LABELS]:
        # The longest come first: a shorter one is named only where it takes none of their room.
        tried = picture.with_room([*kept, _outage_mark(axis, outage)])
        if all(mark.room >= NEEDED for mark in tried):
            kept = list(tried)
    return tuple(kept)


def _outage_mark(axis: Axis, found: Outage) -> Mark:
    text = f"down {wording.shown(found.seconds, 's', found.uncertainty)}"
    return Mark(axis.x(found.first_good), "", _outage_title(found), text, css="down")


def _outage_title(found: Outage) -> str:
    return f"last good {found.last_good:.3f} s, first good again {found.first_good:.3f} s, {found.lost} requests lost"
