"""Removes the folders of old runs; never one of which something may be left to heal, or that may be under way."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaoskit import heal, history, journal, record, repetitions
from chaoskit.batch import PAGES
from chaoskit.errors import ToolError, UsageError


@dataclass(frozen=True, slots=True)
class Kept:
    """An old run that must not be removed."""

    folder: Path
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Removal:
    removed: tuple[Path, ...]
    kept: tuple[Kept, ...]


def remove(root: Path, max_age_s: float, now_unix: float) -> Removal:
    """Removes what began more than `max_age_s` ago. The runs of a batch, or the repetitions of an experiment, go
    together with the pages about them, or stay together."""
    removed, kept = [], list[Kept]()
    for folder, runs in _together(root).items():
        if any(_began(run) > now_unix - max_age_s for run in runs):
            continue
        if reasons := [reason for run in runs if (reason := _reason(run, now_unix))]:
            kept += reasons
            continue
        _remove(folder)
        removed.append(folder)
    return Removal(tuple(removed), tuple(kept))


def _together(root: Path) -> dict[Path, list[Path]]:
    """The folders to be removed, each with its runs."""
    found: dict[Path, list[Path]] = {}
    for run in history.folders(root):
        above = [folder for folder in run.parents if root in (folder, *folder.parents)]
        found.setdefault(next(filter(_holds_several, reversed(above)), run), []).append(run)
    return found


def _holds_several(folder: Path) -> bool:
    return (folder / repetitions.FILE).exists() or all((folder / name).exists() for name in PAGES)


def _began(run: Path) -> float:
    """When it began, in Unix seconds; where that cannot be read, when it last wrote."""
    origin = record.about(run).get("origin_unix")
    return float(origin) if isinstance(origin, int | float) else (run / journal.FILE).stat().st_mtime


def _reason(run: Path, now_unix: float) -> Kept | None:
    try:
        entries = journal.read(run / journal.FILE)
        left = heal.open_intents(entries)
    except (UsageError, OSError, KeyError, TypeError, ValueError) as error:
        return Kept(run, f"what it left cannot be read: {error}", f"remove it by hand: {run}")
    if left:
        fix = f"chaoskit heal {run}; or, if its cluster is no more, remove the folder by hand"
        return Kept(run, f"not put back: {left[0].verb} {left[0].target}", fix)
    if history.may_be_under_way(run, now_unix):
        return Kept(run, "it may be under way: it has no end, and wrote within the last hour", "")
    return None


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder.resolve())
    except OSError as error:
        raise ToolError("an old run cannot be removed", where=str(folder), why=str(error)) from error


def told(found: Removal) -> Iterable[str]:
    for folder in found.removed:
        yield f"removed {folder}"
    for kept in found.kept:
        yield f"kept {kept.folder}: {kept.why}"
        if kept.fix:
            yield f"  next: {kept.fix}"
