"""Failed requests by outcome and second: who sent them, what their users saw, when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit import units
from chaoskit.contracts import Record
from chaoskit.report import bins, picture, wording
from chaoskit.report.picture import Axis, Chart, Level, Row
from chaoskit.samples import Outcome, Sample, Stream

SENDERS = {
    Stream.FRESH: "pulse, new connections",
    Stream.KEPT: "pulse, kept connections",
    Stream.LOCUST: "Locust’s users",
}
OUTCOMES = {
    Outcome.HTTP_ERROR: "HTTP error",
    Outcome.REFUSED: "connection refused",
    Outcome.RESET: "connection reset",
    Outcome.TIMEOUT: "timed out",
    Outcome.UNREACHABLE: "host unreachable",
    Outcome.DNS: "name not resolved",
    Outcome.OTHER: "other failure",
    Outcome.NOT_SENT: "not sent",
}
MOST_KINDS = 14
MOST_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Kind:
    """Failures of one sender with one outcome."""

    sender: str
    outcome: str
    number: int
    share: str
    first: float
    last: float
    example: str


@dataclass(frozen=True, slots=True)
class Failures:
    kinds: tuple[Kind, ...]
    chart: Chart
    seconds: tuple[tuple[int, tuple[int, ...]], ...]
    """(second, number of each kind)."""
    left_out: int
    """Seconds with failures beyond those listed."""


def failures(record: Record) -> Failures:
    sent = Counter(s.stream for s in (*record.pulse, *record.locust))
    groups: dict[tuple[Stream, str], list[Sample]] = {}
    for sample in (*record.pulse, *record.locust):
        if not sample.ok:
            groups.setdefault((sample.stream, outcome_words(sample)), []).append(sample)
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))[:MOST_KINDS]
    axis = Axis(0.0, record.ended)
    rows = tuple(_row(axis, stream, outcome, found) for (stream, outcome), found in ranked)
    seconds = _by_second([found for _, found in ranked])
    return Failures(
        tuple(_kind(stream, outcome, found, sent[stream]) for (stream, outcome), found in ranked),
        Chart("failures", axis, rows),
        tuple(seconds[:MOST_SECONDS]),
        max(0, len(seconds) - MOST_SECONDS),
    )


def outcome_words(sample: Sample) -> str:
    """`HTTP 503`, `connection refused`; a good status whose body was refused is told as such."""
    if sample.outcome is Outcome.HTTP_ERROR and sample.status:
        return f"HTTP {sample.status}" if sample.status >= 400 else f"HTTP {sample.status}, answer refused"
    return OUTCOMES.get(sample.outcome, sample.outcome.name.lower())


def _kind(stream: Stream, outcome: str, found: Sequence[Sample], sent: int) -> Kind:
    times = [s.intended for s in found]
    names = Counter(s.name for s in found)
    share = units.show(len(found) / sent, "%")
    example = wording.shortened(wording.one_line(names.most_common(1)[0][0]), 60)
    return Kind(SENDERS[stream], outcome, len(found), share, min(times), max(times), example)


def _row(axis: Axis, stream: Stream, outcome: str, found: Sequence[Sample]) -> Row:
    width = bins.width_for(axis)
    counted = [(b.began + b.width / 2, b.a_second(b.failed)) for b in _padded(found, width)]
    scale = picture.linear([n for _, n in counted])
    points = picture.polyline(axis, scale, picture.grounded(picture.coarse(counted)))
    title = f"{SENDERS[stream]}: {outcome}, failures a second"
    curve = picture.Curve(points, "failed", title, filled=True)
    level = Level(scale.y(scale.high), units.show(scale.high, "/s"))
    return Row(outcome, SENDERS[stream], 34, curves=(curve,), levels=(level,))


def _padded(found: Sequence[Sample], width: float) -> Iterable[bins.Bin]:
    """With an empty bin at either end: a lone failure is a peak, not nothing."""
    counted = bins.binned(found, width)
    if not counted:
        return ()
    empty = bins.Bin(counted[0].began - width, width, 0, 0, 0, (), width)
    return (empty, *counted, bins.Bin(counted[-1].began + width, width, 0, 0, 0, (), width))


def _by_second(groups: Sequence[Sequence[Sample]]) -> list[tuple[int, tuple[int, ...]]]:
    counts = [Counter(int(s.intended) for s in found) for found in groups]
    return [(second, tuple(c[second] for c in counts)) for second in sorted({s for c in counts for s in c})]
