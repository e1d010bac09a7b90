"""The record of every request that the load sent: one format, written by the load's processes, read by the evidence.

A recording is two files: `NAME.bin`, fixed-size records (RECORD), and `NAME.names`, one JSON string a line, which the
records refer to by line number. Both are only ever appended to, and a torn last record or line is left out when read,
so a recording is readable at every moment, also after its writer was killed.

It imports nothing but the standard library: the load's processes must start fast and hold no foreign library twice.
"""

from __future__ import annotations

import enum
import json
import struct
from collections.abc import Callable, Iterator
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
    """The pulse, over a connection that is kept while it works (another one is opened only while all kept are busy)."""
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


_LAST_NAME = 0xFFFF
"""The largest number that a record holds: it stands for all texts beyond it."""


class SampleWriter:
    """Writes a new recording. Not thread-safe; flush() hands what is buffered to the operating system."""

    def __init__(self, path: Path) -> None:
        """`path` has no suffix: `path.bin` and `path.names` are created, and must not be there yet."""
        self._records = path.with_name(path.name + ".bin").open("xb")
        self._names = path.with_name(path.name + ".names").open("x", encoding="utf-8", newline="\n")
        self._index: dict[str, int] = {}

    def name(self, text: str) -> int:
        """The number that stands for `text`; beyond 65,535 different texts all the rest share the last number."""
        number = self._index.get(text)
        if number is None:
            number = self._add(text)
        return number

    def _add(self, text: str) -> int:
        number = len(self._index)
        if number > _LAST_NAME:
            return _LAST_NAME
        self._index[text] = number
        # The name reaches the system before any record that refers to it, so that a reader never misses one.
        self._names.write(json.dumps("(others)" if number == _LAST_NAME else text) + "\n")
        self._names.flush()
        return number

    def write(
        self, intended: float, sent: float, end: float, status: int, outcome: int, stream: int, name: int, answerer: int
    ) -> None:
        self._records.write(RECORD.pack(intended, sent, end, status, outcome, stream, name, answerer))

    @property
    def write_packed(self) -> Callable[[bytes], int]:
        """Writes what RECORD.pack() gave: a call less for writers that count them."""
        return self._records.write

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()
        self._names.close()


class Tail:
    """What is added to a recording, while it is being written or afterwards, as it stands in its files."""

    def __init__(self, path: Path) -> None:
        """`path` has no suffix; the files need not be there yet."""
        self._records = path.with_name(path.name + ".bin")
        self._names = path.with_name(path.name + ".names")
        self._offset = 0
        self._names_offset = 0

    def read(self, most: int = -1) -> tuple[bytes, list[str]]:
        """The whole records since the last call, of at most so many bytes, and the names that are new by then."""
        records = _read_from(self._records, self._offset, most)
        records = records[: len(records) - len(records) % RECORD.size]
        self._offset += len(records)
        # Names are read after the records: then every name that these records refer to is there.
        names = _read_from(self._names, self._names_offset)
        names = names[: names.rfind(b"\n") + 1]
        self._names_offset += len(names)
        return records, [str(json.loads(line)) for line in names.splitlines()]


class SampleReader:
    """Reads a recording piece by piece, while it is being written or afterwards."""

    def __init__(self, path: Path) -> None:
        """`path` has no suffix; the files need not be there yet."""
        self._tail = Tail(path)
        self._texts: list[str] = []

    def read(self) -> list[Sample]:
        """The samples that were written since the last call, in the order in which they were written."""
        records, names = self._tail.read()
        self._texts += names
        return [self._sample(*fields) for fields in RECORD.iter_unpack(records)]

    def _sample(
        self, intended: float, sent: float, end: float, status: int, outcome: int, stream: int, name: int, answerer: int
    ) -> Sample:
        return Sample(
            intended, sent, end, status, _OUTCOMES[outcome], _STREAMS[stream], self._text(name), self._text(answerer)
        )

    def _text(self, number: int) -> str:
        """A machine that lost power may have kept a record and lost its name."""
        return self._texts[number] if number < len(self._texts) else "(lost)"


def read_samples(path: Path) -> Iterator[Sample]:
    """The samples of a recording (`path` without suffix) in the order they were written; none if it does not exist."""
    yield from SampleReader(path).read()


def _read_from(path: Path, offset: int, most: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""


_OUTCOMES = tuple(Outcome)
_STREAMS = tuple(Stream)
