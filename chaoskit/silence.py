"""Whether the runs that hold Leases are still under way, told by looking at them for a while.

Clocks of two machines are never compared: a run is silent when its Lease's time of renewal, whatever it says, has not
changed while somebody looked at it for long enough. Who looks may be held up, or meet an API that is away, and so may
the run: only time in which looks were made counts. Small on purpose: the embedded cluster's supervisor looks, too.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.model import RUN_LABEL, Raw
from chaoskit.objects import labels, uid

SILENT_AFTER_S = 15.0
RENEW_EVERY_S = 3.0
"""Five renewals would have to fail before a run that is under way seems silent."""
LOOK_EVERY_S = 2.0
AGAIN_AFTER_S = 60.0
"""What a janitor could not heal it tries again after this."""


class Life(enum.Enum):
    """What is known of a run."""

    UNDER_WAY = "under way"
    SILENT = "silent"
    UNSURE = "unsure"
    """Not looked at for long enough."""


@dataclass(frozen=True, slots=True)
class _Seen:
    renewed: str
    """The Lease's own words, never read as a time."""
    silent_s: float = 0.0
    heard: bool = False
    """Whether a renewal was seen."""


class Silence:
    """What one observer has seen of Leases so far."""

    def __init__(self, after_s: float = SILENT_AFTER_S) -> None:
        self._after_s = after_s
        self._seen: dict[str, _Seen] = {}
        self._last: float | None = None

    def look(self, leases: Sequence[Raw], now: float) -> dict[str, Life]:
        """The runs that hold these Leases. One with several is silent when all of them are."""
        passed = 0.0 if self._last is None else min(now - self._last, 2 * LOOK_EVERY_S)
        self._last = now
        self._seen = {uid(lease): self._next(lease, passed) for lease in leases}
        lives: dict[str, set[Life]] = {}
        for lease in leases:
            lives.setdefault(run_of(lease), set()).add(self._life(self._seen[uid(lease)]))
        return {run: _together(found) for run, found in lives.items()}

    def missed(self) -> None:
        """A look failed: the run may have been as cut off as we were, so what was counted counts no more."""
        self._seen, self._last = {}, None

    def _next(self, lease: Raw, passed: float) -> _Seen:
        renewed = str((lease.get("spec") or {}).get("renewTime", ""))
        before = self._seen.get(uid(lease))
        if before is None:
            return _Seen(renewed)
        if before.renewed != renewed:
            return _Seen(renewed, heard=True)
        return _Seen(renewed, before.silent_s + passed, before.heard)

    def _life(self, seen: _Seen) -> Life:
        if seen.silent_s >= self._after_s:
            return Life.SILENT
        return Life.UNDER_WAY if seen.heard else Life.UNSURE


def run_of(lease: Raw) -> str:
    return labels(lease).get(RUN_LABEL, "")


def _together(lives: set[Life]) -> Life:
    return next((life for life in (Life.UNDER_WAY, Life.UNSURE) if life in lives), Life.SILENT)
