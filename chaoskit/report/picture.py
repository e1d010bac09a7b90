"""What a chart is made of: rows over one time axis, in percent of their width, ready for the template to draw.

Shapes stretch with the page, texts do not: shapes go into SVG, texts stand over it in HTML. So one drawing serves a
telephone, a wide screen and paper, and needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chaoskit import units
from chaoskit.report import wording

STEPS_S = (
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14400,
    86400,
)
MOST_POINTS = 240
"""Points of a curve: more than this many cannot be told apart on a page."""
MOST_SAID = 600
TEXT_HEIGHT = 20.0
"""Percent of a low row's height that the text of a level takes."""
CLOSEST = 8.0
"""Percent of a row's height that the lines of two levels must be apart."""
FAR_RIGHT = 70.0
"""Percent of the width from which on a text is written to the left of its mark."""
NARROWEST = 0.15
"""Percent of the width below which a box could not be seen."""


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The stretch of time that a chart shows."""

    began: float
    ended: float

    @property
    def span(self) -> float:
        return max(self.ended - self.began, 1e-3)

    def x(self, at: float) -> float:
        """Percent of the width, held within the chart."""
        return round(min(max((at - self.began) / self.span * 100, 0.0), 100.0), 2)

    def ticks(self, most: int = 8, origin: float = 0.0) -> tuple[Tick, ...]:
        """At round times, counted from `origin`."""
        step = next((s for s in STEPS_S if self.span / s <= most), self.span)
        first, last = math.ceil((self.began - origin) / step - 1e-9), math.floor((self.ended - origin) / step + 1e-9)
        size, unit = (60, "min") if step % 60 == 0 else (1, "s")
        times = [n * step for n in range(first, last + 1)]
        return tuple(Tick(self.x(origin + t), f"{'+' if origin and t > 0 else ''}{t / size:g} {unit}") for t in times)


@dataclass(frozen=True, slots=True)
class Box:
    """A stretch of time in some state. `top` and `height` are percent of the row; `text` is written in it."""

    x: float
    width: float
    css: str
    title: str
    text: str = ""
    top: float = 0.0
    height: float = 100.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, as a sign; `text` stands beside it in the `room` (percent) that is free there."""

    x: float
    sign: str
    title: str
    text: str = ""
    room: float = 0.0
    css: str = ""
    leftwards: bool = False
    """The text stands left of it."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points as SVG's `points` (0 to 1000 across, 0 to 100 down); filled down to the ground or not."""

    points: str
    css: str
    title: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line at `y` percent from the top, with its text; `limit` ones are dashed and stand out."""

    y: float
    text: str
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend: the shape (`box`, `line` or a sign) and its meaning."""

    css: str
    text: str
    shape: str = "line"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a chart."""

    title: str
    note: str = ""
    height: int = 16
    css: str = ""
    boxes: tuple[Box, ...] = ()
    marks: tuple[Mark, ...] = ()
    curves: tuple[Curve, ...] = ()
    levels: tuple[Level, ...] = ()
    keys: tuple[Key, ...] = ()
    said: tuple[tuple[float, str], ...] = ()
    """What is so from each moment on, for the read-out."""
    end: str = ""
    """A text at the right end of the row's name, as a measured time."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Rows over one axis. `bands` lie behind all rows, `lines` over them."""

    name: str
    axis: Axis
    rows: tuple[Row, ...]
    bands: tuple[Box, ...] = ()
    lines: tuple[Mark, ...] = ()
    origin: float = 0.0

    @property
    def ticks(self) -> tuple[Tick, ...]:
        return self.axis.ticks(origin=self.origin)


# ── making shapes ────────────────────────────────────────────────────────────────────────────────────────────────────


def box(
    axis: Axis,
    began: float,
    ended: float,
    css: str,
    title: str,
    text: str = "",
    *,
    top: float = 0.0,
    height: float = 100.0,
) -> Box:
    x = axis.x(began)
    width = max(round(axis.x(ended) - x, 2), NARROWEST)
    return Box(min(x, 100 - NARROWEST), width, css, title, text, top, height)


def stay(axis: Axis, began: float, ended: float, css: str, what: str, text: str = "") -> Box:
    """A box whose title says what it is, from when until when."""
    return box(axis, began, ended, css, f"{what}: {stretch(began, ended)}", text)


def with_room(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """Gives each text the place up to its neighbour, or half of it where both would write there; what stands far right
    is written to its left."""
    ordered = sorted((replace(m, leftwards=m.leftwards or m.x > FAR_RIGHT) for m in marks), key=lambda m: m.x)
    return tuple(replace(mark, room=round(_room(ordered, i), 2)) for i, mark in enumerate(ordered))


def _room(marks: Sequence[Mark], i: int) -> float:
    towards = i - 1 if marks[i].leftwards else i + 1
    if not 0 <= towards < len(marks):
        return marks[i].x if marks[i].leftwards else 100 - marks[i].x
    between = abs(marks[i].x - marks[towards].x)
    return between if marks[i].leftwards == marks[towards].leftwards else between / 2


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to percent from the top. A logarithmic one spans whole decades."""

    low: float
    high: float
    log: bool = False

    def y(self, value: float) -> float:
        if self.log:
            value, low, high = (math.log10(max(v, self.low)) for v in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        share = (value - low) / (high - low) if high > low else 0.0
        return round((1 - min(max(share, 0.0), 1.0)) * 96 + 2, 1)


def linear(values: Iterable[float]) -> Scale:
    """From zero (or the lowest negative value) to a round number above all values."""
    finite = [v for v in values if math.isfinite(v)]
    return Scale(-_round_up(-min([0.0, *finite])), _round_up(max([0.0, *finite])) or 1.0)


def _round_up(value: float) -> float:
    if value <= 0:
        return 0.0
    size = 10.0 ** math.floor(math.log10(value))
    return next((m * size for m in (1, 1.5, 2, 3, 4, 5, 8, 10) if m * size >= value * 0.9999), 10 * size)


def decades(values: Iterable[float]) -> Scale:
    """Whole powers of ten around all positive values; a millisecond to a second where there is none."""
    found = [v for v in values if v > 0 and math.isfinite(v)] or [1e-3, 1.0]
    return Scale(10.0 ** math.floor(math.log10(min(found))), 10.0 ** math.ceil(math.log10(max(found)) - 1e-9), log=True)


def polyline(axis: Axis, scale: Scale, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{axis.x(at) * 10:.4g},{scale.y(value):g}" for at, value in points)


def stairs(points: Sequence[tuple[float, float]], until: float) -> list[tuple[float, float]]:
    """The points of a curve whose value stays until the next one; not more of them than can be told apart."""
    corners = []
    for i, (at, value) in enumerate(points):
        corners += [(at, value), (points[i + 1][0] if i + 1 < len(points) else until, value)]
    return coarse(corners)


def thinned(said: Iterable[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Without repetitions, times to the centisecond, texts on one line; where there are too many, only some of them."""
    kept: list[tuple[float, str]] = []
    for at, text in said:
        if not kept or kept[-1][1] != text:
            kept.append((round(at, 2), wording.one_line(text)))
    return tuple(kept[:: -(-len(kept) // MOST_SAID) or 1])


def apart(marks: Iterable[Mark], least: float) -> tuple[Mark, ...]:
    """The marks without those that would cover their neighbour."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda m: m.x):
        if not kept or mark.x - kept[-1].x >= least:
            kept.append(mark)
    return tuple(kept)


def curve(
    axis: Axis, scale: Scale, points: Sequence[tuple[float, float]], css: str, title: str, *, filled: bool = False
) -> Curve:
    return Curve(polyline(axis, scale, grounded(points) if filled else points), css, title, filled)


def grounded(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """With a foot at either end, so that the area beneath can be filled."""
    return [(points[0][0], 0.0), *points, (points[-1][0], 0.0)] if points else []


def levels(scale: Scale, unit: str, limits: Iterable[tuple[float, str]] = ()) -> tuple[Level, ...]:
    """Lines at round values, and at the limits; a round value that a limit's text would cover is left out."""
    if scale.log:
        values = [scale.low * 10**i for i in range(12) if scale.low * 10**i <= scale.high * 1.001]
    else:
        values = [scale.high, (scale.low + scale.high) / 2]
    marked = _limits(scale, limits)
    plain = (Level(scale.y(value), units.show(value, unit)) for value in values)
    return (*(p for p in plain if all(abs(p.y - m.y) > CLOSEST for m in marked)), *marked)


def _limits(scale: Scale, limits: Iterable[tuple[float, str]]) -> tuple[Level, ...]:
    """Each limit's line; lines too close for two texts share one."""
    found: list[Level] = []
    for limit, text in sorted(limits):
        y = scale.y(limit)
        # The text of the topmost line stands below it, where the text of the next one stands above.
        needed = TEXT_HEIGHT * (2 if y < TEXT_HEIGHT else 1)
        near = [level for level in found if level.text and abs(level.y - y) < needed]
        found = [replace(level, text="") if level in near else level for level in found]
        found.append(Level(y, ", ".join([*(level.text for level in near), text]), limit=True))
    return tuple(found)


def coarse(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most a few hundred points; each stretch keeps its lowest and highest: a spike is what one looks for."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    kept: list[tuple[float, float]] = []
    for i in range(0, len(points), 2 * size):
        part = points[i : i + 2 * size]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept


def stretch(began: float, ended: float) -> str:
    return f"{began:.2f} s to {ended:.2f} s ({ended - began:.2f} s)"
