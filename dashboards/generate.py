"""Writes the dashboards as JSON: python dashboards/generate.py"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

with warnings.catch_warnings():
    # The older schema is meant: the newer one cannot be provisioned as a file into the Grafanas that people have.
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    import board_cluster
    import board_nightly
    import board_run
    import parts

FOLDER = HERE / "json"


def texts() -> dict[str, str]:
    """The files' contents by their names."""
    return parts.texts((board_run.BOARD, board_nightly.BOARD, board_cluster.BOARD))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
