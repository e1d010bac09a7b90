"""The run's append-only record, written before each act. It is data, never code.

One JSON object a line: `n` (from 0), `at` (seconds since the origin), `kind`, `data`, and `prev`, the SHA-256 of the
line before (its first 16 hex digits), so that a line that was changed or taken out later is noticed; that of the last
line stands in result.json. A torn last line, as a crash or a full disk leaves it, is left out when read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.errors import ToolError, UsageError

FILE = "journal.jsonl"
FIRST = "0" * 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. Kinds, and what their data hold:

    phase {name} · step began {step} · step ended {step} · intent {n, step, verb, what, target, change, run}
    outcome {n, step, outcome: done|gone|refused|unknown|failed, error} · landed {n, step, how} · refused {step, why}
    condition {phase, condition, value, holds, reason} · load {who, …} · note {text} · healed {n, done, how, fix}
    saw {step, what, data} · deploying {what} · ended {how, error}
    """

    n: int
    at: float
    kind: str
    data: Mapping[str, Any]


class Journal:
    """Appends to a journal; every line reaches the disk before `write` returns."""

    def __init__(self, path: Path) -> None:
        """Continues an existing journal after its last whole line. UsageError while somebody else writes it."""
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._claim()
        self._size, self._count, self._prev = _continue_from(path)
        self._file.truncate(self._size)

    def _claim(self) -> None:
        """Until it is closed, or its writer's process is gone."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise UsageError("the journal is being written by its run", where=str(self._path)) from error

    def write(self, kind: str, at: float, **data: Any) -> Entry:  # noqa: ANN401 - JSON values
        entry = Entry(self._count, round(at, 6), kind, data)
        body = {"n": entry.n, "at": entry.at, "kind": kind, "data": data, "prev": self._prev}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        self._append(line)
        self._prev = _digest(line)
        self._size += len(line)
        self._count += 1
        return entry

    def _append(self, line: bytes) -> None:
        """The whole line, or nothing of it: what a full disk left of one must not stand before the next."""
        try:
            written = self._file.write(line)
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise ToolError(
                "the journal cannot be written", where=str(self._path), why=str(error), fix="df -h shows what is full"
            ) from error
        if written != len(line):
            self._file.truncate(self._size)
            raise ToolError("the journal took only part of a line", where=str(self._path), fix="df -h")

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> tuple[Entry, ...]:
    """The whole lines of a journal. UsageError if a line in the middle is broken or the chain of digests is."""
    entries: list[Entry] = []
    prev = FIRST
    for number, line in enumerate(_whole_lines(path), 1):
        entry, claimed = _parse(line, path, number)
        if claimed != prev or entry.n != number - 1:
            raise UsageError(
                "the journal was changed after it was written",
                where=f"{path}:{number}",
                why="its chain of digests does not hold",
                fix="judge an unchanged copy of the run's folder",
            )
        prev = _digest(line)
        entries.append(entry)
    return tuple(entries)


def check_end(path: Path, end: str) -> None:
    """UsageError if no line has this digest, which was that of the last one: the chain alone shows no change of what
    nothing follows. What was healed since may follow it."""
    if end and end not in map(_digest, _whole_lines(path)):
        raise UsageError(
            "the journal was changed after it was judged",
            where=str(path),
            why=f"no line of it has the digest {end}, as the last one had",
            fix="judge an unchanged copy of the run's folder",
        )


def end(path: Path) -> str:
    """The digest of the last line."""
    return _continue_from(path)[2]


def _continue_from(path: Path) -> tuple[int, int, str]:
    """(bytes to keep, number of the next line, digest of the last)."""
    lines = _whole_lines(path)
    return sum(map(len, lines)), len(lines), _digest(lines[-1]) if lines else FIRST


def _whole_lines(path: Path) -> list[bytes]:
    return [line + b"\n" for line in path.read_bytes().split(b"\n")[:-1]]


def _parse(line: bytes, path: Path, number: int) -> tuple[Entry, str]:
    try:
        body = json.loads(line)
        entry = Entry(int(body["n"]), float(body["at"]), str(body["kind"]), dict(body["data"]))
        return entry, str(body["prev"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(
            "this line is no journal entry",
            where=f"{path}:{number}",
            why=str(error),
            fix="judge an unchanged copy of the run's folder",
        ) from error


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:16]
