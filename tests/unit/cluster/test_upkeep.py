"""Servers that are killed on order come back, ones that end by themselves do not, and frozen ones stand still."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaoskit.cluster.control_plane import Server
from chaoskit.cluster.processes import Processes
from chaoskit.cluster.upkeep import Upkeep
from chaoskit.errors import ClusterError, UsageError

SCHEDULER = Server("kube-scheduler", ("sleep", "60"))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def play(tmp_path, scenario, server=SCHEDULER):
    """Runs a scenario with a server that is kept; returns what it returns, or raises what ended the server."""

    async def run():
        upkeep = Upkeep(Processes(tmp_path), {}, pause_s=0.05)
        process = upkeep.start(server)
        kept = asyncio.create_task(upkeep.keep(server, process))
        told = asyncio.create_task(scenario(upkeep, process))
        done, _ = await asyncio.wait({kept, told}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        kept.cancel()
        told.cancel()
        upkeep._running[server.name].kill()
        return next(task.result() for task in done)

    return asyncio.run(run())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


def test_one_that_is_killed_on_order_is_started_again(tmp_path):
    async def scenario(upkeep, process):
        await upkeep.order("kube-scheduler", "kill")
        assert not process.running, "the order returns when it has ended"
        with pytest.raises(ClusterError, match="being started again"):
            await upkeep.order("kube-scheduler", "kill")
        await upkeep.order("kube-scheduler", "thaw")
        await until(lambda: upkeep._running["kube-scheduler"] is not process)
        return upkeep._running["kube-scheduler"].running

    assert play(tmp_path, scenario)


def test_one_that_ends_by_itself_is_the_end(tmp_path):
    async def scenario(upkeep, process):
        await asyncio.sleep(9)

    with pytest.raises(ClusterError, match="kube-scheduler ended with exit code 3"):
        play(tmp_path, scenario, Server("kube-scheduler", ("sh", "-c", "exit 3")))


def test_one_that_was_killed_on_order_may_not_end_by_itself_later(tmp_path):
    server = Server("etcd", ("sh", "-c", f"test -e {tmp_path}/again && exit 4; touch {tmp_path}/again; exec sleep 60"))

    async def scenario(upkeep, process):
        await until((tmp_path / "again").exists)
        await upkeep.order("etcd", "kill")
        await asyncio.sleep(9)

    with pytest.raises(ClusterError, match="etcd ended with exit code 4"):
        play(tmp_path, scenario, server)


def test_a_frozen_one_stands_still_until_it_is_thawed(tmp_path):
    async def scenario(upkeep, process):
        await upkeep.order("kube-scheduler", "freeze")
        frozen = state(process.pid)
        await upkeep.order("kube-scheduler", "freeze")
        await upkeep.order("kube-scheduler", "thaw")
        await upkeep.order("kube-scheduler", "thaw")
        return frozen, state(process.pid)

    frozen, thawed = play(tmp_path, scenario)
    assert frozen == "T"
    assert thawed in "RSD"


def test_a_frozen_one_goes_on_by_itself_after_its_time(tmp_path):
    async def scenario(upkeep, process):
        await upkeep.order("kube-scheduler", "freeze", 0.2)
        frozen = state(process.pid)
        await until(lambda: state(process.pid) != "T")
        return frozen

    assert play(tmp_path, scenario) == "T"


def test_a_frozen_one_can_be_killed(tmp_path):
    async def scenario(upkeep, process):
        await upkeep.order("kube-scheduler", "freeze")
        await upkeep.order("kube-scheduler", "kill")
        return process.running

    assert play(tmp_path, scenario) is False


@pytest.mark.parametrize(
    ("name", "order"), [("prometheus", "kill"), ("kubelet@node9", "kill"), ("kube-scheduler", "x")]
)
def test_nobody_else_is_hit(tmp_path, name, order):
    async def scenario(upkeep, process):
        with pytest.raises(UsageError, match="one of: "):
            await upkeep.order(name, order)
        return process.running

    assert play(tmp_path, scenario)
