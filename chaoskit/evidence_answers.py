"""From request samples to who answered: when the last request went to the old colour, and what share each one got.

Pure, like `evidence`. Who answered is what the app says of itself in its headers: `pod|version|colour`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaoskit.samples import Outcome, Sample, Stream

PARTS = {"pod": 0, "version": 1, "colour": 2}
ALL = tuple(Stream)
STREAMS: dict[str, tuple[Stream, ...]] = {
    "fresh": (Stream.FRESH,),
    "kept": (Stream.KEPT,),
    "users": (Stream.LOCUST,),
    "all": ALL,
}


def part_of(sample: Sample, part: str) -> str:
    """What the answerer called itself; empty where it said nothing."""
    pieces = sample.answerer.split("|")
    index = PARTS[part]
    return pieces[index] if index < len(pieces) else ""


@dataclass(frozen=True, slots=True)
class Switch:
    """What requests that were due in a window saw of a switch, by when they were sent."""

    old: int
    """Good answers of anybody else than the new one."""
    new: int
    nameless: int
    """Good answers of which nobody knows who gave them."""
    lost: int
    not_sent: int
    last_old: float | None
    first_new: float | None
    next_new: float | None
    """The first request sent after the last old one that the new one answered."""


def switch(
    samples: Iterable[Sample], streams: Sequence[Stream], window: tuple[float, float], part: str, to: str
) -> Switch:
    began, ended = window
    mine = sorted((s for s in samples if s.stream in streams and began <= s.intended < ended), key=lambda s: s.sent)
    good = [s for s in mine if s.ok]
    old = [s.sent for s in good if part_of(s, part) not in ("", to)]
    new = [s.sent for s in good if part_of(s, part) == to]
    last_old = old[-1] if old else None
    return Switch(
        old=len(old),
        new=len(new),
        nameless=sum(not part_of(s, part) for s in good),
        lost=sum(not s.ok and s.outcome is not Outcome.NOT_SENT for s in mine),
        not_sent=sum(s.outcome is Outcome.NOT_SENT for s in mine),
        last_old=last_old,
        first_new=new[0] if new else None,
        next_new=next((at for at in new if last_old is not None and at > last_old), None),
    )


def wilson(hits: int, of: int, z: float) -> tuple[float, float]:
    """The Wilson score interval for a share (E. B. Wilson, Probable inference, the law of succession, and statistical
    inference, Journal of the American Statistical Association 22, 1927, 209–212), `z` standard deviations wide to each
    side. Right for shares near 0 and 1 and for few samples, where the usual interval is not."""
    if of == 0:
        return 0.0, 1.0
    share = hits / of
    middle = share + z * z / (2 * of)
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    # At the ends the interval ends there, which rounding could miss by a little.
    low = 0.0 if hits == 0 else (middle - spread) / scale
    high = 1.0 if hits == of else (middle + spread) / scale
    return max(0.0, low), min(1.0, high)
