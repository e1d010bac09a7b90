"""Where another role is: by DNS, with a short memory, or by the variables that the kubelet sets.

An answer of DNS is used for `NAME_CACHE_SECONDS` (5, the time to live that CoreDNS gives to Services; getaddrinfo does
not tell it). After that it is looked up again in the background while the old answer is used on, and if DNS does not
answer the old one is used for a minute: losing DNS must not take the shop down. A first look-up has to wait.

An answer that led nowhere is looked up again sooner: a Service that was made anew has another address.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

STALE_SECONDS = 60.0
LOOKUP_SECONDS = 3.0
DOUBT_SECONDS = 0.5
"""An answer that is younger is not doubted: all who were led nowhere together ask once."""


class NotFoundError(Exception):
    """The name has no address, or nobody could be asked."""


@dataclass(frozen=True)
class Found:
    addresses: tuple[str, ...]
    port: int
    at: float


Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a host, for a port. Raises OSError."""


async def by_system(host: str, port: int) -> list[str]:
    """What the system's resolver says, in its order."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class Name:
    """One host and port that is looked up again and again."""

    def __init__(self, host: str, port: int, cache_seconds: float, resolve: Resolve | None = None) -> None:
        self.host = host
        self.port = port
        self.failures = 0
        self._cache_seconds = cache_seconds
        self._resolve = resolve or by_system
        self._found: Found | None = None
        self._lookup: asyncio.Task[Found] | None = None
        self._turn = 0

    async def address(self) -> tuple[str, int]:
        """One address, in turn if there are several. Raises NotFoundError."""
        found, age = self._found, self._age()
        if found is None or age > self._cache_seconds:
            self._refresh()
        if found is None or age > max(self._cache_seconds, STALE_SECONDS):
            found = await self._first_answer()
        self._turn += 1
        return found.addresses[self._turn % len(found.addresses)], found.port

    def doubt(self) -> None:
        """Nobody could be connected to at its address. Who keeps a name for ever never doubts it."""
        if self._age() > DOUBT_SECONDS and self._cache_seconds < float("inf"):
            self._refresh()

    def _age(self) -> float:
        return time.monotonic() - self._found.at if self._found else float("inf")

    def _refresh(self) -> None:
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up())
            self._lookup.add_done_callback(self._looked_up)

    async def _first_answer(self) -> Found:
        if self._lookup is None:
            raise NotFoundError(f"{self.host} is being looked up by nobody")
        return await asyncio.shield(self._lookup)

    async def _look_up(self) -> Found:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await self._resolve(self.host, self.port)
        except (OSError, TimeoutError) as error:
            raise NotFoundError(f"no address for {self.host}: {error or 'DNS did not answer'}") from error
        return Found(tuple(addresses), self.port, time.monotonic())

    def _looked_up(self, lookup: asyncio.Task[Found]) -> None:
        self._lookup = None
        if lookup.cancelled() or lookup.exception() is not None:
            self.failures += 1
        else:
            self._found = lookup.result()


def from_environment(service: str, environment: Mapping[str, str] = os.environ) -> tuple[str, int]:
    """Host and port of a Service by the variables `BACK_SERVICE_HOST` and `BACK_SERVICE_PORT`. Raises NotFoundError.

    They are those of the moment this pod was created: a Service made later, or made again, is not in them.
    """
    prefix = service.upper().replace("-", "_") + "_SERVICE_"
    host, port = environment.get(prefix + "HOST", ""), environment.get(prefix + "PORT", "")
    if not host or not port.isdigit():
        raise NotFoundError(f"{prefix}HOST and {prefix}PORT are not set: was the Service made before this pod?")
    return host, int(port)
