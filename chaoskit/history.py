"""The runs of a folder over time. The runs' own folders are the truth; an index in SQLite beside them saves reading all
of them each time, and is brought in line with them whenever it is opened.

    runs      folder (key), stamp, run, experiment, started_unix, seconds, verdict, exit_code, sentence, cluster
    findings  folder, n, name, kind, step, verdict, value, unit, uncertainty, limit_text, margin

Only what an experiment asked for is kept of its findings. Numbers that are none (NaN) are NULL.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit import journal, result
from chaoskit.errors import UsageError
from chaoskit.model import Finding, Verdict
from chaoskit.result import Result

INDEX = ".history.sqlite"
SILENT_S = 3600.0
VERSION = 1
"""Of the tables; an index of another one is made anew."""
_TABLES = """
CREATE TABLE runs (folder TEXT PRIMARY KEY, stamp TEXT NOT NULL, run TEXT, experiment TEXT, started_unix REAL,
  seconds REAL, verdict TEXT, exit_code INTEGER, sentence TEXT, cluster TEXT);
CREATE TABLE findings (folder TEXT NOT NULL, n INTEGER NOT NULL, name TEXT, kind TEXT, step TEXT, verdict TEXT,
  value REAL, unit TEXT, uncertainty REAL, limit_text TEXT, margin REAL, PRIMARY KEY (folder, n));
"""


@dataclass(frozen=True, slots=True)
class Number:
    """What one run found of one expectation; the fields are those of a finding."""

    name: str
    kind: str
    step: str
    verdict: Verdict
    value: float | None
    unit: str
    uncertainty: float | None
    limit: str
    margin: float | None


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that was judged. `folder` is as seen from the folder that was looked into."""

    folder: str
    run: str
    experiment: str
    started_unix: float
    seconds: float
    verdict: Verdict
    exit_code: int
    sentence: str
    cluster: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All runs below a folder, the oldest first, and the folders of those without a result that can be read."""

    runs: tuple[PastRun, ...]
    unjudged: tuple[str, ...]


def folders(root: Path) -> Iterator[Path]:
    """The runs' folders below `root`, or it itself; links are not followed. UsageError where it is no folder."""
    if not root.is_dir():
        raise UsageError("there is no such folder", where=str(root), fix="chaoskit runs FOLDER")
    for here, inside, files in os.walk(root):
        if journal.FILE in files:
            inside.clear()
            yield Path(here)
        else:
            inside[:] = sorted(name for name in inside if not name.startswith("."))


def read(root: Path) -> History:
    """Reads each run's folder, without an index."""
    found = {folder: _read(folder, _seen_from(root, folder)) for folder in folders(root)}
    unjudged = tuple(_seen_from(root, folder) for folder, run in found.items() if run is None)
    return History(_by_time([run for run in found.values() if run]), unjudged)


def indexed(root: Path) -> History:
    """The same as `read`, by the index in `root`: only folders that changed since are read."""
    there = {_seen_from(root, folder): folder for folder in folders(root)}
    with contextlib.closing(_opened(root / INDEX)) as index, index:
        known = dict(index.execute("SELECT folder, stamp FROM runs"))
        for name in known.keys() - there.keys():
            _forget(index, name)
        for name, folder in there.items():
            if (stamp := _stamp(folder)) != known.get(name):
                _forget(index, name)
                if run := _read(folder, name):
                    _keep(index, run, stamp)
        runs = [_from_index(index, row) for row in index.execute(_ALL_RUNS)]
    judged = {run.folder for run in runs}
    return History(_by_time(runs), tuple(name for name in there if name not in judged))


def may_be_under_way(folder: Path, now_unix: float) -> bool:
    """A run without an end that wrote within the last hour. Its folder tells no more; its cluster would."""
    with contextlib.suppress(UsageError, OSError):
        if any(entry.kind == "ended" for entry in journal.read(folder / journal.FILE)):
            return False
    return now_unix - max(path.stat().st_mtime for path in folder.iterdir()) < SILENT_S


def _by_time(runs: list[PastRun]) -> tuple[PastRun, ...]:
    return tuple(sorted(runs, key=lambda run: (run.started_unix, run.folder)))


def _seen_from(root: Path, folder: Path) -> str:
    return folder.relative_to(root).as_posix()


def _read(folder: Path, name: str) -> PastRun | None:
    try:
        found = result.from_json((folder / result.FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    return past(found, name)


def past(found: Result, folder: str) -> PastRun:
    cluster = " ".join(part for part in (found.cluster.provider, found.cluster.context, found.cluster.profile) if part)
    return PastRun(
        folder=folder,
        run=found.run,
        experiment=found.experiment,
        started_unix=found.started_unix,
        seconds=found.seconds,
        verdict=found.verdict,
        exit_code=found.exit_code,
        sentence=found.sentence,
        cluster=cluster,
        numbers=tuple(_number(finding) for finding in found.asked),
    )


def _number(finding: Finding) -> Number:
    value = None if finding.value is None or math.isnan(finding.value) else finding.value
    return Number(
        finding.name,
        finding.kind,
        finding.step,
        finding.verdict,
        value,
        finding.unit,
        finding.uncertainty,
        finding.limit,
        finding.margin,
    )


# ── the index ────────────────────────────────────────────────────────────────────────────────────────────────────────

_ALL_RUNS = "SELECT folder, run, experiment, started_unix, seconds, verdict, exit_code, sentence, cluster FROM runs"


def _opened(path: Path) -> sqlite3.Connection:
    """The index, made anew where it is damaged or of another version; in memory where none can be written."""
    for _ in range(2):
        with contextlib.suppress(sqlite3.DatabaseError):
            return _with_tables(sqlite3.connect(path))
        with contextlib.suppress(OSError):
            path.unlink()
    return _with_tables(sqlite3.connect(":memory:"))


def _with_tables(index: sqlite3.Connection) -> sqlite3.Connection:
    try:
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            for (table,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                index.execute(f'DROP TABLE "{table}"')
            index.executescript(_TABLES)
            index.execute(f"PRAGMA user_version = {VERSION}")
        index.execute("BEGIN IMMEDIATE")  # A file that may not be written is found out here.
        index.commit()
    except sqlite3.DatabaseError:
        index.close()
        raise
    return index


def _stamp(folder: Path) -> str:
    """Changes when the result does; empty where there is none."""
    try:
        about = (folder / result.FILE).stat()
    except OSError:
        return ""
    return f"{about.st_mtime_ns} {about.st_size} {about.st_ino}"


def _forget(index: sqlite3.Connection, name: str) -> None:
    index.execute("DELETE FROM runs WHERE folder = ?", (name,))
    index.execute("DELETE FROM findings WHERE folder = ?", (name,))


def _keep(index: sqlite3.Connection, run: PastRun, stamp: str) -> None:
    columns = (run.run, run.experiment, run.started_unix, run.seconds, run.verdict.value, run.exit_code)
    row = (run.folder, stamp, *columns, run.sentence, run.cluster)
    index.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    for n, number in enumerate(run.numbers):
        name, kind, step, verdict, *rest = astuple(number)
        cells = (run.folder, n, name, kind, step, verdict.value, *rest)
        index.execute("INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", cells)


def _from_index(index: sqlite3.Connection, row: Sequence[Any]) -> PastRun:
    found = index.execute(
        "SELECT name, kind, step, verdict, value, unit, uncertainty, limit_text, margin FROM findings"
        " WHERE folder = ? ORDER BY n",
        row[:1],
    )
    numbers = tuple(Number(a, b, c, Verdict(verdict), *rest) for a, b, c, verdict, *rest in found)
    folder, run, experiment, began, seconds, verdict, code, sentence, cluster = row
    return PastRun(folder, run, experiment, began, seconds, Verdict(verdict), code, sentence, cluster, numbers)
