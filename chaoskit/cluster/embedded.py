"""The embedded cluster as the rest of chaoskit sees it: start it, find it, stop it, and lay hands on its nodes.

Starting is done by a detached supervisor (`keeper.py`); this module speaks with it and never needs to outlive a call.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from chaoskit.cluster import archives, network, patience, preflight, seed, system, toolset
from chaoskit.cluster.asking import call, listen
from chaoskit.cluster.keeper import Orders, clean
from chaoskit.cluster.nodes import importing
from chaoskit.cluster.profile import ACCELERATED
from chaoskit.cluster.state import Folder, Record, claim, clusters_folder, is_alive, take_lock
from chaoskit.errors import ClusterError
from chaoskit.ports import LONGEST_FREEZE_S

DEFAULT_NAME = "chaoskit"
END_DEADLINE_S = 30.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class EmbeddedCluster:
    """A running cluster."""

    name: str
    state: Path
    kubeconfig: Path
    prometheus_url: str
    gateway: str
    nodes: tuple[str, ...]
    pid: int
    """PID 1 of the cluster's namespaces, as the host sees it."""
    profile: str
    timings: dict[str, float]
    """The platform's own timings, in seconds (`profile.py`)."""
    phases: dict[str, float]
    """Seconds after the supervisor's start at which each phase of the start was done."""

    @property
    def kubeconfig_inside(self) -> Path:
        """A kubeconfig for what runs in the cluster's network."""
        return Folder(self.state).kubeconfig_inside

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` in the cluster's network, and otherwise on the host."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *argv]

    @property
    def programs(self) -> Path:
        """Where kubectl and the servers are."""
        return _toolset().bin

    def enter(self, node: str | None, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` on the control side, or on a node, among its processes, files and network."""
        if node is None:
            return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--", *argv]
        holder = self._ask(do="holder", node=node)["pid"]
        outer = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--"]
        inner = [
            "nsenter",
            f"--target={holder}",
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            f"--pid=/proc/{holder}/ns/pid_for_children",
        ]
        return [*outer, *inner, f"--root=/proc/{holder}/root", "--wd=/", "--", *argv]

    def power_off(self, node: str) -> None:
        """What a power failure does to a node."""
        self._ask(do="power_off", node=node)

    def power_on(self, node: str) -> None:
        self._ask(do="power_on", node=node)

    def freeze(self, node: str) -> None:
        """Stop every process of a node where it stands."""
        self._ask(do="freeze", node=node)

    def thaw(self, node: str) -> None:
        self._ask(do="thaw", node=node)

    def unplug(self, node: str) -> None:
        """Cut a node off the network; its processes go on."""
        self._ask(do="unplug", node=node)

    def plug(self, node: str) -> None:
        self._ask(do="plug", node=node)

    def server(self, name: str, order: str, for_s: float = LONGEST_FREEZE_S) -> None:
        """Kill, freeze (for a while) or thaw a server of the control side, or one of a node, as in kubelet@node1."""
        self._ask(do="server", name=name, order=order, for_s=for_s)

    def nodes_on(self) -> dict[str, bool]:
        """Which nodes are powered."""
        return dict(self._ask(do="nodes")["on"])

    def has(self, archive: Path) -> bool:
        """Whether this very archive was loaded."""
        kept = archives.kept_as(archives.image_names(archive), Folder(self.state).images)
        return kept.exists() and filecmp.cmp(archive, kept, shallow=False)

    def load(self, archive: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Put the images of an archive on every node; one without power takes them in when it is switched on. Returns
        the images' names, and the nodes that have them now."""
        names = archives.image_names(archive)
        kept = archives.keep(archive, names, Folder(self.state).images)
        nodes = tuple(node for node, on in self.nodes_on().items() if on)
        try:
            self._take_in(archive, kept, nodes)
        except BaseException:
            kept.unlink(missing_ok=True)  # Or the next node that is switched on would stumble over it.
            raise
        return names, nodes

    def _take_in(self, archive: Path, kept: Path, nodes: Sequence[str]) -> None:
        with contextlib.ExitStack() as stack:
            running = {node: stack.enter_context(_importing(self.enter(node, importing(kept.name)))) for node in nodes}
            for node, process in running.items():
                said, _ = process.communicate()
                if process.returncode:
                    raise ClusterError(
                        f"{node} could not take in the images",
                        where=str(archive),
                        why="\n".join(said.strip().splitlines()[-3:]),
                        fix=f"chaoskit cluster status --name {self.name}, and load it again",
                    )

    def kill_container(self, node: str, container: str, number: int = signal.SIGKILL) -> None:
        """Signal a container's first process from outside its PID namespace, where the kernel does not ignore it.

        `container` is the id in the pod's status, without its `containerd://`.
        """
        self._ask(do="kill_container", node=node, container=container, signal=int(number))

    def expose(self, address: str, port: int, host_port: int = 0) -> int:
        """Open a port on the host's loopback that leads to `address:port` inside; returns its number."""
        with _port(host_port) as listener:
            request = {"do": "expose", "address": address, "port": port}
            call(Folder(self.state).control, request, (listener.fileno(),))
            return int(listener.getsockname()[1])

    def unexpose(self, host_port: int) -> None:
        self._ask(do="unexpose", host_port=host_port)

    def _ask(self, **request: str | float) -> dict[str, Any]:
        return call(Folder(self.state).control, request)


@contextmanager
def _importing(argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Killed, if it is still running at the end."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def find(name: str = DEFAULT_NAME) -> EmbeddedCluster | None:
    """The running cluster of that name; None where there is none, or it is not ready yet."""
    folder = Folder.of(name)
    if not is_alive(folder):
        return None
    try:
        record = Record.read(folder.record)
    except FileNotFoundError:
        return None
    return EmbeddedCluster(
        name=name,
        state=folder.path,
        kubeconfig=folder.kubeconfig,
        prometheus_url=f"http://127.0.0.1:{record.prometheus_port}",
        gateway=record.gateway,
        nodes=record.nodes,
        pid=record.pid,
        profile=record.profile,
        timings=record.timings,
        phases=record.phases,
    )


def names() -> list[str]:
    """Every cluster that has a state folder, running or not."""
    folder = clusters_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def up(
    name: str = DEFAULT_NAME,
    *,
    nodes: int = 3,
    say: Say,
    profile: str = ACCELERATED.name,
    api_port: int = 0,
    prometheus_port: int = 0,
    audit: bool = False,
) -> EmbeddedCluster:
    """Start a cluster and wait until it is ready. A failed or interrupted start leaves nothing behind. `audit`: its API
    server logs who asked for what, but for the platform itself."""
    folder = Folder.of(name)
    patience.factor()  # A wrong one is told before anything is started.
    system.ensure(say, system.RUNS)
    preflight.check(folder.path, nodes, network.MOST_NODES)
    store = seed.ensure(toolset.ensure(say), profile, nodes, say)
    lock = claim(folder)
    try:
        folder.make()
        with _port(api_port) as api, _port(prometheus_port) as prometheus:
            reports, log = _start_keeper(folder, nodes, profile, store, lock, api, prometheus, audit=audit)
        with reports, log:
            _await_start(reports, log, say)
        cluster = find(name)
        if cluster is None:
            raise ClusterError(f"the cluster {name!r} ended right after its start", fix="chaoskit cluster up")
    except BaseException:  # Ctrl-C too: closing our end of the reports has told a supervisor that is starting to end.
        with contextlib.suppress(OSError):
            os.close(lock)
        if folder.record.exists():  # It had just become ready.
            _tell_to_end(folder)
        _clear(folder)
        raise
    return cluster


def down(name: str = DEFAULT_NAME) -> None:
    """Stop a cluster, or remove what a dead one left behind. One that is not there is already down."""
    folder = Folder.of(name)
    preflight.check_root()
    _tell_to_end(folder)
    _clear(folder)


def _tell_to_end(folder: Folder) -> None:
    if is_alive(folder):
        try:
            call(folder.control, {"do": "down"})
        except ClusterError:  # It is just starting or ending, or hangs: its first process is what holds all others.
            _kill_recorded(folder)


@contextmanager
def _port(number: int) -> Iterator[socket.socket]:
    try:
        listener = listen(number)
    except OSError as error:
        raise ClusterError(
            f"port {number} of the host's loopback is in use",
            why=str(error),
            fix=f"ss -tlnp 'sport = :{number}' shows by what; without a port given, a free one is chosen",
        ) from error
    with listener:
        yield listener


def _start_keeper(
    folder: Folder,
    nodes: int,
    profile: str,
    store: Path,
    lock: int,
    api: socket.socket,
    prometheus: socket.socket,
    *,
    audit: bool,
) -> tuple[socket.socket, BinaryIO]:
    """Start the detached supervisor; it takes the lock over. Returns its reports and its log."""
    here, there = socket.socketpair()
    orders = Orders(
        folder=str(folder.path),
        nodes=nodes,
        profile=profile,
        seed=str(store),
        api_port=api.getsockname()[1],
        prometheus_port=prometheus.getsockname()[1],
        lock=lock,
        reports=there.fileno(),
        api_listener=api.fileno(),
        prometheus_listener=prometheus.fileno(),
        audit=audit,
    )
    log = (folder.logs / "supervisor.log").open("a+b")
    with there:
        # It outlives this command, so `setsid --fork` makes it a child of init. Ctrl-C does not reach another session:
        # only the waiting command is interrupted, which then ends the start in order.
        keeper = ["unshare", "--pid", sys.executable, "-m", "chaoskit.cluster.keeper", orders.write()]
        subprocess.run(
            ["setsid", "--fork", *keeper],
            pass_fds=orders.descriptors,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            check=True,
        )
    os.close(lock)
    return here, log


def _await_start(reports: socket.socket, log: BinaryIO, say: Say) -> None:
    """Follow the supervisor's reports until it is ready; raises what it failed with."""
    with reports.makefile() as lines:
        for message in map(json.loads, lines):
            if "phase" in message:
                say(f"{message['at']:5.1f} s  {message['phase']}")
            if "failed" in message:
                failure = ClusterError(**message["failed"])
                preflight.explain(failure)
                raise failure
            if "ready" in message:
                return
    log.seek(0)
    said = log.read().decode(errors="replace").strip()
    raise ClusterError("the supervisor was killed during the start", why=said[-2000:], fix="chaoskit cluster up")


def _toolset() -> toolset.Toolset:
    found = toolset.find()
    if found is None:
        raise ClusterError("the cluster's servers are not built", fix="chaoskit cluster up")
    return found


def _kill_recorded(folder: Folder) -> None:
    """Kill the process that the folder names, if it is a supervisor: ids are given out again."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        pid = Record.read(folder.record).pid
        if str(folder.path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def _clear(folder: Folder) -> None:
    """Wait until the supervisor is gone and has cleaned up; do it in its place if it could not."""
    deadline_s = patience.allowed_s(END_DEADLINE_S)
    end = time.monotonic() + deadline_s
    while folder.path.is_dir():
        with contextlib.suppress(FileNotFoundError):
            lock = take_lock(folder)
            if lock is not None:
                clean(folder)
                os.close(lock)
                return
        if time.monotonic() > end:
            raise ClusterError(
                f"the supervisor of {folder.name!r} did not end within {deadline_s:.0f} s",
                where=str(folder.path),
                fix=f"kill the processes of `pgrep -af {folder.path}`; chaoskit cluster down --name {folder.name}",
            )
        time.sleep(0.02)
