"""How one role calls another: kept connections, deadlines, and retries that cannot make things worse.

- Connections are kept, but for ten seconds at most: a Service balances connections and not requests, so only new
  connections find new pods. A connection that the other side has closed is not used again.
- Only what may be repeated is called through here (reads, and writes that carry their own id). It is retried on a fresh
  connection, at most twice, and out of a budget: while everything fails, retries add a fifth to the load, not twice it.
- Every try has a deadline, because the pods of a node without power do not refuse: they say nothing. After such a
  silence no kept connection is trusted, for others may lead to the same node.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from .metrics import Registry
from .names import Name, NotFoundError
from .settings import SettingsError

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 1.5
CALL_SECONDS = 4.0
"""For all tries of one call together."""
PAUSES_SECONDS = (0.02, 0.1)
"""Before the first and the second retry."""
KEEP_SECONDS = 10.0
KEEP_CONNECTIONS = 32
USER_TIMEOUT_MS = 2000
"""TCP_USER_TIMEOUT of tcp(7): how long sent data may go unacknowledged before the connection counts as dead."""


class UpstreamError(Exception):
    """No answer came; `reason` is refused, reset, timeout or dns."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    keep_alive: bool


class RetryBudget:
    """Each request pays a fifth of a retry in, up to a reserve; a retry takes one out."""

    def __init__(self, reserve: float = 20.0, share: float = 0.2) -> None:
        self._reserve = self._left = reserve
        self._share = share

    def pay_in(self) -> None:
        self._left = min(self._reserve, self._left + self._share)

    def take(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Link(asyncio.Protocol):
    """One connection to the other role, with one request on its way at most."""

    def __init__(self) -> None:
        self.open = False
        self.made = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
        self._transport = transport
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._fail(f"the connection was lost: {exc or 'closed by the other side'}")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            answer = _answer(self._buffer)
        except (ValueError, IndexError):
            self._fail("what came back is not HTTP")
            self.abort()
            return
        if answer is not None and self._waiter is not None and not self._waiter.done():
            self._buffer.clear()
            self._waiter.set_result(answer)

    async def exchange(self, request: bytes) -> Answer:
        """Raises UpstreamError, and TimeoutError after ANSWER_SECONDS. The link is unusable after either."""
        if self._transport is None or not self.open:
            raise UpstreamError("reset", "the connection is closed")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._waiter

    def abort(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(UpstreamError("reset", why))


def _answer(buffer: bytearray) -> Answer | None:
    """The answer once it is whole; roles always send content-length. Raises ValueError or IndexError if it is none."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    status_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
    length, keep_alive = -1, True
    for line in lines:
        name, _, value = line.partition(":")
        match name.lower():
            case "content-length":
                length = int(value)
            case "connection":
                keep_alive = value.strip().lower() != "close"
    if length < 0:
        raise ValueError("no content-length")
    if len(buffer) < end + 4 + length:
        return None
    return Answer(int(status_line.split(" ")[1]), bytes(buffer[end + 4 : end + 4 + length]), keep_alive)


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname:
            return parts.hostname, parts.port or 80
    except ValueError:
        pass
    raise SettingsError(f"{url!r} is no address of the form http://name:port")


class Upstream:
    """Another role, by its Service's name."""

    def __init__(self, role: str, url: str, cache_seconds: float, registry: Registry) -> None:
        host, port = _host_and_port(url)
        self.name = Name(host, port, cache_seconds)
        self._host = f"{host}:{port}"
        self._role = role
        self._kept: list[Link] = []
        self._budget = RetryBudget()
        self._failures = registry.counter(
            "refapp_upstream_failures_total", "Tries to call another role that got no answer.", "upstream", "reason"
        )
        self._retries = registry.counter("refapp_upstream_retries_total", "Tries beyond the first.", "upstream")
        registry.gauge("refapp_upstream_connections", "Connections kept to another role.", self._count, upstream=role)
        registry.total("refapp_dns_failures_total", "Look-ups of another role that failed.", lambda: self.name.failures)

    def _count(self) -> int:
        return sum(link.open for link in self._kept)

    async def call(self, method: str, target: str, body: bytes = b"") -> Answer:
        """The answer of the other role, whatever its status. Raises UpstreamError."""
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._budget.pay_in()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._tries(head.encode() + body)
        except TimeoutError as error:
            raise UpstreamError("timeout", f"{self._role} gave no answer within {CALL_SECONDS:g} s") from error

    async def _tries(self, request: bytes) -> Answer:
        for number, pause in enumerate(PAUSES_SECONDS):
            try:
                return await self._try(request, fresh=number > 0)
            except UpstreamError:
                if not self._budget.take():
                    raise
            self._retries.add(self._role)
            await asyncio.sleep(pause)
        return await self._try(request, fresh=True)

    async def _try(self, request: bytes, *, fresh: bool) -> Answer:
        try:
            link = await self._connect() if fresh else (self._take() or await self._connect())
            return await self._exchange(link, request)
        except UpstreamError as error:
            self._failures.add(self._role, error.reason)
            raise

    async def _exchange(self, link: Link, request: bytes) -> Answer:
        whole = False
        try:
            answer = await link.exchange(request)
            whole = answer.keep_alive
        except TimeoutError as error:
            self._drop_kept()
            raise UpstreamError("timeout", f"{self._role} gave no answer within {ANSWER_SECONDS:g} s") from error
        finally:
            if whole:
                self._keep(link)
            else:
                link.abort()
        return answer

    def _take(self) -> Link | None:
        now = time.monotonic()
        while self._kept:
            link = self._kept.pop()
            if link.open and now - link.made < KEEP_SECONDS:
                return link
            link.abort()
        return None

    def _drop_kept(self) -> None:
        for link in self._kept:
            link.abort()
        self._kept.clear()

    def _keep(self, link: Link) -> None:
        if len(self._kept) < KEEP_CONNECTIONS:
            self._kept.append(link)
        else:
            link.abort()

    async def _connect(self) -> Link:
        try:
            host, port = await self.name.address()
            async with asyncio.timeout(CONNECT_SECONDS):
                _, link = await asyncio.get_running_loop().create_connection(Link, host, port)
        except NotFoundError as error:
            raise UpstreamError("dns", str(error)) from error
        except TimeoutError as error:
            self.name.doubt()
            raise UpstreamError("timeout", f"no connection to {self._role} within {CONNECT_SECONDS:g} s") from error
        except OSError as error:
            self.name.doubt()
            raise UpstreamError("refused", f"no connection to {self._role}: {error}") from error
        return link
