"""What the load's processes have in common: their configuration, their voice, and that they end with their parent.

A load process says one JSON object a line on its standard output and hears one a line on its standard input. When that
input ends, so does the process: whoever started it is gone, however it went (a kill -9 closes its pipes too).
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

STATUS_EVERY_S = 0.25
EXIT_WRONG_INPUT = 2

_Config = TypeVar("_Config")


class InputError(Exception):
    """The configuration or the locustfile is wrong: what, where (`file:line`) and why."""

    def __init__(self, what: str, *, where: str = "", why: str = "") -> None:
        super().__init__(what)
        self.fields = {"what": what, "where": where, "why": why}


class Voice:
    """Takes over standard output for lines of JSON; all else that is printed goes to standard error."""

    def __init__(self) -> None:
        self._fd = os.dup(1)
        os.dup2(2, 1)
        # A parent that does not read must not stop the load: what does not fit into the pipe is not said.
        # Only a pipe is made non-blocking, for a terminal shares this setting with the shell.
        if stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            os.set_blocking(self._fd, False)

    def say(self, line: Mapping[str, Any]) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._fd, json.dumps(line).encode() + b"\n")

    def fail(self, error: InputError) -> int:
        """Says what is wrong; the exit code to end with."""
        self.say({"error": error.fields})
        return EXIT_WRONG_INPUT


def read_config(kind: type[_Config], path: Path) -> _Config:
    """A dataclass from a file of JSON with its fields' names."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("the load's configuration cannot be read", where=str(path), why=str(error)) from error
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - known)
    if unknown:
        raise InputError(f"unknown configuration: {', '.join(unknown)}", where=str(path))
    try:
        return kind(**data)
    except TypeError as error:
        raise InputError("the load's configuration is not complete", where=str(path), why=str(error)) from error


class RunClock:
    """Seconds since the run's origin, which every process of the machine shares."""

    def __init__(self, origin_ns: int) -> None:
        self._origin_ns = origin_ns

    def now(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9

    def at(self, monotonic_ns: int) -> float:
        return (monotonic_ns - self._origin_ns) / 1e9


def config_argument(argv: list[str]) -> Path:
    """The one argument of a load process."""
    if len(argv) != 2:
        sys.exit(f"usage: python -m chaoskit.load.{Path(argv[0]).stem} CONFIG.json")
    return Path(argv[1])
