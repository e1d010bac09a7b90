"""Where a cluster keeps its files: one folder for each name, held by a lock while the cluster lives.

The lock is the only truth about life: the kernel releases it when the last process of the supervisor is gone,
however it went, so a process id in a file is never trusted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaoskit.errors import ClusterError, UsageError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def clusters_folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home).absolute() / "chaoskit" / "clusters"


def check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a cluster",
            why="a name is at most 40 of a-z, 0-9 and '-', and does not begin or end with '-'",
            fix="chaoskit cluster up --name shop",
        )


@dataclass(frozen=True)
class Folder:
    """The paths in a cluster's state folder."""

    path: Path

    @classmethod
    def of(cls, name: str) -> Folder:
        check_name(name)
        return cls(clusters_folder() / name)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def record(self) -> Path:
        return self.path / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def kubeconfig_inside(self) -> Path:
        return self.path / "kubeconfig-inside"

    @property
    def control(self) -> Path:
        return self.path / "control.sock"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def etcd(self) -> Path:
        return self.path / "etcd"

    @property
    def prometheus(self) -> Path:
        return self.path / "prometheus"

    @property
    def volumes(self) -> Path:
        return self.path / "volumes"

    @property
    def images(self) -> Path:
        """The image archives that the user has loaded."""
        return self.path / "images"

    def node(self, name: str) -> Path:
        return self.path / "nodes" / name

    def make(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for part in (self.logs, self.keys, self.etcd, self.prometheus, self.volumes, self.images):
            part.mkdir(exist_ok=True, mode=0o700)

    def remove(self) -> None:
        """Remove the folder, and the folders above it that chaoskit made and that are empty now."""
        shutil.rmtree(self.path, ignore_errors=True)
        for parent in (self.path.parent, self.path.parent.parent):
            try:
                parent.rmdir()
            except OSError:
                return


@dataclass(frozen=True)
class Record:
    """What the supervisor tells others about the running cluster (`cluster.json`)."""

    name: str
    pid: int
    api_port: int
    prometheus_port: int
    gateway: str
    nodes: tuple[str, ...]
    profile: str
    timings: dict[str, float] = field(default_factory=dict)
    phases: dict[str, float] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Record:
        fields = json.loads(path.read_text())
        return cls(**{**fields, "nodes": tuple(fields["nodes"])})


def take_lock(folder: Folder) -> int | None:
    """The file descriptor of the lock, or None while another holds it. The folder must exist."""
    while True:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if _is_at(lock, folder.lock):
            return lock
        os.close(lock)  # The file was removed between open and flock: its owner was just cleaning up.


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def is_alive(folder: Folder) -> bool:
    """Whether a supervisor holds the lock."""
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def claim(folder: Folder) -> int:
    """Make the folder and hold its lock, or say what stands in the way and what to type."""
    if folder.path.exists() and not folder.lock.exists() and any(folder.path.iterdir()):
        raise ClusterError(
            f"the folder {folder.path} is in the way",
            why="it holds files, but none of them says that a cluster made them",
            fix=f"look into it, then: rm -r {folder.path}",
        )
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    stale = folder.record.exists() or folder.logs.exists()
    lock = take_lock(folder)
    if lock is None:
        raise ClusterError(
            f"a cluster named {folder.name!r} is already running or starting",
            fix=f"chaoskit cluster status --name {folder.name}, chaoskit cluster down --name {folder.name}, "
            "or another name: chaoskit cluster up --name other",
        )
    if stale:
        os.close(lock)
        raise ClusterError(
            f"{folder.path} was left behind by a cluster that runs no more",
            why="the machine was switched off, or all of its processes were killed at once",
            fix=f"chaoskit cluster down --name {folder.name}",
        )
    return lock
