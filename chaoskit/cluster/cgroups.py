"""The control groups of a cluster: `chaoskit/<cluster>/<node>` in each hierarchy of version 1, or in version 2's one.

Groups outlive the processes in them, so they are the one thing that the kernel does not clean when the cluster dies.

Who gets the processor when all want it: the kernel shares it between a group's children by their weights, and a process
that is in no group of its own weighs as much as a group does. Left alone, all pods of all nodes would weigh what one
thread of the API server weighs: requests from a pod were sent 30 to 60 ms late (99th percentile) on two cores that were
idle half of the time. So the servers of the control side are in a group too, and those of a node in one beside its
pods, which the kubelet weighs by the node's processors: as a system slice is on a machine of its own.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from chaoskit.cluster.patience import allowed_s

ROOT = Path("/sys/fs/cgroup")
OURS = "chaoskit"
# The hierarchies that kubelet and runc use on version 1; `systemd` is runc's own place to find a container's processes.
HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
# On machines with both versions, runc makes groups without controllers here as well.
HYBRID = "unified"
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
SYSTEM = "system"
CONTROL = "control"
CPU = "cpu"
# What a thread, and a new group, weighs on version 1 (the kernel's NICE_0_LOAD, cpu.shares).
WEIGHT = 1024
# An extended attribute of the group that all clusters share, and that goes with it: the controllers that version 2's
# root did not hand down before there were clusters.
BORROWED = "user.chaoskit.borrowed"


def is_version_2(root: Path = ROOT) -> bool:
    return (root / "cgroup.controllers").exists()


@dataclass(frozen=True)
class Cgroups:
    """The groups of one cluster."""

    cluster: str
    root: Path = ROOT

    def kubelet_root(self, node: str) -> str:
        """The kubelet's `cgroupRoot`: pods are made below it."""
        return f"/{OURS}/{self.cluster}/{node}"

    def make(self, node: str) -> None:
        """Make a node's groups so that the kubelet can make those of pods in them."""
        if is_version_2(self.root):
            self._make_version_2(node)
        else:
            for hierarchy in self._hierarchies():
                self._make_version_1(hierarchy, node)

    def entries(self, node: str) -> list[Path]:
        """Each `cgroup.procs` that the node's first process joins: freezing the node's group then freezes all of it,
        and its servers weigh as one beside its pods."""
        if is_version_2(self.root):
            return [self.root / OURS / self.cluster / node / SYSTEM / "cgroup.procs"]
        frozen, weighed = (self.root / name / OURS / self.cluster / node for name in ("freezer", CPU))
        return [frozen / "cgroup.procs", weighed / SYSTEM / "cgroup.procs"]

    def join_control(self) -> None:
        """Put this process, and so those that it will start, into the group of the control side.

        Version 2 has no process beside groups: what the control side is started in weighs against the clusters' group.
        """
        if is_version_2(self.root):
            return
        group = self.root / CPU / OURS / self.cluster / CONTROL
        group.mkdir(parents=True, exist_ok=True)
        if own_group(Path("/proc/self/cgroup").read_text(), CPU) == "/":
            # As a thread for each processor: more would leave chaoskit and Locust, beside it, waiting for their turns.
            (self.root / CPU / OURS / "cpu.shares").write_text(str(WEIGHT * (os.cpu_count() or 1)))
        (group / "cgroup.procs").write_text("0")  # The writer itself, whatever namespace its id belongs to.

    def leave_control(self) -> None:
        """Take this process out of the group again, so that the group can go before it."""
        if not is_version_2(self.root):
            _write_if_there(self.root / CPU / "cgroup.procs", "0")

    def freeze(self, node: str, frozen: bool) -> None:
        if is_version_2(self.root):
            (self.root / OURS / self.cluster / node / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            state = self.root / "freezer" / OURS / self.cluster / node / "freezer.state"
            state.write_text("FROZEN" if frozen else "THAWED")

    def thaw_all(self) -> None:
        """Frozen processes of version 1 do not die when killed: they must be thawed first."""
        for top in self._tops("freezer"):
            for group in _tree(top / self.cluster):
                _write_if_there(group / "freezer.state", "THAWED")

    def sweep(self, deadline_s: float = 5.0) -> list[Path]:
        """Remove every group of the cluster, whose processes are dead or dying. Returns what could not be removed."""
        end = time.monotonic() + allowed_s(deadline_s)
        while True:
            self.thaw_all()
            left = [group for top in self._tops() for group in _remove_tree(top / self.cluster)]
            if not left or time.monotonic() > end:
                break
            time.sleep(0.02)
        for top in self._tops():
            _remove_top(top)
        return left

    def sweep_node(self, node: str) -> list[Path]:
        """Remove the groups of one node that was powered off."""
        return [group for top in self._tops() for group in _remove_tree(top / self.cluster / node)]

    def _hierarchies(self) -> list[Path]:
        """Each hierarchy once: `cpu` and `cpuacct` are often two names of one."""
        found = {path.resolve() for name in (*HIERARCHIES, HYBRID) if (path := self.root / name).is_dir()}
        return sorted(found)

    def _tops(self, only: str = "") -> list[Path]:
        if is_version_2(self.root):
            return [self.root / OURS]
        return [hierarchy / OURS for hierarchy in self._hierarchies() if not only or hierarchy.name == only]

    def _make_version_1(self, hierarchy: Path, node: str) -> None:
        group = hierarchy
        for part in (OURS, self.cluster, node):
            parent, group = group, group / part
            group.mkdir(exist_ok=True)
            if (group / "cpuset.cpus").exists():
                for file in ("cpuset.cpus", "cpuset.mems"):  # A new group has none, and no process can join it.
                    (group / file).write_text((parent / file).read_text())
        if hierarchy == (self.root / CPU).resolve():
            (group / SYSTEM).mkdir(exist_ok=True)

    def _make_version_2(self, node: str) -> None:
        """Each parent of a pod's group must hand the controllers down, else the kubelet refuses to start."""
        top = self.root / OURS
        top.mkdir(exist_ok=True)
        _borrow(top, _held_back(self.root))
        group = self.root
        for part in (OURS, self.cluster, node):
            _hand_down(group)
            group /= part
            group.mkdir(exist_ok=True)
        (group / SYSTEM).mkdir(exist_ok=True)
        _hand_down(group)


def own_group(told: str, controller: str) -> str:
    """Where a process is in a controller's hierarchy of version 1, as its /proc/PID/cgroup tells (cgroups(7))."""
    lines = (line.split(":", 2) for line in told.splitlines())
    return next((path for _, names, path in lines if controller in names.split(",")), "")


def _hand_down(group: Path) -> None:
    wanted = [name for name in CONTROLLERS if name in _held_back(group)]
    if wanted:  # In one write: the kernel takes all or none, and two nodes may start at once.
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))


def _held_back(group: Path) -> list[str]:
    """The controllers that a group has, but does not hand down."""
    available, handed_down = (
        (group / f"cgroup.{name}").read_text().split() for name in ("controllers", "subtree_control")
    )
    return [name for name in available if name not in handed_down]


def _borrow(top: Path, controllers: list[str]) -> None:
    """Note what the root does not hand down yet: it will for us, and runc makes it hand down all that there is.

    Where the kernel keeps no notes, it stays handed down.
    """
    if controllers:
        with contextlib.suppress(OSError):
            os.setxattr(top, BORROWED, " ".join({*_borrowed(top), *controllers}).encode())


def _borrowed(top: Path) -> list[str]:
    try:
        return os.getxattr(top, BORROWED).decode().split()
    except OSError:
        return []


def _remove_top(top: Path) -> None:
    """Remove the group that all clusters share, if no cluster is left; the root then hands down what it did before.

    The kernel refuses to take a controller from a group that hands it on. A limit on a neighbour itself it would drop
    silently: what a neighbour's settings differ in from those of our own, untouched group stays.
    """
    unused = [name for name in _borrowed(top) if not _set_beside(top, name)]
    if _remove_if_empty(top):
        for controller in unused:
            _write_if_there(top.parent / "cgroup.subtree_control", f"-{controller}")


def _set_beside(top: Path, controller: str) -> bool:
    neighbours = (path for path in top.parent.iterdir() if path.is_dir() and path != top)
    untouched = _settings(top, controller)
    return any(_settings(neighbour, controller) != untouched for neighbour in neighbours)


def _settings(group: Path, controller: str) -> dict[str, str]:
    """What can be set of a controller and read again; `*.pressure` belongs to none."""
    files = (path for path in group.glob(f"{controller}.*") if path.suffix != ".pressure")
    return {path.name: _text(path) for path in files if path.stat().st_mode & 0o600 == 0o600}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write_if_there(path: Path, text: str) -> None:
    with contextlib.suppress(OSError), path.open("r+") as file:  # Where the group went away, all is as wanted.
        file.write(text)


def _tree(top: Path) -> list[Path]:
    """A group and all below it, parents first; groups that go away meanwhile are passed over."""
    return [Path(path) for path, _, _ in os.walk(top)]


def _remove_tree(top: Path) -> list[Path]:
    """Remove groups from the leaves up; return those that still hold processes."""
    return [group for group in reversed(_tree(top)) if not _remove_if_empty(group)]


def _remove_if_empty(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
