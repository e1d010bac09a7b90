"""Requests in bins of time, so that a drawing's size does not depend on how many there were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit import conditions
from chaoskit.report.picture import STEPS_S, Axis
from chaoskit.samples import Outcome, Sample, Stream

MOST_BINS = 240
MOST_CELLS = 600
"""Cells of the pulse's strip: finer than the curves, for what it shows is short."""


@dataclass(frozen=True, slots=True)
class Bin:
    """What became of the requests that were due in [began, began + width)."""

    began: float
    width: float
    due: int
    ok: int
    failed: int
    """Not answered well, or not sent."""
    latencies: tuple[float, ...]

    def a_second(self, number: int) -> float:
        return number / self.width

    def percentile(self, share: float) -> float | None:
        return conditions.percentile(self.latencies, share) if self.latencies else None


def width_for(axis: Axis) -> float:
    """A round width that makes at most MOST_BINS bins, and no more than the eye can use."""
    return float(next((s for s in STEPS_S if s >= 0.2 and axis.span / s <= MOST_BINS), axis.span / MOST_BINS))


def binned(samples: Sequence[Sample], width: float) -> tuple[Bin, ...]:
    """Bins from the first request to the last, empty ones too: a second without requests is a fact to be shown."""
    if not samples:
        return ()
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(int(sample.intended // width), []).append(sample)
    return tuple(_bin(n * width, width, groups.get(n, [])) for n in range(min(groups), max(groups) + 1))


def _bin(began: float, width: float, samples: Sequence[Sample]) -> Bin:
    ok = sum(s.ok for s in samples)
    latencies = tuple(s.latency for s in samples if s.outcome is not Outcome.NOT_SENT)
    return Bin(began, width, len(samples), ok, len(samples) - ok, latencies)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Cells of the pulse in a row with the same state: `good`, `failed` or `not sent`."""

    began: float
    ended: float
    state: str
    requests: int
    bad: int


def strip(samples: Iterable[Sample], stream: Stream, axis: Axis, period_s: float) -> tuple[Stretch, ...]:
    """The pulse as stretches: a cell is as bad as the worst request in it. Where there was no request is no stretch."""
    width = max(axis.span / MOST_CELLS, period_s, 1e-3)
    cells: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.stream is stream and axis.began <= sample.intended <= axis.ended:
            cells.setdefault(int((sample.intended - axis.began) / width), []).append(sample)
    stretches: list[Stretch] = []
    for n in sorted(cells):
        began = axis.began + n * width
        _join(stretches, _cell(cells[n], began, width), width)
    return tuple(stretches)


def _cell(samples: Sequence[Sample], began: float, width: float) -> Stretch:
    failed = sum(not s.ok and s.outcome is not Outcome.NOT_SENT for s in samples)
    unsent = sum(s.outcome is Outcome.NOT_SENT for s in samples)
    state = "failed" if failed else "not sent" if unsent else "good"
    return Stretch(began, began + width, state, len(samples), failed + unsent)


def _join(stretches: list[Stretch], cell: Stretch, width: float) -> None:
    last = stretches[-1] if stretches else None
    if last and last.state == cell.state and cell.began - last.ended < width / 2:
        stretches[-1] = Stretch(last.began, cell.ended, last.state, last.requests + cell.requests, last.bad + cell.bad)
    else:
        stretches.append(cell)
