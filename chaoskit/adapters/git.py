"""Which commit of its repository an experiment was run from, by git: the report names it."""

from __future__ import annotations

import subprocess
from pathlib import Path

PATIENCE_S = 5.0


def commit_of(folder: Path) -> str:
    """`4f2c1e9a0b7d`, with `-dirty` where tracked files differ from it; empty without a repository or git."""
    asked = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
