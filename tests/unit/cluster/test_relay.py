from __future__ import annotations

import asyncio

import pytest

from chaoskit.cluster import relay
from chaoskit.cluster.asking import listen


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.write_eof()
    writer.close()


def test_both_directions_pass_and_the_end_is_handed_on() -> None:
    async def scenario() -> bytes:
        inside = await asyncio.start_server(echo, "127.0.0.1", 0)
        listener = listen()
        port = listener.getsockname()[1]
        relayed = await relay.serve(listener, "127.0.0.1", inside.sockets[0].getsockname()[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 200_000)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        relayed.close()
        inside.close()
        return answer

    assert asyncio.run(scenario()) == b"x" * 200_000


def test_a_dead_inside_looks_like_a_refusal() -> None:
    async def scenario() -> bytes:
        nobody = listen()
        port = nobody.getsockname()[1]
        nobody.close()
        listener = listen()
        outside = listener.getsockname()[1]
        relayed = await relay.serve(listener, "127.0.0.1", port)
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", outside)
            try:
                return await asyncio.wait_for(reader.read(), 10)
            finally:
                writer.close()
        finally:
            relayed.close()

    with pytest.raises(ConnectionError):
        asyncio.run(scenario())


def test_a_listener_is_on_the_loopback_only() -> None:
    with listen() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(OSError, match="in use"):
            listen(listener.getsockname()[1])
