"""How far two monotonic clocks are apart, from questions and answers that cross the network. Pure.

The other clock was read after the question was sent and before its answer came: that is all that is certain (F.
Cristian, Probabilistic clock synchronization, Distributed Computing 3, 1989). Each exchange gives such an interval;
what lies in all of them is narrower than any. Clocks drift, so what was known of an earlier moment grows wider.
"""

from __future__ import annotations

from dataclasses import dataclass

DRIFT = 200e-6
"""Seconds a second by which two machines' clocks go apart at most: crystals do by 100e-6, and two of them by twice."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Ours minus the other's clock lies between `low` and `high`, in seconds, as known `at` (by ours)."""

    at: float
    low: float
    high: float

    @classmethod
    def of_exchange(cls, sent: float, other: float, received: float) -> Offset:
        """The other clock said `other` at some time between `sent` and `received`, and may have drifted since."""
        drifted = DRIFT * (received - sent)
        return cls(received, sent - other - drifted, received - other + drifted)

    @property
    def best(self) -> float:
        return (self.low + self.high) / 2

    @property
    def uncertainty(self) -> float:
        return (self.high - self.low) / 2

    def aged(self, now: float) -> Offset:
        wider = DRIFT * max(0.0, now - self.at)
        return Offset(now, self.low - wider, self.high + wider)

    def narrowed(self, newer: Offset) -> Offset:
        """By what a later exchange told. Where both cannot be true, a clock has jumped, and the newer one counts."""
        aged = self.aged(newer.at)
        low, high = max(aged.low, newer.low), min(aged.high, newer.high)
        return newer if low > high else Offset(newer.at, low, high)
