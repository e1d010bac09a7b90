"""What a run does beside its engine, in virtual time: it takes Leases, renews them, and lets them go."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit import heal, lease
from chaoskit.adapters.fake import FakeClock
from chaoskit.errors import ConflictError, NotFoundError, PortError
from chaoskit.lease import AGAIN_S, Held, Time
from chaoskit.plan import Plan
from chaoskit.ports import Cluster, LeaseLost
from chaoskit.silence import RENEW_EVERY_S
from chaoskit.simulation.death import Life


def time_of(clock: FakeClock) -> Time:
    return Time(clock.now, clock.advance, lambda: clock.unix(clock.now()))


class Leases:
    """As `adapters/renewal.py` does it by a thread, from the clock's agenda."""

    def __init__(self, cluster: Cluster, plan: Plan, clock: FakeClock, life: Life) -> None:
        self._cluster, self._clock, self._life = cluster, clock, life
        self._held: Sequence[Held] = lease.take(
            cluster, plan, time_of(clock), lambda run: bool(heal.found_in(cluster, run))
        )
        self._clock.after(RENEW_EVERY_S, self._tick)

    def let_go(self) -> None:
        lease.release(self._cluster, self._held, self._clock.advance)

    def _tick(self) -> None:
        if self._life.over:
            return
        try:
            for one in self._held:
                lease.renew(self._cluster, one, self._clock.unix(self._clock.now()))
            self._clock.after(RENEW_EVERY_S, self._tick)
        except (NotFoundError, ConflictError) as error:
            self._clock.post(LeaseLost(str(error)))
        except PortError:
            self._clock.after(AGAIN_S, self._tick)
