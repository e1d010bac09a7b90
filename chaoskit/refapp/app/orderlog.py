"""The store's log on disk: only ever appended to, and readable whatever moment the process or the machine died at.

One line is one commit: the CRC-32 of the rest in eight hex digits, a blank, a JSON array of records. A commit is one
write and one fdatasync, and nobody is told of its records before that has returned. So after a crash at most the last
line can be damaged, and nobody was promised what is in it: it is cut off. Damage anywhere before is not a crash but a
broken disk or a second writer, and the log refuses to open rather than lose orders silently.

One writer at a time: the file is locked (flock). Where a volume can be mounted twice, a new pod waits for the old one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Record = dict[str, object]


class DamagedError(OSError):
    """The log is damaged where no crash can have done it."""


class DiskFullError(Exception):
    """A commit did not fit; nothing of it is in the log."""


class LockedError(Exception):
    """Another process has the log open."""


def encode(records: Sequence[Record]) -> bytes:
    payload = json.dumps(records, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(payload), payload)


def decode(line: bytes) -> list[Record] | None:
    """The records of one line without its end, or None if it is damaged."""
    checksum, blank, payload = line[:8], line[8:9], line[9:]
    if blank != b" " or checksum != b"%08x" % zlib.crc32(payload):
        return None
    records = json.loads(payload)
    return records if isinstance(records, list) else None


def recover(data: bytes, keep: Callable[[Record], None]) -> int:
    """Hand over each record of a log in turn; gives the length of its whole commits, after which a crash left the rest.

    Raises DamagedError if a damaged line is followed by anything.
    """
    good = 0
    for start, end in _lines(data):
        commit = decode(data[start:end])
        if commit is None:
            if end + 1 < len(data) or _ends_with_a_commit(data[start:end]):
                follow = len(data) - end - 1
                raise DamagedError(errno.EIO, f"the log is damaged at byte {start}, and {follow} bytes follow")
            break
        for record in commit:
            keep(record)
        good = end + 1
    return good


def _ends_with_a_commit(line: bytes) -> bool:
    """Whether a damaged line swallowed a whole commit: then its own end was damaged, and no crash did that."""
    blank = line.find(b" ", 9)
    while blank >= 0:
        if decode(line[blank - 8 :]) is not None:
            return True
        blank = line.find(b" ", blank + 1)
    return False


def _lines(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each line that has an end."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield start, end
        start = end + 1


class OrderLog:
    """An open, locked log. Not for use by several threads at once."""

    def __init__(self, folder: Path, keep: Callable[[Record], None]) -> None:
        """Reads what is there and hands it to `keep`.

        Raises LockedError, DamagedError, and OSError where the folder cannot be written.
        """
        self._path = folder / "orders.log"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            self._lock()
            data = self._path.read_bytes()
            self.size = recover(data, keep)
            self.torn = len(data) - self.size
            """Bytes that a crash left after the last whole commit; they are gone now."""
            if self.torn:
                self._cut()
            _sync_folder(folder)
        except BaseException:  # Whatever it was: a log that did not open must not stay locked.
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(f"another process has {self._path} open") from error

    def _cut(self) -> None:
        os.ftruncate(self._file, self.size)
        os.fdatasync(self._file)

    def append(self, records: Sequence[Record]) -> None:
        """One commit; once this returns, the records are on disk.

        Raises DiskFullError, after which the log is as it was. Any other OSError means that nobody knows what is on
        disk (after a failed fsync the kernel may have dropped the data, so trying again proves nothing): the process
        must end, and the next one reads what is really there.
        """
        data = encode(records)
        try:
            _write_all(self._file, data)
            os.fdatasync(self._file)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._cut()
            raise DiskFullError(f"no space left for {len(data)} bytes in {self._path}") from error
        self.size += len(data)

    def close(self) -> None:
        os.close(self._file)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    """The name of a new file is on disk only once its folder is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
