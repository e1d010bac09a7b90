"""SRV records, which getaddrinfo cannot ask for: one UDP question to the resolver, as RFC 1035 and RFC 2782 have it."""

from __future__ import annotations

import asyncio
import secrets
import struct
from dataclasses import dataclass

SRV = 33
TRY_SECONDS = 1.0


class LookupFailedError(Exception):
    """Nobody answered, or the answer was that there is no such name."""


@dataclass(frozen=True)
class Resolver:
    """What /etc/resolv.conf says."""

    servers: tuple[str, ...]
    search: tuple[str, ...]


def read_resolver(text: str) -> Resolver:
    servers: list[str] = []
    search: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            servers.append(words[1])
        elif words[:1] == ["search"]:
            search = tuple(words[1:])
    return Resolver(tuple(servers), search)


def question(name: str, number: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", SRV, 1)


def answers(message: bytes) -> list[tuple[str, int]]:
    """Targets and ports, the preferred first. Raises LookupFailedError."""
    _, flags, questions, records, _, _ = struct.unpack_from(">6H", message)
    if flags & 0xF:
        raise LookupFailedError(f"the answer has code {flags & 0xF}" + (" (no such name)" if flags & 0xF == 3 else ""))
    at = 12
    for _ in range(questions):
        at = _name(message, at)[1] + 4
    found: list[tuple[int, int, str, int]] = []
    for _ in range(records):
        at = _name(message, at)[1]
        kind, _, _, length = struct.unpack_from(">2HIH", message, at)
        at += 10
        if kind == SRV:
            priority, weight, port = struct.unpack_from(">3H", message, at)
            found.append((priority, -weight, _name(message, at + 6)[0], port))
        at += length
    return [(target, port) for _, _, target, port in sorted(found)]


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name that may end in a pointer to an earlier one, and where the message goes on."""
    labels: list[str] = []
    after = -1
    for _ in range(128):
        length = message[at]
        if length == 0:
            return ".".join(labels), at + 1 if after < 0 else after
        if length >= 0xC0:
            after = at + 2 if after < 0 else after
            at = struct.unpack_from(">H", message, at)[0] & 0x3FFF
        else:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
    raise LookupFailedError("a name in the answer never ends")


class _Exchange(asyncio.DatagramProtocol):
    def __init__(self, number: int) -> None:
        self._number = number
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:2] == self._number.to_bytes(2, "big") and not self.reply.done():
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def look_up(name: str, server: str, port: int = 53) -> list[tuple[str, int]]:
    """Ask once, and once more if no answer comes. Raises LookupFailedError."""
    for _ in range(2):
        try:
            return await _ask(name, server, port)
        except TimeoutError:
            continue
        except (OSError, struct.error, IndexError) as error:
            raise LookupFailedError(str(error)) from error
    raise LookupFailedError(f"{server} did not answer")


async def _ask(name: str, server: str, port: int) -> list[tuple[str, int]]:
    number = secrets.randbits(16)
    loop = asyncio.get_running_loop()
    transport, exchange = await loop.create_datagram_endpoint(lambda: _Exchange(number), remote_addr=(server, port))
    try:
        transport.sendto(question(name, number))
        async with asyncio.timeout(TRY_SECONDS):
            return answers(await exchange.reply)
    finally:
        transport.close()
