"""One of the load's processes as whoever started it sees it, and one on this machine."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

SILENT_S = 2.0
"""A process that has said nothing for eight statuses does not work any more."""
LOOKED_AT_S = 0.5
"""How often somebody looks for trouble, at least, unless nobody got to run."""


Hear: TypeAlias = "Callable[[Process, Mapping[str, Any] | None], None]"


class Process(ABC):
    """What it says goes to the `hear` that it was started with: each status, and None once it has ended."""

    def __init__(self, who: str, named: str, log: Path, hear: Hear) -> None:
        """`named` is how people are told of it."""
        self.who = who
        self.refused: dict[str, Any] = {}
        """Why it did not begin, in the words of `chaoskit.load.process.InputError`."""
        self.killed = False
        """Whether it had to be."""
        self.settled = threading.Event()
        """Set once it works or is known not to."""
        self._named, self._log, self._hear = named, log, hear
        self._heard_at = time.monotonic()
        self._done = False

    @property
    @abstractmethod
    def ended(self) -> bool: ...

    @abstractmethod
    def tell(self, told: Mapping[str, Any]) -> None:
        """Never waits: a process that does not read is told nothing."""

    @abstractmethod
    def trouble(self) -> str:
        """Why it is not doing its work; empty if it is."""

    @abstractmethod
    def terminate(self) -> None: ...

    @abstractmethod
    def wait_ended(self, deadline: float) -> None:
        """Kills it at the deadline, and returns once nothing of it is left."""

    def log(self) -> str:
        with suppress(FileNotFoundError):
            return self._log.read_text(encoding="utf-8", errors="replace")
        return ""

    def _take_status(self, said: Mapping[str, Any]) -> None:
        self.refused = said.get("error") or self.refused
        self._done = self._done or bool(said.get("done"))
        if "t" in said:
            self.settled.set()
            self._hear(self, said)

    def _ended_how(self, code: int | None) -> str:
        """That it ended, with an exit code, or is about to; empty while it works."""
        if code is not None and not self._done:
            return f"{self._named} ended unexpectedly with code {code}: {self.refused.get('why') or tail(self.log())}"
        return f"{self._named} ended by itself" if self._done else ""

    def _silent(self, since_s: float, most_s: float) -> str:
        return f"{self._named} has said nothing for {since_s:.1f} s" if since_s > most_s else ""


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


class LocalProcess(Process):
    """One on this machine, and the thread that reads what it says."""

    def __init__(self, who: str, argv: list[str], log: Path, env: Mapping[str, str], hear: Hear) -> None:
        super().__init__(who, who, log, hear)
        self._looked_at = time.monotonic()
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
        assert isinstance(self._popen.stdout, io.RawIOBase)  # noqa: S101  # It is a pipe, and was asked for so.
        with io.BufferedReader(self._popen.stdout) as lines:
            for line in lines:
                self._heard_at = time.monotonic()
                self._take_status(last_object(line.decode(errors="replace")))
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
        now, looked = time.monotonic(), self._looked_at
        self._looked_at = now
        if now - looked > LOOKED_AT_S:  # A stall of our own, in which nobody listens, is no silence.
            self._heard_at += now - looked
        return self._ended_how(self._popen.poll()) or self._silent(now - self._heard_at, SILENT_S)

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
