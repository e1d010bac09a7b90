"""One TCP connection of the pulse, carrying one request at a time. Requests are never pipelined."""

from __future__ import annotations

import asyncio
import errno
import itertools
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from chaoskit.load.answer import Answer, BadAnswerError

PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_PORTS = (32768, 60999)
USUAL_RATE = 100
"""New connections in a second at the default period."""
PORT_TRIES = 50


@dataclass(frozen=True)
class Endpoint:
    """Where the pulse sends to, and the bytes of its request."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    authority: str
    path: str

    def request(self, *, keep: bool) -> bytes:
        connection = "keep-alive" if keep else "close"
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.authority}\r\nUser-Agent: chaoskit-pulse\r\n"
            f"Accept: */*\r\nConnection: {connection}\r\n\r\n"
        ).encode("ascii")


def endpoint(url: str) -> Endpoint:
    """ValueError if `url` is not one that a request can be sent to."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https URL: {url}")
    tls = _context() if parts.scheme == "https" else None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not (path.isascii() and path.isprintable()) or " " in path:
        raise ValueError(f"the path must be percent-encoded: {url}")
    return Endpoint(parts.hostname, parts.port or (443 if tls else 80), tls, parts.netloc.rpartition("@")[2], path)


def _context() -> ssl.SSLContext:
    """No verification, as in Locust: the app under test often has a certificate of its own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def source_ports(range_file: Path = PORT_RANGE, start: float | None = None) -> Iterator[int]:
    """The machine's ports for clients, in turn, so that none is used again for as long as possible.

    Left to the kernel, a port comes again after some 3,500 connections. On the way to the app, each address translation
    (kube-proxy's, a load balancer's) remembers a connection that got no answer for two minutes, and takes a new one
    from the same port for it, to where it went: to a pod that is long gone. All of the pulse's requests come from one
    address; those of real users do not. The next run goes on about where this one ends.
    """
    try:
        first, last = map(int, range_file.read_text().split())
    except (OSError, ValueError):
        first, last = USUAL_PORTS
    number = int((time.time() if start is None else start) * USUAL_RATE)
    while True:
        yield first + number % (last + 1 - first)
        number += 1


async def connect(to: Endpoint, ports: Iterator[int]) -> Connection:
    """A new connection, to the first of the host's addresses that takes one; OSError of the last if none does."""
    failed: OSError | None = None
    for address in await _addresses(to):
        try:
            return await _connect(to, address, ports)
        except OSError as error:
            failed = error
    raise failed or OSError(f"no address for {to.host}")


async def _connect(to: Endpoint, address: str, ports: Iterator[int]) -> Connection:
    """From the next port that nobody uses."""
    loop, anywhere = asyncio.get_running_loop(), "::" if ":" in address else "0.0.0.0"  # noqa: S104 - a client's own end
    others = (port for port in ports if port != to.port)  # On one machine, it would meet itself there.
    for port in itertools.islice(others, PORT_TRIES):
        try:
            _, connection = await loop.create_connection(
                Connection,
                address,
                to.port,
                ssl=to.tls,
                server_hostname=to.host if to.tls else None,
                local_addr=(anywhere, port),
            )
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                raise
        else:
            return connection
    raise OSError(errno.EADDRINUSE, f"{PORT_TRIES} ports in turn are in use on this machine")


async def _addresses(to: Endpoint) -> list[str]:
    """Resolved anew for each connection, for that is part of what a user's request does."""
    if to.host.replace(".", "").isdigit() or ":" in to.host:
        return [to.host]
    found = await asyncio.get_running_loop().getaddrinfo(to.host, to.port, type=1)
    return [str(address[4][0]) for address in found]


class Connection(asyncio.Protocol):
    """Carries one request at a time; `open` until either side closes it."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[Answer] | None = None

    def request(self, data: bytes) -> asyncio.Future[Answer]:
        """Sends `data`; its answer, or OSError or BadAnswerError."""
        self._waiter = asyncio.get_running_loop().create_future()
        if self._transport is None or not self.open:
            self._waiter.set_exception(ConnectionResetError("closed by the peer"))
            return self._waiter
        self._answer = Answer()
        self._transport.write(data)
        return self._waiter

    def close(self) -> None:
        """At once: what may still be on its way is of no interest."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # create_connection makes no other.
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # Bytes that nobody asked for.
            self.close()
            return
        try:
            self._answer.feed(data)
        except BadAnswerError as error:
            self._end(error)
            self.close()
            return
        if self._answer.complete:
            self._end()

    def eof_received(self) -> None:
        self.open = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answer is not None:
            self._answer.end_of_connection()
            self._end(None if self._answer.complete else exc or ConnectionResetError("closed in mid-answer"))

    def _end(self, error: Exception | None = None) -> None:
        answer, self._answer = self._answer, None
        if self._waiter is None or self._waiter.done() or answer is None:
            return
        answer.end_ns = time.monotonic_ns()
        if error is None:
            self._waiter.set_result(answer)
        else:
            self._waiter.set_exception(error)
