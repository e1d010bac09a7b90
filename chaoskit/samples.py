"""The record of every request that the load sent: one format, written by the load's processes, read by the evidence.

A recording is two files: `NAME.bin`, records of 32 bytes each, and `NAME.names`, one JSON string a line, which the
records refer to by line number. Both are only ever appended to, and a torn last record or line is left out when read,
so a recording is readable at every moment, also after its writer was killed.

It imports nothing but the standard library: the load's processes must start fast and hold no foreign library twice.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = struct.Struct("<dddHBBHH")
"""intended, sent, end (seconds since the run's origin on the monotonic clock), HTTP status (0: none), outcome, stream,
request name and answerer (lines of the names file, from 0)."""


class Outcome(enum.IntEnum):
    """How a request ended, as its user saw it. Only OK is good."""

    OK = 0
    HTTP_ERROR = 1
    """An answer came, with a status of 400 or more, or a body that the load's own code refused."""
    REFUSED = 2
    RESET = 3
    TIMEOUT = 4
    UNREACHABLE = 5
    DNS = 6
    OTHER = 7
    NOT_SENT = 8
    """It was due but never sent: the sender was saturated, or ended first. `sent` and `end` say when this was known."""


class Stream(enum.IntEnum):
    """Who sent a request."""

    FRESH = 0
    """The pulse, with a new connection for each request."""
    KEPT = 1
    """The pulse, over one connection that is kept while it works."""
    LOCUST = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. Times are seconds since the run's origin, on the monotonic clock."""

    intended: float
    sent: float
    end: float
    status: int
    outcome: Outcome
    stream: Stream
    name: str
    answerer: str
    """Who answered: `pod|version|colour` from the headers `x-served-by`, `x-version` and `x-color`, or empty."""

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK

    @property
    def latency(self) -> float:
        """Seconds from when the request should have been sent to its end: waiting in the sender's queue counts."""
        return self.end - self.intended


class SampleWriter:
    """Appends records to a recording. Not thread-safe; flush() hands what is buffered to the operating system."""

    def __init__(self, path: Path) -> None:
        """`path` has no suffix: `path.bin` and `path.names` are created."""
        self._records = path.with_name(path.name + ".bin").open("ab")
        self._names = path.with_name(path.name + ".names").open("a", encoding="utf-8")
        self._index: dict[str, int] = {}

    def name(self, text: str) -> int:
        """The number that stands for `text`; beyond 65,535 different texts all the rest share the last."""
        number = self._index.get(text)
        if number is None:
            number = len(self._index)
            if number > 0xFFFF:
                return 0xFFFF
            self._index[text] = number
            self._names.write(json.dumps(text) + "\n")
            self._names.flush()
        return number

    def write(
        self, intended: float, sent: float, end: float, status: int, outcome: int, stream: int, name: int, answerer: int
    ) -> None:
        self._records.write(RECORD.pack(intended, sent, end, status, outcome, stream, name, answerer))

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()
        self._names.close()


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a recording (`path` without suffix) in the order they were written; none if it does not exist."""
    records, names = path.with_name(path.name + ".bin"), path.with_name(path.name + ".names")
    if not records.exists():
        return
    texts = _read_names(names)
    data = records.read_bytes()
    whole = len(data) - len(data) % RECORD.size
    outcomes, streams = list(Outcome), list(Stream)
    for intended, sent, end, status, outcome, stream, name, answerer in RECORD.iter_unpack(data[:whole]):
        yield Sample(intended, sent, end, status, outcomes[outcome], streams[stream], texts[name], texts[answerer])


def _read_names(path: Path) -> list[str]:
    if not path.exists():
        return []
    texts: list[str] = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        texts.append(str(json.loads(line)))
    return texts
