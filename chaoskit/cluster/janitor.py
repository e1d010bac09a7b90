"""The embedded cluster's janitor: heals runs that fell silent, by the command that a user would type.

It looks at their Leases from within the supervisor, and starts `chaoskit heal RUN` only when there is something to
heal. So what heals is the same everywhere, the cluster's own faults (power, freeze, unplug) included, a heal that is
killed is started again, and an idle cluster does not keep the Kubernetes library in memory (45 MB).
"""

from __future__ import annotations

import asyncio
import http.client
import os
import sys
import time

from chaoskit.cluster.api import Api, ApiError
from chaoskit.cluster.patience import allowed_s
from chaoskit.cluster.processes import Processes
from chaoskit.errors import EXIT_UNHEALED
from chaoskit.model import MANAGED_BY
from chaoskit.silence import AGAIN_AFTER_S, LOOK_EVERY_S, SILENT_AFTER_S, Life, Silence

LEASES = f"/apis/coordination.k8s.io/v1/leases?labelSelector={MANAGED_BY}%3Dchaoskit"


class Janitor:
    """Of one cluster."""

    def __init__(
        self,
        api: Api,
        processes: Processes,
        cluster: str,
        after_s: float = SILENT_AFTER_S,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._api = api
        self._processes = processes
        self._cluster = cluster
        self._every_s = every_s
        self._silence = Silence(allowed_s(after_s))
        self._busy: set[str] = set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                for run in await self._silent():
                    if run and run not in self._busy:
                        self._busy.add(run)
                        group.create_task(self._heal(run))
                await asyncio.sleep(self._every_s)

    async def _silent(self) -> list[str]:
        try:
            leases = (await asyncio.to_thread(self._api.get, LEASES))["items"]
        except (ApiError, OSError, http.client.HTTPException, KeyError):
            self._silence.missed()
            return []
        lives = self._silence.look(leases, time.monotonic())
        return [run for run, life in lives.items() if life is Life.SILENT]

    async def _heal(self, run: str) -> None:
        argv = [sys.executable, "-m", "chaoskit", "heal", run, "--cluster", self._cluster, "--inside"]
        process = self._processes.start("janitor", argv)
        if os.waitstatus_to_exitcode(await process.ended) == EXIT_UNHEALED:
            await asyncio.sleep(AGAIN_AFTER_S)
        self._busy.discard(run)
