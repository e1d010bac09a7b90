"""Which files of a folder are experiments: one rule, for the command line and for pytest.

Nothing else of chaoskit is imported here: pytest asks it of every file that it sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".yaml", ".yml")
KEYS = {"name", "steps", "expect"}
"""What every experiment has at its top."""
FEWEST_KEYS = 2
"""One of them may be misspelt, and must then be told, not passed over."""
LARGEST_BYTES = 1 << 20
JOURNAL = "journal.jsonl"


def in_folder(folder: Path) -> Iterator[Path]:
    """The experiments in a folder and in its folders, in a stable order; hidden folders are left out."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield from in_folder(path)
        elif path.is_file() and is_one(path) and not is_record(path):
            yield path


def is_one(path: Path) -> bool:
    """YAML with an experiment's keys at its top. Other YAML (manifests, a CI's) is somebody else's."""
    if path.suffix not in SUFFIXES or path.stat().st_size > LARGEST_BYTES:
        return False
    starts = {line.split(":")[0] for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    return len(KEYS & starts) >= FEWEST_KEYS


def is_record(path: Path) -> bool:
    """The copy in a run's folder tells what was run; it is run again only by its own name."""
    return (path.parent / JOURNAL).exists()
