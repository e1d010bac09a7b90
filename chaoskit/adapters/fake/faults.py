"""Trouble with the API itself: calls that fail, answers that are lost, an API that is away for a while."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

MUTATING = ("create", "apply", "patch", "delete", "evict", "signal")


class Fault(enum.Enum):
    """What can happen to a call."""

    LOST = "lost"
    """It takes effect, and the answer never comes (UnreachableError)."""
    RESET = "reset"
    """The connection breaks before it takes effect (UnreachableError)."""
    CONFLICT = "conflict"
    """409 to a mutating call (ConflictError)."""
    BUDGET = "budget"
    """429 to an eviction (BudgetError)."""
    ERROR = "error"
    """500 (PortError)."""
    AWAY = "away"
    """The API goes away for a while, with this call (UnreachableError) and those that follow."""
    GAP = "gap"
    """The call works, and every watch breaks for a while."""


@dataclass(slots=True)
class _Ordered:
    fault: Fault
    verb: str
    kind: str
    name: str
    times: int

    def fits(self, verb: str, kind: str, name: str) -> bool:
        return self.times > 0 and all(
            not wanted or wanted == is_ for wanted, is_ in ((self.verb, verb), (self.kind, kind), (self.name, name))
        )


class Trouble:
    """What goes wrong, by order (`next`) or by chance (`chances`)."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"trouble {seed}")  # noqa: S311 - a simulation, and it must be repeatable
        self._ordered: list[_Ordered] = []
        self._away: list[tuple[float, float]] = []
        self.chances: dict[Fault, float] = {}
        """How likely each fault is for a call that it can happen to."""
        self.away_s = 5.0
        self.gap_s = 1.0

    def next(self, fault: Fault, *, verb: str = "", kind: str = "", name: str = "", times: int = 1) -> None:
        """The next calls that fit (an empty text fits all) meet `fault`."""
        self._ordered.append(_Ordered(fault, verb, kind, name, times))

    def away(self, begin: float, end: float) -> None:
        """No call gets through between two moments. FakeCluster.away does this, and breaks the watches as well."""
        self._away.append((begin, end))

    def is_away(self, at: float) -> bool:
        return any(begin <= at < end for begin, end in self._away)

    def strike(self, verb: str, kind: str, name: str) -> Fault | None:
        """What happens to this call."""
        for ordered in self._ordered:
            if ordered.fits(verb, kind, name):
                ordered.times -= 1
                return ordered.fault
        return next((f for f in Fault if _possible(f, verb) and self._by_chance(f)), None)

    def _by_chance(self, fault: Fault) -> bool:
        chance = self.chances.get(fault, 0.0)
        return chance > 0 and self._rng.random() < chance


def _possible(fault: Fault, verb: str) -> bool:
    if fault is Fault.BUDGET:
        return verb == "evict"
    return fault is not Fault.CONFLICT or verb in MUTATING
