"""What can be seen before anything is started, each with the next command; and what a failed start may have been for.

The kernel's features are tried only when a start fails (`explain`): trying them takes longer than a check should.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chaoskit.cluster import system
from chaoskit.errors import ClusterError, ToolError, UsageError

# One cluster with its app writes about this much: etcd's log, Prometheus' blocks, containers' writable layers.
DISK_BYTES = 600_000_000


def check(state: Path, nodes: int, most_nodes: int) -> None:
    """Raise the first thing that stands in the way of a start with its files in `state`."""
    check_nodes(nodes, most_nodes)
    check_root()
    check_space(state)


def check_nodes(nodes: int, most: int) -> None:
    if not 1 <= nodes <= most:
        raise UsageError(f"a cluster cannot have {nodes} nodes", fix=f"choose between 1 and {most}: --nodes 3")


def check_root() -> None:
    if os.geteuid():
        raise ToolError(
            "only root can start or stop a cluster",
            why="it makes namespaces, mounts and control groups",
            fix="sudo -E chaoskit cluster up",
        )


def check_space(state: Path, needed: int = DISK_BYTES) -> None:
    place = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ToolError(
            f"only {free // 1_000_000} MB are free, and a cluster needs {needed // 1_000_000} MB",
            where=str(place),
            fix=f"df -h {place}; make room, or keep clusters elsewhere: XDG_STATE_HOME=/roomy chaoskit cluster up",
        )


def explain(error: ClusterError) -> None:
    """After a failed start: if the kernel lacks something, that is the reason, and is raised in the error's place."""
    try:
        system.check_kernel()
    except ToolError as lacking:
        raise lacking from error
