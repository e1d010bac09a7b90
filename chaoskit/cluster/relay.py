"""Loopback ports of the host that lead into the cluster's network.

The listening socket is made outside and handed in: no port opens that was not asked for, and each ends with its holder.
"""

from __future__ import annotations

import asyncio
import socket
import struct

CHUNK = 65_536
CONNECT_DEADLINE_S = 5.0


async def serve(listener: socket.socket, address: str, port: int) -> asyncio.Server:
    """Join each connection to the listener with one to `address:port` inside."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                inner_reader, inner_writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError):
            _reset(writer)
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        for side in (writer, inner_writer):
            side.close()

    return await asyncio.start_server(join, sock=listener)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with a reset: what a client of a dead server sees."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )  # Linger for no time: socket(7).
    writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, and hand the end on; a break on either side ends both."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
