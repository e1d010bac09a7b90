"""What must be there before a cluster can start, asked before anything is made, each with what to do about it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from chaoskit.cluster.cgroups import HIERARCHIES, is_version_2
from chaoskit.errors import ToolError, UsageError

PROGRAMS = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2", "nft": "nftables", "runc": "runc"}
NAMESPACES = ("mnt", "pid", "net", "uts", "ipc")
FILE_SYSTEMS = ("overlay", "tmpfs", "proc", "sysfs")
# One cluster with its app writes about this much: etcd's log, Prometheus' blocks, containers' writable layers.
DISK_BYTES = 600_000_000


def check(state: Path, nodes: int, most_nodes: int) -> None:
    """Raise the first thing that is missing."""
    if not 1 <= nodes <= most_nodes:
        raise UsageError(f"a cluster cannot have {nodes} nodes", fix=f"choose between 1 and {most_nodes}: --nodes 3")
    for problem in problems(state):
        raise problem


def problems(state: Path) -> Iterator[ToolError]:
    if os.geteuid():
        yield ToolError(
            "only root can start a cluster",
            why="it makes namespaces, mounts and control groups",
            fix="sudo -E chaoskit cluster up",
        )
    yield from _missing_programs()
    yield from _missing_kernel_features(Path("/proc"), Path("/sys/fs/cgroup"))
    yield from _missing_space(state)


def _missing_programs() -> Iterator[ToolError]:
    missing = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
    if missing:
        yield ToolError(
            f"programs are missing: {', '.join(p for p in PROGRAMS if not shutil.which(p))}",
            fix=f"apt-get install {' '.join(missing)}",
        )


def _missing_kernel_features(proc: Path, cgroup: Path) -> Iterator[ToolError]:
    for name in NAMESPACES:
        if not (proc / "self" / "ns" / name).exists():
            yield ToolError(
                f"the kernel has no {name} namespaces", fix="use a kernel with CONFIG_NAMESPACES and its parts"
            )
    known = (proc / "filesystems").read_text().split()
    for name in FILE_SYSTEMS:
        if name not in known and not _load(name):
            yield ToolError(f"the kernel has no {name} file system", fix=f"modprobe {name}")
    if not is_version_2(cgroup):
        missing = [name for name in HIERARCHIES if not (cgroup / name).is_dir()]
        if missing:
            yield ToolError(
                f"control groups are missing: {', '.join(missing)}",
                where=str(cgroup),
                why="neither version 2 nor all controllers of version 1 are mounted there",
                fix="boot with systemd.unified_cgroup_hierarchy=1, or mount the controllers (cgroupfs-mount)",
            )


def _load(module: str) -> bool:
    """The kernel loads a file system when one is first mounted, so a module on disk is as good as a loaded one."""
    folder = Path("/lib/modules") / os.uname().release
    return (
        any(folder.rglob(f"{module}.ko*")) or module in (folder / "modules.builtin").read_text()
        if folder.is_dir()
        else False
    )


def _missing_space(state: Path) -> Iterator[ToolError]:
    place = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < DISK_BYTES:
        yield ToolError(
            f"only {free // 1_000_000} MB are free, and a cluster needs {DISK_BYTES // 1_000_000} MB",
            where=str(place),
            fix=f"df -h {place}; make room, or put the state elsewhere: XDG_STATE_HOME=/roomy chaoskit cluster up",
        )
