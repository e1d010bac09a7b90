"""Reading an HTTP/1.1 answer as it arrives, knowing exactly when it is complete (RFC 9112, section 6.3).

The body is counted and thrown away: the pulse asks whether and when an answer came, not what it says.
"""

from __future__ import annotations

_MOST_HEAD = 64 * 1024
_ANSWERER = ("x-served-by", "x-version", "x-color")


class BadAnswerError(Exception):
    """What came is not HTTP."""


class Answer:
    """One answer to a GET. Feed it what arrives until `complete`."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.end_ns = 0
        """When it was complete; set by whoever feeds it."""
        self.reusable = False
        """Whether the connection may carry another request."""
        self._buffer = b""
        self._in_head = True
        self._chunked = False
        self._left: int | None = None
        """Bytes of the body (or of the chunk) that are still to come; None: until the connection ends."""

    @property
    def answerer(self) -> str:
        """`pod|version|colour`, empty if the answer tells none of them."""
        parts = [self.headers.get(name, "") for name in _ANSWERER]
        return "|".join(parts) if any(parts) else ""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._in_head and not self.complete:
            if not self._read_head():
                return
        if not self.complete:
            self._read_body()

    def end_of_connection(self) -> None:
        """The peer closed. That ends an answer without a length, and cuts any other short."""
        if not self._in_head and not self._chunked and self._left is None:
            self.complete = True

    def _read_head(self) -> bool:
        """Whether a whole head was there."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise BadAnswerError("the head of the answer does not end")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        self._buffer = self._buffer[end + 4 :]
        version, self.status = _status_line(lines[0])
        if self.status >= 200:  # 1xx is followed by the real answer.
            self._in_head = False
            self.headers = dict(_header(line) for line in lines[1:])
            self._frame(version)
        return True

    def _frame(self, version: str) -> None:
        connection = self.headers.get("connection", "").lower()
        self.reusable = version == "HTTP/1.1" and "close" not in connection
        if self.status in (204, 304):
            self.complete = True
        elif "chunked" in self.headers.get("transfer-encoding", "").lower():
            self._chunked, self._left = True, 0
        elif "content-length" in self.headers:
            self._left = _number(self.headers["content-length"], 10)
        else:
            self._left, self.reusable = None, False

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
        elif self._left is None:
            self._buffer = b""
        else:
            self._left -= len(self._buffer)
            self._buffer = b""
            self.complete = self._left <= 0
            self.reusable = self.reusable and self._left == 0

    def _read_chunks(self) -> None:
        while True:
            taken = min(self._left or 0, len(self._buffer))
            self._buffer, self._left = self._buffer[taken:], (self._left or 0) - taken
            size, found, rest = self._buffer.partition(b"\r\n")
            if self._left or not found:
                return
            self._left = _number(size.split(b";")[0].decode("latin-1"), 16)
            if self._left == 0:
                self._read_trailer(size + found, rest)
                return
            self._left += 2  # The line end that closes the chunk is skipped with it.
            self._buffer = rest

    def _read_trailer(self, last_chunk: bytes, rest: bytes) -> None:
        """The body ends with an empty line after the last chunk and its trailer fields."""
        self._left = 0
        self.complete = rest.startswith(b"\r\n") or b"\r\n\r\n" in rest
        self._buffer = b"" if self.complete else last_chunk + rest


def _status_line(line: str) -> tuple[str, int]:
    version, _, rest = line.partition(" ")
    if not version.startswith("HTTP/1."):
        raise BadAnswerError(f"not an HTTP/1 answer: {line[:80]!r}")
    return version, _number(rest[:3], 10)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _number(text: str, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise BadAnswerError(f"not a number: {text[:40]!r}") from error
