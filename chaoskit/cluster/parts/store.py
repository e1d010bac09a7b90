"""Keeps what was built, so that it is built once: one folder for each part, named by a hash of what went into it.

A part is built in a folder beside and renamed when it is whole, so that a half-made one is never found. The lock is
held by the builder and by the programs that it started: a build that is killed gives it back when the last has ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chaoskit.errors import ClusterError

Say = Callable[[str], None]
UNFINISHED = ".unfinished-"
# What has not been used for so long is removed when something new is built: each version of everything takes 0.9 GB.
KEPT_S = 14 * 24 * 3600
WAIT_MESSAGE_S = 30.0


@dataclass(frozen=True)
class Part:
    """One thing to build: `build` fills the empty folder that it is given, and `inputs` is all that it depends on."""

    name: str
    inputs: tuple[str, ...]
    build: Callable[[Path], None] = field(compare=False, repr=False)
    expected_s: float = 5.0

    @property
    def folder_name(self) -> str:
        return f"{self.name}-{digest(self.inputs)}"


def digest(inputs: Iterable[str]) -> str:
    """A hash that no two different lists share: each item is preceded by its length."""
    total = hashlib.sha256()
    for item in inputs:
        data = item.encode()
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()[:20]


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/chaoskit`, as the XDG base directory specification says; a relative value counts as unset."""
    chosen = Path(environment.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "chaoskit"


class Store:
    """The cache folder. Reading needs no lock: a part that can be seen is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held_lock: int | None = None

    def path(self, part: Part) -> Path:
        return self.root / part.folder_name

    def has(self, part: Part) -> bool:
        return self.path(part).is_dir()

    def missing(self, parts: Iterable[Part]) -> list[Part]:
        return [part for part in parts if not self.has(part)]

    @contextlib.contextmanager
    def lock(self, say: Say) -> Iterator[None]:
        """One builder at a time. What earlier ones left unfinished is removed."""
        with _explained(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _acquire(handle, say)
            self.held_lock = handle
            self._remove_unfinished()
            yield
        finally:
            self.held_lock = None
            os.close(handle)

    def make(self, part: Part) -> Path:
        """Build one part, all or nothing. The lock must be held."""
        if self.held_lock is None:
            raise ValueError("parts are built under the lock only")
        unfinished = None
        try:
            with _explained(self.root):
                unfinished = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{part.name}-", dir=self.root))
                unfinished.chmod(0o755)
                part.build(unfinished)
                os.sync()  # A power failure must not leave a whole name on half a content.
                unfinished.rename(self.path(part))
        finally:
            if unfinished is not None:
                shutil.rmtree(unfinished, ignore_errors=True)
        return self.path(part)

    def mark_used(self, parts: Iterable[Part]) -> None:
        for part in parts:
            with contextlib.suppress(OSError):  # A cache that cannot be written is still good to read.
                os.utime(self.path(part))

    def prune(self, kept: Iterable[Part], names: Iterable[str], now: float) -> list[str]:
        """Remove the other versions of these parts that nobody has used for long and that no process runs from."""
        keep, known = {part.folder_name for part in kept}, tuple(f"{name}-" for name in names)
        removed = []
        for path in sorted(self.root.iterdir()):
            old = path.name.startswith(known) and path.name not in keep and now - path.stat().st_mtime > KEPT_S
            if old and not _is_running(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path.name)
        return removed

    def _remove_unfinished(self) -> None:
        for path in self.root.glob(f"{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)


def _acquire(handle: int, say: Say) -> None:
    said = -WAIT_MESSAGE_S
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
            if waited - said >= WAIT_MESSAGE_S:
                said = waited
                say(f"another build is going on (process {_holder(handle)}); waiting for it since {waited:.0f} s")
            time.sleep(0.2)
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            return


def _holder(handle: int) -> str:
    return os.pread(handle, 20, 0).decode(errors="replace") or "unknown"


@contextlib.contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClusterError(
            "what the embedded cluster needs could not be put into the cache",
            where=str(error.filename or root),
            why=error.strerror or str(error),
            fix=_remedy(error, root),
        ) from error


def _remedy(error: OSError, root: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"df -h {root}; make room, or use another disk: XDG_CACHE_HOME=/roomy chaoskit cluster up"
    return f"ls -ld {root}; make it writable, or use another folder: XDG_CACHE_HOME=/writable chaoskit cluster up"


def _is_running(folder: Path) -> bool:
    """Whether a process was started from a program in this folder."""
    for process in Path("/proc").glob("[0-9]*/exe"):
        with contextlib.suppress(OSError):  # It ended meanwhile, or is not ours to look at.
            if process.readlink().is_relative_to(folder):
                return True
    return False
