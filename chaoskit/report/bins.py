"""Requests in bins of time, so that a drawing's size does not depend on how many there were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit import conditions
from chaoskit.report.picture import STEPS_S, Axis
from chaoskit.samples import Outcome, Sample, Stream

MOST_BINS = 240
ENOUGH = 60
"""Requests in a bin, on average, from which percentiles are taken."""
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
    covered: float
    """Seconds of it in which the load ran: the first bin and the last are cut."""

    @property
    def whole(self) -> bool:
        """Enough of it is covered to tell a rate: requests come in bursts."""
        return self.covered >= self.width / 2

    def a_second(self, number: int) -> float:
        return number / max(self.covered, self.width / 4)

    def percentile(self, share: float) -> float | None:
        return conditions.percentile(self.latencies, share) if self.latencies else None


def width_for(axis: Axis, samples: Sequence[Sample] = ()) -> float:
    """A round width that makes at most MOST_BINS bins. With samples: so wide that most bins hold enough of them for a
    high percentile to be another number than the maximum, but no wider than a twentieth of the run."""
    lasted = samples[-1].intended - samples[0].intended if samples else 0.0
    least = lasted * ENOUGH / len(samples) if samples else 0.0
    least = max(0.2, axis.span / MOST_BINS, min(least, axis.span / 20))
    return float(next((s for s in STEPS_S if s >= least), least))


def binned(samples: Sequence[Sample], width: float) -> tuple[Bin, ...]:
    """Bins from the first request to the last, empty ones too: a second without requests is a fact to be shown."""
    if not samples:
        return ()
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(int(sample.intended // width), []).append(sample)
    first, last = min(s.intended for s in samples), max(s.intended for s in samples)
    return tuple(_bin(n, width, groups.get(n, []), first, last) for n in range(min(groups), max(groups) + 1))


def _bin(n: int, width: float, samples: Sequence[Sample], first: float, last: float) -> Bin:
    ok = sum(s.ok for s in samples)
    latencies = tuple(s.latency for s in samples if s.outcome is not Outcome.NOT_SENT)
    covered = min((n + 1) * width, last) - max(n * width, first)
    return Bin(n * width, width, len(samples), ok, len(samples) - ok, latencies, covered)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Cells of the pulse in a row with the same state: `good`, `some failed`, `failed` (all of them) or `not sent`."""

    began: float
    ended: float
    state: str
    requests: int
    bad: int


def strip(samples: Iterable[Sample], stream: Stream, axis: Axis, period_s: float) -> tuple[Stretch, ...]:
    """The pulse as stretches: one bad request in a cell is seen. Where there was no request is no stretch."""
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
    answered = len(samples) - failed - unsent
    state = ("some failed" if answered else "failed") if failed else "not sent" if unsent else "good"
    return Stretch(began, began + width, state, len(samples), failed + unsent)


def _join(stretches: list[Stretch], cell: Stretch, width: float) -> None:
    last = stretches[-1] if stretches else None
    if last and last.state == cell.state and cell.began - last.ended < width / 2:
        stretches[-1] = Stretch(last.began, cell.ended, last.state, last.requests + cell.requests, last.bad + cell.bad)
    else:
        stretches.append(cell)
