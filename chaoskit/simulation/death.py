"""Death as kill -9 is: not one more call of the process takes effect, whatever its `finally` and `except` would do.

A process that is killed runs no code any more. Code in this process does: it unwinds. So everything through which it
could act on the world (the ports, its journal) is handed out through a `Life`, and refuses each further call by the
same `Killed`, which nothing may catch.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.journal import Entry, Journal


class Killed(BaseException):
    """The process was killed."""


class Life:
    """One process of chaoskit: alive, until it is killed or has ended by itself."""

    def __init__(self) -> None:
        self.killed = False
        self._ended = False

    @property
    def over(self) -> bool:
        return self.killed or self._ended

    def end(self) -> None:
        """The process has ended by itself; it cannot be killed any more."""
        self._ended = True

    def kill(self) -> None:
        """Raises Killed, unless the process has ended."""
        if not self._ended:
            self.killed = True
            raise Killed

    def check(self) -> None:
        """To be called before anything takes effect."""
        if self.killed:
            raise Killed


Hook = Callable[[str, tuple[Any, ...], bool], None]
"""Told of each call of a port: its name, what it is called with, and whether it is over."""


def unheard(_name: str, _given: tuple[Any, ...], _over: bool) -> None:
    """Nobody is told."""


@dataclass
class DeadlyCall:
    """A hook that kills a process at one of its calls: right before it, or when it has taken effect."""

    life: Life
    number: int
    how: str
    calls: int = 0

    def __call__(self, _name: str, _given: tuple[Any, ...], over: bool) -> None:
        if over != (self.how == "after"):
            return
        self.calls += 1
        if self.calls > self.number:
            self.life.kill()


class Mortal:
    """A port of a process: calls go through as long as the process lives."""

    def __init__(self, port: Any, life: Life, hook: Hook = unheard) -> None:  # noqa: ANN401
        self._port, self._life, self._hook = port, life, hook

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, name)
        return functools.partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, method: Callable[..., Any], *given: Any, **more: Any) -> Any:  # noqa: ANN401
        self._life.check()
        self._hook(name, given, False)
        try:
            return method(*given, **more)
        finally:
            self._hook(name, given, True)


class MortalJournal(Journal):
    """The journal of a process that may be killed before a line, after it, or half-way through it."""

    def __init__(self, path: Path, life: Life, line: int = -1, how: str = "before") -> None:
        super().__init__(path)
        self._life, self._line, self._how, self._lines = life, line, how, 0

    def write(self, kind: str, at: float, **data: Any) -> Entry:  # noqa: ANN401 - JSON values
        self._life.check()
        this, self._lines = self._lines, self._lines + 1
        if this == self._line and self._how == "before":
            self._life.kill()
        entry = super().write(kind, at, **data)
        if this == self._line:
            if self._how == "torn":
                self._tear()
            self._life.kill()
        return entry

    def _tear(self) -> None:
        """Half of the last line is all that reached the disk."""
        whole = self._path.read_bytes()
        begin = whole.rindex(b"\n", 0, len(whole) - 1) + 1 if whole.count(b"\n") > 1 else 0
        os.truncate(self._path, begin + (len(whole) - begin) // 2)
