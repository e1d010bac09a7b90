"""Which runs of this machine are under way: each holds the lock on a file of its own for as long as its process lives.

The lock is the only truth about life: the kernel releases it when the process is gone, however it went. The file stays
until all that the run changed is put back, so a run without one is not of this machine and user (or has left nothing),
and whether it is under way cannot be known here.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from chaoskit.contracts import Intent


class Life(enum.Enum):
    """What is known of a run."""

    UNDER_WAY = "under way"
    ENDED = "ended"
    UNKNOWN = "unknown"


def folder() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home).absolute() / "chaoskit" / "runs"


@contextlib.contextmanager
def held(run: str) -> Iterator[None]:
    """The run is under way. Where no file can be written nobody will know, and leave alone what it changed."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder() / run).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def forget(run: str) -> None:
    """All that the run changed is put back."""
    with contextlib.suppress(OSError):
        (folder() / run).unlink(missing_ok=True)


def life(run: str) -> Life:
    if not run or "/" in run:  # Whatever an annotation says: it names a file here.
        return Life.UNKNOWN
    try:
        with (folder() / run).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Life.UNDER_WAY
    except OSError:
        return Life.UNKNOWN
    return Life.ENDED


def by_life(intents: Iterable[Intent]) -> dict[Life, Sequence[Intent]]:
    """The intents by what is known of their runs, each in their order."""
    found: dict[Life, list[Intent]] = {kind: [] for kind in Life}
    lives: dict[str, Life] = {}
    for intent in intents:
        found[lives.setdefault(intent.run, life(intent.run))].append(intent)
    return dict(found)
