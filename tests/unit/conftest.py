"""Makes the modules beside it (strategies, stories, corpus) importable by every unit test, and keeps their files in
memory: a run's journal is flushed to the disk line by line, and waiting for that took longer than all else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
ROOM = 1 << 30


def _roomy(folder: Path) -> bool:
    """Whether programs can be put there, too: some tests do."""
    return (
        os.access(folder, os.W_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free > ROOM
    )


if "TMPDIR" not in os.environ and _roomy(MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
