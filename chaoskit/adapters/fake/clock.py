"""Virtual time: nothing sleeps, and an hour passes as fast as its agenda can be worked off."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from chaoskit.model import LoadStatus, WatchEvent
from chaoskit.ports import Happening, LeaseLost, Signalled

ORIGIN_UNIX = 1_800_000_000.0
ORIGIN_NS = 1_000_000_000_000


class FakeClock:
    """A Clock whose time moves only in `wait` and `advance`, from one entry of its agenda to the next.

    Entries at the same moment are worked off in the order in which they were made, so a run is the same each time.
    """

    def __init__(self, *, origin_unix: float = ORIGIN_UNIX, origin_ns: int = ORIGIN_NS) -> None:
        self._now = 0.0
        self._origin_ns = origin_ns
        self._offsets = [(float("-inf"), origin_unix)]
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._made = 0
        self._posted: deque[Happening] = deque()

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        return self._now

    def unix(self, at: float) -> float:
        return at + next(offset for since, offset in reversed(self._offsets) if at >= since)

    @property
    def origin_ns(self) -> int:
        return self._origin_ns

    def post(self, happening: Happening) -> None:
        self._posted.append(happening)

    def wait(self, timeout_s: float) -> Happening | None:
        deadline = self._now + max(0.0, timeout_s)
        while not self._posted:
            if not self._work_off_one(deadline):
                self._now = max(self._now, deadline)
                return None
        return self._posted.popleft()

    def stamp(self, in_s: float = 0.0) -> str:
        """The time on the wall clock, or that `in_s` from now, as the API writes it: whole seconds."""
        return datetime.fromtimestamp(int(self.unix(self._now) + in_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # ── for whoever tells the story ──────────────────────────────────────────────────────────────────────────────────

    def at(self, moment: float, what: Callable[[], None] | Happening) -> None:
        """Puts a call, or something to be posted, on the agenda; what is past already is done as soon as time moves."""
        self._made += 1
        heapq.heappush(self._agenda, (moment, self._made, self._as_call(what)))

    def after(self, delay_s: float, what: Callable[[], None] | Happening) -> None:
        self.at(self._now + delay_s, what)

    def advance(self, seconds: float) -> None:
        """Lets time pass; what is posted meanwhile stays in the queue. May be used from within an agenda's entry."""
        deadline = self._now + seconds
        while self._work_off_one(deadline):
            pass
        self._now = max(self._now, deadline)

    def advance_until(self, true: Callable[[], bool], within_s: float) -> bool:
        """Lets time pass until `true()`, or for `within_s`; says which."""
        deadline = self._now + within_s
        while not true():
            if not self._work_off_one(deadline):
                self._now = max(self._now, deadline)
                return true()
        return True

    def jump(self, seconds: float) -> None:
        """The wall clock is set forward, or back, from now on, as NTP or an administrator does it."""
        self._offsets.append((self._now, self._offsets[-1][1] + seconds))

    def moment(self, unix: float) -> float:
        """The moment of the run that the wall clock shows as `unix`; after a jump back, the later of the two."""
        for since, offset in reversed(self._offsets):
            if unix - offset >= since:
                return unix - offset
        return unix - self._offsets[0][1]

    def _as_call(self, what: Callable[[], None] | Happening) -> Callable[[], None]:
        if isinstance(what, WatchEvent | LoadStatus | Signalled | LeaseLost):
            happening = what
            return lambda: self.post(happening)
        return what

    def _work_off_one(self, deadline: float) -> bool:
        """Does the next entry that is due by `deadline`; False if there is none."""
        if not self._agenda or self._agenda[0][0] > deadline:
            return False
        moment, _, call = heapq.heappop(self._agenda)
        self._now = max(self._now, moment)
        call()
        return True
