"""However a cluster ends, nothing of it stays: no process, mount, interface, rule, control group, port or file.

Starts are ended at random moments in every way there is, and the machine is compared with what it was before.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chaoskit.cluster import asking

pytestmark = pytest.mark.cluster

SEED = 20_260
MOMENTS = 20
LATEST_S = 8.0
CLEAN_WITHIN_S = 15.0
MARK = "CHAOSKIT_RESIDUE_TEST"


@dataclass(frozen=True)
class Start:
    """A start under way, in a state folder and with ports of its own."""

    name: str
    home: Path
    ports: tuple[int, int]
    command: subprocess.Popen[bytes]

    def processes(self) -> list[int]:
        """Everything that belongs to the cluster, whatever namespace it is in."""
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and self._is_ours(path)]

    def find(self, module: str) -> list[int]:
        """The host's ids of the running processes of a module of the supervisor."""
        return [pid for pid in self.processes() if module.encode() in _read(Path(f"/proc/{pid}/cmdline")).split(b"\0")]

    def _is_ours(self, process: Path) -> bool:
        if _state(process) == "Z":
            return False
        mark = f"{MARK}={self.name}\0".encode()
        return mark in _read(process / "environ") or f"/{self.name}/".encode() in _read(process / "cgroup")


@dataclass(frozen=True)
class Machine:
    """What a cluster could leave behind on the machine."""

    mounts: frozenset[str]
    interfaces: frozenset[str]
    rules: str

    @classmethod
    def now(cls) -> Machine:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        return cls(frozenset(mounts), frozenset(name for _, name in socket.if_nameindex()), rules)


def traces(start: Start, before: Machine) -> list[str]:
    """What is still there of a cluster, in words."""
    now = Machine.now()
    found = [f"process {pid}: {_read(Path(f'/proc/{pid}/cmdline'))!r}" for pid in start.processes()]
    found += [f"mount {mount}" for mount in now.mounts - before.mounts]
    found += [f"interface {name}" for name in now.interfaces - before.interfaces]
    found += [] if now.rules == before.rules else [f"rules {now.rules}"]
    # os.walk, and not glob: a group may go away between being listed and being entered, which is what is waited for.
    groups = (path for path, _, _ in os.walk("/sys/fs/cgroup"))
    found += [f"control group {path}" for path in groups if path.endswith(f"/chaoskit/{start.name}")]
    found += [f"port {port}" for port in start.ports if _listens(port)]
    found += [f"file {path}" for path, _, _ in os.walk(start.home) if Path(path) != start.home]
    return found


@pytest.fixture
def before() -> Machine:
    return Machine.now()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[str], Start]]:
    started: list[Start] = []

    def begin_one(name: str) -> Start:
        home = tmp_path / name
        home.mkdir()
        ports = _free_port(), _free_port()
        options = ["--name", name, "--api-port", str(ports[0]), "--prometheus-port", str(ports[1])]
        command = subprocess.Popen(
            [sys.executable, "-c", "from chaoskit.cli import main; main()", "cluster", "up", *options],
            env={**os.environ, "XDG_STATE_HOME": str(home), MARK: name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        start = Start(name, home, ports, command)
        started.append(start)
        return start

    yield begin_one
    for start in started:
        start.command.kill()
        start.command.wait()
        for pid in start.find("chaoskit.cluster.keeper"):
            _kill(pid, signal.SIGTERM)


def interrupt(start: Start) -> None:
    """Ctrl-C while `up` waits; when it is done, the whole thing is ended from its keeper."""
    start.command.send_signal(signal.SIGINT)
    if start.command.wait(30) == 0:
        kill_each(start, "chaoskit.cluster.keeper", signal.SIGTERM)


def kill_each(start: Start, module: str, number: int = signal.SIGKILL) -> None:
    found = start.find(module)
    for pid in found:
        _kill(pid, number)
    if not found:  # So early that there is no such process yet: the start itself is what can be ended.
        start.command.send_signal(signal.SIGINT)


ENDINGS: dict[str, Callable[[Start], None]] = {
    "kill -9 of the keeper": lambda start: kill_each(start, "chaoskit.cluster.keeper"),
    "kill -9 of the supervisor": lambda start: kill_each(start, "chaoskit.cluster.supervisor"),
    "Ctrl-C": interrupt,
    "SIGTERM to the keeper": lambda start: kill_each(start, "chaoskit.cluster.keeper", signal.SIGTERM),
}


def test_nothing_stays_whenever_and_however_a_cluster_ends(begin: Callable[[str], Start], before: Machine) -> None:
    under_way = 0
    chance = random.Random(SEED)  # noqa: S311 (the same moments each time)
    for number in range(MOMENTS):
        moment = LATEST_S * (number + chance.random()) / MOMENTS
        how = list(ENDINGS)[number % len(ENDINGS)]
        start = begin(f"residue-{number}")
        time.sleep(moment)  # The moment is the point of the test: nothing is waited for.
        under_way += bool(start.find("chaoskit.cluster.keeper"))
        ENDINGS[how](start)
        start.command.wait(30)
        left = _await_clean(start, before)
        assert not left, f"{how} after {moment:.2f} s left: {left}"
    assert under_way >= MOMENTS * 0.8, "most starts were not under way yet: the moments say nothing"


def test_killing_both_halves_at_once_leaves_what_the_next_command_names_and_down_removes(
    begin: Callable[[str], Start], before: Machine
) -> None:
    start = begin("residue-both")
    start.command.wait(60)
    for pid in [*start.find("chaoskit.cluster.keeper"), *start.find("chaoskit.cluster.supervisor")]:
        _kill(pid, signal.SIGKILL)
    _await(lambda: not start.processes(), "everything inside to end with its PID 1")
    again = run(start, "up")
    assert again.returncode == 2
    assert f"chaoskit cluster down --name {start.name}" in again.stderr
    assert run(start, "down").returncode == 0
    assert not _await_clean(start, before)


def test_a_frozen_node_ends_with_its_cluster(begin: Callable[[str], Start], before: Machine) -> None:
    start = begin("residue-frozen")
    start.command.wait(60)
    asking.call(start.home / "chaoskit" / "clusters" / start.name / "control.sock", {"do": "freeze", "node": "node2"})
    kill_each(start, "chaoskit.cluster.supervisor")
    assert not _await_clean(start, before)


def test_the_waiting_command_s_sudden_death_ends_the_start(begin: Callable[[str], Start], before: Machine) -> None:
    start = begin("residue-command")
    _await(lambda: bool(start.find("chaoskit.cluster.supervisor")), "the supervisor")
    start.command.kill()
    assert not _await_clean(start, before)


def test_who_is_not_root_is_told_so() -> None:
    program = "from chaoskit.cluster import preflight; preflight.check_root()"
    nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--", sys.executable, "-c", program]
    refused = subprocess.run(nobody, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "only root can start or stop a cluster" in refused.stderr


def run(start: Start, command: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from chaoskit.cli import main; main()", "cluster", command, "--name", start.name]
    environment = {**os.environ, "XDG_STATE_HOME": str(start.home)}
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False)


def _await(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + CLEAN_WITHIN_S
    while not condition():
        assert time.monotonic() < end, f"waited {CLEAN_WITHIN_S:.0f} s for {what}"
        time.sleep(0.02)


def _await_clean(start: Start, before: Machine) -> list[str]:
    end = time.monotonic() + CLEAN_WITHIN_S
    while (left := traces(start, before)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _state(process: Path) -> str:
    stat = _read(process / "stat").decode(errors="replace")
    return stat[stat.rindex(")") + 2] if stat else "Z"
