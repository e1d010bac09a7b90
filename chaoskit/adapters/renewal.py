"""Renews a run's Leases from a thread of its own: one call of the engine's may block for longer than a Lease lasts.

The thread ends with the process, however that ends; from then on the Leases are silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chaoskit import lease
from chaoskit.errors import ConflictError, NotFoundError, PortError
from chaoskit.lease import AGAIN_S, Held
from chaoskit.ports import Clock, Cluster, LeaseLost
from chaoskit.silence import RENEW_EVERY_S


class Renewal:
    """The Leases of a run while it is under way."""

    def __init__(self, cluster: Cluster, held: Sequence[Held], clock: Clock, every_s: float = RENEW_EVERY_S) -> None:
        self._cluster, self._held, self._clock, self._every_s = cluster, held, clock, every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """All that the run changed is put back."""
        self.stop()
        lease.release(self._cluster, self._held, time.sleep)

    def stop(self) -> None:
        """Something may be left: the Leases stay, and are silent from now on."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._every_s
        while not self._stopped.wait(pause):
            try:
                self._renew()
                pause = self._every_s
            except (NotFoundError, ConflictError) as error:
                self._clock.post(LeaseLost(str(error)))
                return
            except PortError:
                pause = AGAIN_S

    def _renew(self) -> None:
        for one in self._held:
            lease.renew(self._cluster, one, self._clock.unix(self._clock.now()))


@contextmanager
def renewing(cluster: Cluster, held: Sequence[Held], clock: Clock) -> Iterator[Renewal]:
    """Whoever leaves without `let_go` may have left something."""
    renewal = Renewal(cluster, held, clock)
    try:
        yield renewal
    finally:
        renewal.stop()
