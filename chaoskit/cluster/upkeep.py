"""Keeps the servers of the control side, and lays hands on any server when it is ordered to.

A server that ends by itself is the cluster's end. One that is killed on order is started again after a pause, as a
kubelet starts a static pod again; a node's own first process does that for the servers of the node.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from chaoskit.cluster.control_plane import Server
from chaoskit.cluster.nodes import Node
from chaoskit.cluster.patience import allowed_s
from chaoskit.cluster.processes import Process, Processes
from chaoskit.errors import ClusterError, UsageError
from chaoskit.ports import CONTROL_SERVERS, LONGEST_FREEZE_S, NODE_SERVERS

PAUSE_S = 2.0
"""A kubelet looks for ended containers once a second (`genericPlegRelistPeriod`, pkg/kubelet/kubelet.go), starts a
static pod's again without back-off the first time, and takes a moment to make it."""
EFFECT_DEADLINE_S = 5.0
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "thaw": signal.SIGCONT}
STATES = {"kill": ("", "Z", "X"), "freeze": ("T",), "thaw": ("R", "S", "D")}
"""What proc_pid_stat(5) calls a process to which the signal has happened."""


class Upkeep:
    """The servers by their names: `kube-scheduler`, or with their node, `kubelet@node1`."""

    def __init__(self, processes: Processes, nodes: Mapping[str, Node], pause_s: float = PAUSE_S) -> None:
        self._processes = processes
        self._nodes = nodes
        self._pause_s = pause_s
        self._running: dict[str, Process] = {}
        self._ordered: set[str] = set()
        """The names of those whose end was ordered, and has not been taken note of."""
        self._thawing: dict[str, asyncio.TimerHandle] = {}

    def start(self, server: Server) -> Process:
        process = self._processes.start(server.name, server.argv, server.env)
        self._running[server.name] = process
        return process

    async def keep(self, server: Server, process: Process) -> None:
        """Start a server again whenever its end was ordered. Raises when it ends by itself."""
        while True:
            await process.ended
            if server.name not in self._ordered:
                raise process.failure()
            self._ordered.discard(server.name)
            await asyncio.sleep(self._pause_s)
            process = self.start(server)

    async def order(self, name: str, order: str, for_s: float = LONGEST_FREEZE_S) -> None:
        """Give a server a signal, and wait until that is seen to have happened to it."""
        number = SIGNALS.get(order)
        if number is None:
            raise UsageError(f"a server cannot be told to {order!r}", fix=f"one of: {', '.join(SIGNALS)}")
        if order == "thaw" and self._is_starting(name):
            return  # One that was frozen and has ended is frozen no more.
        pid = self._pid(name)
        if order == "kill" and name in CONTROL_SERVERS:
            self._ordered.add(name)
        os.kill(pid, number)
        self._let_go_on(name, min(for_s, LONGEST_FREEZE_S) if order == "freeze" else None)
        await _seen(pid, name, order)
        if order == "kill" and name in CONTROL_SERVERS:
            await asyncio.wait([self._running[name].ended])

    def _is_starting(self, name: str) -> bool:
        process = self._running.get(name)
        return process is not None and not process.running

    def _let_go_on(self, name: str, after_s: float | None) -> None:
        """A frozen one, after so long; None: it does so already."""
        earlier = self._thawing.pop(name, None)
        if earlier is not None:
            earlier.cancel()
        if after_s is not None:
            self._thawing[name] = asyncio.get_running_loop().call_later(after_s, self._thaw, name)

    def _thaw(self, name: str) -> None:
        try:
            os.kill(self._pid(name), signal.SIGCONT)
        except (ClusterError, ProcessLookupError):
            return  # It is gone: nothing of it stands still.

    def _pid(self, name: str) -> int:
        server, _, node = name.partition("@")
        if server in NODE_SERVERS and node in self._nodes:
            return self._nodes[node].server_pid(server)
        if name not in CONTROL_SERVERS:
            known = [*CONTROL_SERVERS, *(f"{s}@{n}" for s in NODE_SERVERS for n in self._nodes)]
            raise UsageError(f"there is no server {name!r}", fix=f"one of: {', '.join(known)}")
        process = self._running.get(name)
        if process is None or not process.running:
            raise ClusterError(f"{name} is not running", why="it is being started again", fix="wait some seconds")
        return process.pid


async def _seen(pid: int, name: str, order: str) -> None:
    end = time.monotonic() + allowed_s(EFFECT_DEADLINE_S)
    while _state(pid) not in STATES[order]:
        if time.monotonic() > end:
            raise ClusterError(f"{name} did not {order} within {EFFECT_DEADLINE_S:.0f} s", why=f"state {_state(pid)}")
        await asyncio.sleep(0.005)


def _state(pid: int) -> str:
    """The state of a process; empty when there is none any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
