"""Tells people how far a long step is: what it does, how much is done, and about how long it will still take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]

# A person at a terminal looks more often than a reader of a log.
TERMINAL_PERIOD_S = 5.0
LOG_PERIOD_S = 25.0
# A first guess counts as much as what was measured once this share is done; then it fades.
TRUSTED_SHARE = 0.1


class Progress:
    """One step of countable work. `tick` may be called as often as one likes: a line is said now and then."""

    def __init__(self, say: Say, doing: str, expected_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._doing, self._clock = say, doing, clock
        self._expected_s = expected_s
        self._started = self._said = clock()
        self._period_s = TERMINAL_PERIOD_S if sys.stderr.isatty() else LOG_PERIOD_S
        say(f"{doing}: about {duration(expected_s)}")

    def tick(self, counted: str = "", share: float | None = None) -> None:
        """`counted` is what is done so far in words ("12 of 80 packages"), `share` the same as a number from 0 to 1."""
        now = self._clock()
        if now - self._said < self._period_s:
            return
        self._said = now
        remaining = self._remaining_s(now - self._started, share)
        left = f"about {duration(remaining)} left" if remaining > 0 else "nearly done"
        self._say(f"{self._doing}: {counted + ', ' if counted else ''}{left}")

    def done(self) -> None:
        self._say(f"{self._doing}: done in {duration(self._clock() - self._started)}")

    def _remaining_s(self, elapsed_s: float, share: float | None) -> float:
        guessed = self._expected_s - elapsed_s
        if not share:
            return guessed
        measured = elapsed_s / share - elapsed_s
        trust = min(1.0, share / TRUSTED_SHARE)
        return trust * measured + (1 - trust) * max(guessed, 0.0)


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "4 min"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min"
