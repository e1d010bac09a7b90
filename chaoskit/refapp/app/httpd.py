"""An HTTP/1.1 server on asyncio's protocols: keep-alive, pipelining, bounded sizes, and a shutdown that loses nothing.

Small because it serves short JSON to clients that behave: no TLS, no chunked bodies, no WebSockets. It knows nothing of
shops; `service.py` gives it the handler that answers a request.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024
IDLE_SECONDS = 75.0
"""A kept connection without a request is closed after this; longer than the 60 s that common balancers keep theirs, so
that it is the balancer that closes and no request meets a connection on its way out."""
LINGER_SECONDS = 1.0
SLOW_SECONDS = 10.0
"""A request must have arrived whole so long after its first byte."""

REASONS = {status.value: status.phrase for status in HTTPStatus}


class RequestError(Exception):
    """A request that is answered with an error, and why."""

    def __init__(self, status: int, why: str, **fields: object) -> None:
        super().__init__(why)
        self.status = status
        self.fields = fields


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    keep_alive: bool
    parameter: str = ""
    """What stood in place of the last part of the route, as ID in /orders/ID."""
    abandoned: Callable[[], bool] = field(default=lambda: False)
    """Whether the client has gone meanwhile: there is no use in finishing long work."""

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """A number of the query, inside its bounds. Raises RequestError 400."""
        text = self.query.get(name, str(default))
        try:
            value = float(text)
        except ValueError as error:
            raise RequestError(400, f"{name}={text} is not a number") from error
        if not least <= value <= most:
            raise RequestError(400, f"{name}={text} is out of bounds: give {least:g} to {most:g}")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    return Response(status, json.dumps(value).encode(), headers=headers)


Handler = Callable[[Request], Awaitable[Response]]


def parse(buffer: bytearray) -> tuple[Request, int] | None:
    """The first request of the buffer and its length, or None while it is not whole. Raises RequestError."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise RequestError(431, f"the head of the request is longer than {MAX_HEAD} bytes")
        return None
    request_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = _headers(lines)
    length = _length(headers)
    total = end + 4 + length
    if len(buffer) < total:
        return None
    method, path, query, keep_alive = _request_line(request_line, headers)
    return Request(method, path, query, headers, bytes(buffer[end + 4 : total]), keep_alive), total


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise RequestError(400, f"not a header: {line[:80]!r}")
        if name == "content-length" and name in headers:
            raise RequestError(400, "content-length is given twice")
        headers[name] = value.strip()
    return headers


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RequestError(501, "bodies in chunks are not taken: send content-length")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise RequestError(400, f"content-length is {text!r}")
    length = int(text[:20])
    if length > MAX_BODY:
        raise RequestError(413, f"the body is longer than {MAX_BODY} bytes")
    return length


def _request_line(line: str, headers: dict[str, str]) -> tuple[str, str, dict[str, str], bool]:
    parts = line.split(" ")
    if len(parts) != 3 or not parts[1].startswith("/") or not parts[2].startswith("HTTP/1."):
        raise RequestError(400, f"not a request line: {line[:80]!r}")
    path, _, query = parts[1].partition("?")
    if "%" in path:
        path = unquote(path)
    connection = headers.get("connection", "").lower()
    keep_alive = connection == "keep-alive" if parts[2] == "HTTP/1.0" else connection != "close"
    return parts[0], path, dict(parse_qsl(query)) if query else {}, keep_alive


class Connection(asyncio.Protocol):
    """One client. Its requests are answered one after the other, in order, also when several arrive at once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._blocked = False
        self._ended = False
        self._half_closed = False
        self.since = time.monotonic()
        """When it last became idle, or the first byte of a request arrived."""

    @property
    def busy(self) -> bool:
        return self._task is not None

    @property
    def receiving(self) -> bool:
        return self._task is None and bool(self._buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes no other
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        if not self._buffer and self._task is None:
            self.since = time.monotonic()
        self._buffer += data
        if self._task is None:
            self._next()
        elif len(self._buffer) > MAX_HEAD + MAX_BODY and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client that sends nothing more may still wait for its answer."""
        self._half_closed = True
        return self.busy

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if self._task is None:
            self._next()

    def close(self) -> None:
        """What has been written is still sent."""
        self._ended = True
        if self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        """Begin to answer the next whole request, if there is one."""
        if self._transport is None or self._blocked or self._ended or not self._buffer:
            return
        try:
            found = parse(self._buffer)
        except RequestError as error:
            self._refuse(json_response({"error": str(error)}, error.status))
            return
        if found is None:
            return
        request, length = found
        del self._buffer[:length]
        request.abandoned = self._gone
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    def _refuse(self, response: Response) -> None:
        """Answer and end. What the client is still sending is read and dropped for a moment, for closing on unread data
        resets the connection, and the client would lose the answer that tells it why."""
        if self._transport is None:
            return
        self._ended = True
        self._transport.write(self._server.head(response, keep_alive=False) + response.body)
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.close)

    def _gone(self) -> bool:
        return self._transport is None

    async def _answer(self, request: Request) -> None:
        response = await self._server.handler(request)
        self._task = None
        self.since = time.monotonic()
        if self._transport is None:
            return
        keep_alive = request.keep_alive and not self._half_closed and not self._server.closing
        self._write(response, keep_alive, with_body=request.method != "HEAD")
        if keep_alive:
            self._transport.resume_reading()
            self._next()

    def _write(self, response: Response, keep_alive: bool, *, with_body: bool) -> None:
        if self._transport is None:
            return
        head = self._server.head(response, keep_alive)
        self._transport.write(head + response.body if with_body else head)
        if not keep_alive:
            self.close()


class Server:
    """The listener and its connections."""

    def __init__(self, handler: Handler, headers: dict[str, str]) -> None:
        """`headers` are sent with each answer."""
        self.handler = handler
        self.connections: set[Connection] = set()
        self.closing = False
        """Once true, every answer says `Connection: close`."""
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._listener: asyncio.Server | None = None
        self._date = (0, "")

    async def listen(self, host: str, port: int) -> int:
        """Serve on that address; gives the port, which the system picks if it is 0."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        return int(self._listener.sockets[0].getsockname()[1])

    def head(self, response: Response, keep_alive: bool) -> bytes:
        more = "".join(f"{name}: {value}\r\n" for name, value in response.headers) if response.headers else ""
        return (
            f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}\r\n"
            f"Date: {self._now()}\r\n"
            f"Content-Type: {response.content_type}\r\n"
            f"Content-Length: {len(response.body)}\r\n"
            f"{self._fixed}{more}"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        ).encode("latin-1")

    def _now(self) -> str:
        second = int(time.time())
        if second != self._date[0]:
            self._date = (second, time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)))
        return self._date[1]

    def sweep(self) -> None:
        """Close the connections that have been idle, or half way through sending a request, for too long."""
        now = time.monotonic()
        for connection in list(self.connections):
            limit = SLOW_SECONDS if connection.receiving else IDLE_SECONDS
            if not connection.busy and now - connection.since > limit:
                connection.close()

    async def finish(self, seconds: float) -> int:
        """Take no more connections, close the idle ones, let the others finish; gives how many did not in that time."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        deadline = time.monotonic() + seconds
        while self.connections and time.monotonic() < deadline:
            for connection in list(self.connections):
                if not connection.busy and not connection.receiving:
                    connection.close()
            await asyncio.sleep(0.01)
        return len(self.connections)
