"""The supervisor's janitor: what it starts, and when, beside an API server that only knows Leases."""

from __future__ import annotations

import asyncio
import contextlib

from chaoskit.cluster.api import ApiError
from chaoskit.cluster.janitor import Janitor
from chaoskit.model import RUN_LABEL

KILLED, UNHEALED = 9, 5 << 8
"""Wait statuses."""


class Leases:
    """What the API server holds, and whether it is away."""

    def __init__(self, *runs):
        self.runs = dict.fromkeys(runs, 0)
        self.renewing = set(runs)
        self.away = False
        self.looks = 0

    def get(self, path):
        assert path.endswith("labelSelector=app.kubernetes.io/managed-by%3Dchaoskit")
        self.looks += 1
        if self.away:
            raise ApiError(503, "away", "")
        for run in self.renewing & set(self.runs):
            self.runs[run] += 1
        return {"items": [lease(run, renewed) for run, renewed in self.runs.items()]}


def lease(run, renewed):
    return {"metadata": {"uid": run, "labels": {RUN_LABEL: run}}, "spec": {"renewTime": str(renewed)}}


class Ended:
    def __init__(self, status):
        self.ended = asyncio.get_running_loop().create_future()
        self.ended.set_result(status)


class Heals:
    """The supervisor's processes: each start of a heal ends as it was told."""

    def __init__(self, leases, *statuses):
        self.leases, self.statuses, self.argv = leases, list(statuses), []

    def start(self, name, argv):
        assert name == "janitor"
        self.argv.append(argv[1:])
        status = self.statuses.pop(0) if self.statuses else 0
        if status == 0:
            del self.leases.runs[argv[4]]
        return Ended(status)


def watch(leases, heals, story):
    """Lets a janitor look a few hundred times a second while `story` goes on."""

    async def both():
        watching = asyncio.create_task(Janitor(leases, heals, "chaoskit", after_s=0.05, every_s=0.003).run())
        await asyncio.wait_for(story(), 10)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    asyncio.run(both())


async def until(true):
    while not true():
        await asyncio.sleep(0.005)


async def some_looks(leases, number=40):
    seen = leases.looks
    await until(lambda: leases.looks >= seen + number)


def test_a_run_that_falls_silent_is_healed_and_no_other():
    leases = Leases("r1", "r2")
    heals = Heals(leases)

    async def story():
        await some_looks(leases)
        assert heals.argv == []
        leases.renewing.discard("r1")
        await until(lambda: heals.argv)
        await some_looks(leases)

    watch(leases, heals, story)
    assert heals.argv == [["-m", "chaoskit", "heal", "r1", "--cluster", "chaoskit", "--inside"]]


def test_a_heal_that_is_killed_is_started_again_at_once():
    leases = Leases("r1")
    leases.renewing.clear()
    heals = Heals(leases, KILLED, KILLED, 0)

    async def story():
        await until(lambda: not leases.runs)

    watch(leases, heals, story)
    assert len(heals.argv) == 3


def test_what_cannot_be_healed_is_not_tried_again_and_again():
    leases = Leases("r1")
    leases.renewing.clear()
    heals = Heals(leases, UNHEALED)

    async def story():
        await until(lambda: heals.argv)
        await some_looks(leases, 60)

    watch(leases, heals, story)
    assert len(heals.argv) == 1


def test_an_api_server_that_is_away_makes_nobody_look_dead():
    leases = Leases("r1")
    heals = Heals(leases)

    async def story():
        await some_looks(leases, 5)
        leases.away = True
        await some_looks(leases)
        leases.away = False
        await some_looks(leases)

    watch(leases, heals, story)
    assert heals.argv == []
