"""Looking for the toolset finds all of it or nothing, and needs no write access."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOOK = "from chaoskit.cluster import toolset; print(toolset.find())"


def test_an_empty_cache_holds_no_toolset(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "None\n"
    assert list(tmp_path.iterdir()) == []
