"""How well the load's own processes kept up: whether what they recorded tells of the app, or of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit import conditions
from chaoskit.samples import Outcome, Sample

BUSIEST = 0.9
"""A load generator that used more than this share of a core measured itself as much as the app."""
LATE_PERIODS = 2
"""A request of the pulse that was sent later than so many periods after it was due is late."""
MOST_BEHIND = 0.05
"""A pulse of which a larger share was late or not sent does not keep its schedule. What is less is the business of each
finding: the brackets of outages reach over it, and what was not sent may have been lost."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How the pulse kept its schedule."""

    due: int
    sent: int
    late: int
    """Sent, but more than LATE_PERIODS after they were due."""
    limit_s: float
    """Of lateness: LATE_PERIODS in seconds."""
    late_s: tuple[float, float, float]
    """The median of lateness, its 99th percentile, and the longest, in seconds; zeros where nothing was sent."""

    @property
    def not_sent(self) -> int:
        return self.due - self.sent

    @property
    def behind(self) -> float:
        """The share that was late or not sent; all of nothing."""
        return (self.late + self.not_sent) / self.due if self.due else 1.0

    @property
    def kept(self) -> bool:
        """One request is always forgiven: of few, it would be more than this share."""
        return bool(self.due) and (self.behind <= MOST_BEHIND or self.late + self.not_sent <= 1)

    @property
    def held_up(self) -> bool:
        """Whether a process of the load stood still often enough to lengthen a 99th percentile of latency."""
        return self.late_s[1] > self.limit_s


def pace(pulse: Sequence[Sample], period_s: float) -> Pace:
    """Of requests of the pulse, each stream of which has one due every `period_s`."""
    late = [s.sent - s.intended for s in pulse if s.outcome is not Outcome.NOT_SENT]
    limit = LATE_PERIODS * period_s
    median, most_often, longest = (conditions.percentile(late, share) if late else 0.0 for share in (0.5, 0.99, 1.0))
    return Pace(len(pulse), len(late), sum(s > limit for s in late), limit, (median, most_often, longest))
