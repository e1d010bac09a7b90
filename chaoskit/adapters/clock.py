"""Time as it is: the machine's monotonic clock from the run's origin on, and the queue on which the engine waits."""

from __future__ import annotations

import queue
import time

from chaoskit.ports import Happening


class SystemClock:
    """The real Clock. Its origin is the moment in which it was made."""

    def __init__(self) -> None:
        self._happenings: queue.Queue[Happening] = queue.Queue()
        self._origin_ns, self._origin_unix_ns = _both_clocks()

    @property
    def origin_ns(self) -> int:
        return self._origin_ns

    def now(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9

    def unix(self, at: float) -> float:
        """By the wall clock at the origin: a step of the wall clock during a run moves nothing within the run."""
        return self._origin_unix_ns / 1e9 + at

    def post(self, happening: Happening) -> None:
        self._happenings.put(happening)

    def wait(self, timeout_s: float) -> Happening | None:
        try:
            return self._happenings.get(timeout=timeout_s) if timeout_s > 0 else self._happenings.get_nowait()
        except queue.Empty:
            return None


def _both_clocks() -> tuple[int, int]:
    """The monotonic and the wall clock at one moment: the closest pair of a few readings, for a thread may be
    interrupted between two."""
    readings = []
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, before, wall))
    _, monotonic, wall = min(readings)
    return monotonic, wall
