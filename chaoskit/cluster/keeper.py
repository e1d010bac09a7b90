"""The half of the supervisor that stays in the host's namespaces: it starts the other half, outlives it, and sweeps.

Two processes watch each other over a pair of sockets (the tether). The inner one is PID 1 of the cluster's namespaces:
when it ends, the kernel ends everything inside, and this one removes what the kernel leaves (empty cgroups, the state
folder). When this one is killed, the inner one does the same before it ends. So killing either cleans up.

It is started by `unshare --pid`, so that its first child is PID 1 of a new PID namespace with no process in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from chaoskit.cluster.cgroups import Cgroups
from chaoskit.cluster.patience import allowed_s
from chaoskit.cluster.state import Folder

END_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Orders:
    """What the two halves are told; handed on as JSON. What stands after the ports are inherited descriptors."""

    folder: str
    nodes: int
    profile: str
    seed: str
    api_port: int
    prometheus_port: int
    lock: int
    reports: int
    api_listener: int
    prometheus_listener: int
    tether: int = -1
    audit: bool = False
    """Whether the API server logs who asked for what."""

    @classmethod
    def read(cls, text: str) -> Orders:
        return cls(**json.loads(text))

    def write(self) -> str:
        return json.dumps(asdict(self))

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.lock, self.reports, self.api_listener, self.prometheus_listener)


def clean(folder: Folder) -> None:
    """Remove what outlives the processes of a cluster."""
    Cgroups(folder.name).sweep()
    folder.remove()


def main() -> None:
    orders = Orders.read(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    folder = Folder(Path(orders.folder))
    try:
        inner, tether = _start_inner(orders)
        try:
            _close(orders.api_listener, orders.prometheus_listener)
            select.select([tether], [], [])  # Readable only when the other side is gone.
        finally:
            _end(inner, Cgroups(folder.name))
    finally:
        clean(folder)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _start_inner(orders: Orders) -> tuple[subprocess.Popen[bytes], socket.socket]:
    here, there = socket.socketpair()
    told = Orders(**{**asdict(orders), "tether": there.fileno()}).write()
    isolate = ["unshare", "--mount", "--net", "--mount-proc"]
    inner = subprocess.Popen(
        [*isolate, sys.executable, "-m", "chaoskit.cluster.supervisor", told],
        pass_fds=(*orders.descriptors, there.fileno()),
    )
    there.close()
    with contextlib.suppress(BrokenPipeError):  # It ended already; the tether will say so.
        here.sendall(f"{inner.pid}\n".encode())
    return inner, here


def _end(inner: subprocess.Popen[bytes], cgroups: Cgroups) -> None:
    """Kill PID 1 of the namespaces, and wait until the kernel has ended everything in them."""
    inner.kill()
    end = time.monotonic() + allowed_s(END_DEADLINE_S)
    while inner.poll() is None and time.monotonic() < end:
        cgroups.thaw_all()
        time.sleep(0.01)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    main()
