"""The control groups of a cluster: `chaoskit/<cluster>/<node>` in each hierarchy of version 1, or in version 2's one.

Groups outlive the processes in them, so they are the one thing that the kernel does not clean when the cluster dies.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OURS = "chaoskit"
# The hierarchies that kubelet and runc use on version 1; `systemd` is runc's own place to find a container's processes.
HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
# On machines with both versions, runc makes groups without controllers here as well.
HYBRID = "unified"
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")
SYSTEM = "system"


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

    def entry(self, node: str) -> Path:
        """The `cgroup.procs` that the node's first process joins, so that freezing the group freezes the node."""
        if is_version_2(self.root):
            return self.root / OURS / self.cluster / node / SYSTEM / "cgroup.procs"
        return self.root / "freezer" / OURS / self.cluster / node / "cgroup.procs"

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
        end = time.monotonic() + deadline_s
        while True:
            self.thaw_all()
            left = [group for top in self._tops() for group in _remove_tree(top / self.cluster)]
            if not left or time.monotonic() > end:
                break
            time.sleep(0.02)
        for top in self._tops():
            _remove_if_empty(top)
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

    def _make_version_2(self, node: str) -> None:
        """Each parent of a pod's group must hand the controllers down, else the kubelet refuses to start."""
        group = self.root
        for part in (OURS, self.cluster, node):
            _hand_down(group)
            group /= part
            group.mkdir(exist_ok=True)
        (group / SYSTEM).mkdir(exist_ok=True)
        _hand_down(group)


def _hand_down(group: Path) -> None:
    available = (group / "cgroup.controllers").read_text().split()
    for controller in CONTROLLERS:
        if controller in available:
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


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
