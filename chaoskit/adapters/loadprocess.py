"""One of the load's processes as whoever started it sees it, and one on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

SILENT_S = 2.0
"""A process that has said nothing for eight statuses does not work any more."""


class Process(Protocol):
    """What it says goes to the `hear` that it was started with: each status, and None once it has ended."""

    who: str
    refused: dict[str, Any]
    """Why it did not begin, in the words of `chaoskit.load.process.InputError`."""
    killed: bool
    """Whether it had to be."""
    settled: threading.Event
    """Set once it works or is known not to."""

    @property
    def ended(self) -> bool: ...

    def tell(self, told: Mapping[str, Any]) -> None:
        """Never waits: a process that does not read is told nothing."""

    def trouble(self) -> str:
        """Why it is not doing its work; empty if it is."""

    def log(self) -> str: ...

    def terminate(self) -> None: ...

    def wait_ended(self, deadline: float) -> None:
        """Kills it at the deadline, and returns once nothing of it is left."""


Hear = Callable[[Process, Mapping[str, Any] | None], None]


def last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                return value
    return {}


def tail(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it left no message"


class LocalProcess:
    """One of the load's processes, and the thread that reads what it says."""

    def __init__(self, who: str, argv: list[str], log: Path, env: Mapping[str, str], hear: Hear) -> None:
        self.who = who
        self._log, self._hear = log, hear
        self.heard_at = time.monotonic()
        self.refused: dict[str, Any] = {}
        self.done = False
        self.killed = False
        self.settled = threading.Event()
        with log.open("wb") as errors:
            # A session of its own: Ctrl-C reaches chaoskit alone, which then ends the load in order.
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(env),
                bufsize=0,
                start_new_session=True,
            )
        assert self._popen.stdin is not None  # noqa: S101  # It is a pipe.
        os.set_blocking(self._popen.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._read, name=f"load-{who}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None  # noqa: S101  # It is a pipe.
        with self._popen.stdout as lines:
            for line in lines:
                said = last_object(line.decode(errors="replace"))
                self.heard_at = time.monotonic()
                self.refused = said.get("error") or self.refused
                self.done = self.done or bool(said.get("done"))
                if "t" in said:
                    self.settled.set()
                    self._hear(self, said)
        self._popen.wait()
        self.settled.set()
        self._hear(self, None)

    def tell(self, told: Mapping[str, Any]) -> None:
        if self._popen.stdin is not None:
            with suppress(OSError, ValueError):
                self._popen.stdin.write(json.dumps(told).encode() + b"\n")

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def trouble(self) -> str:
        if self.killed:
            return f"{self.who} had to be killed: the end of its recording is lost"
        if self.ended and not self.done:
            cause = self.refused.get("why") or tail(self._log.read_text(encoding="utf-8", errors="replace"))
            return f"{self.who} ended unexpectedly with code {self._popen.returncode}: {cause}"
        if self.done:
            return f"{self.who} ended by itself"
        silent = time.monotonic() - self.heard_at
        return f"{self.who} has said nothing for {silent:.1f} s" if silent > SILENT_S else ""

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def terminate(self) -> None:
        self._popen.terminate()

    def wait_ended(self, deadline: float) -> None:
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.killed = True
            self._popen.kill()
            self._popen.wait()
        self._reader.join(1.0)
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.close()
