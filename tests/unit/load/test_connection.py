"""Which ports the pulse's connections come from."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator

import pytest

from chaoskit.load.connection import connect, endpoint, source_ports

EVERYWHERE = ""
"""Where a client's own end is bound."""


def test_ports_are_taken_in_turn_from_the_machine_s_range(tmp_path):
    told = tmp_path / "ip_local_port_range"
    told.write_text("40000\t40002\n")
    assert list(itertools.islice(source_ports(told, start=0.01), 5)) == [40001, 40002, 40000, 40001, 40002]


def test_no_port_comes_again_within_two_minutes_of_a_hundred_connections_a_second(tmp_path):
    ports = list(itertools.islice(source_ports(tmp_path / "none", start=7.0), 12_000))
    assert len(set(ports)) == 12_000


def test_a_later_run_goes_on_where_this_one_ends(tmp_path):
    begun = source_ports(tmp_path / "none", start=1000.0)
    within_10_s = set(itertools.islice(begun, 1000))
    assert next(source_ports(tmp_path / "none", start=1010.0)) == next(begun)
    assert next(begun) not in within_10_s


def asked_from(ports: Iterator[int], to: socket.socket) -> int:
    """The port that a connection to a listening socket comes from."""

    async def ask() -> None:
        connection = await connect(endpoint(f"http://127.0.0.1:{to.getsockname()[1]}/"), ports)
        connection.close()

    asyncio.run(ask())
    accepted, (_, port) = to.accept()
    accepted.close()
    return port


def test_a_port_that_somebody_uses_is_left_out_and_the_server_s_own_too():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server((EVERYWHERE, 0)) as other:
        with socket.create_server((EVERYWHERE, 0)) as closed:
            free = closed.getsockname()[1]
        taken = [server.getsockname()[1], other.getsockname()[1]]
        assert asked_from(iter([*taken, free]), server) == free


def test_a_machine_without_a_free_port_says_so():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server((EVERYWHERE, 0)) as other,
        pytest.raises(OSError, match="in use on this machine"),
    ):
        asked_from(itertools.repeat(other.getsockname()[1]), server)
