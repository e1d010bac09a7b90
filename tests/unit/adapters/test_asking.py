"""What asks an address as users and pods do: each time by a connection of its own, and in words that can be judged."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chaoskit.adapters import asking
from chaoskit.errors import PortError


class Shop(BaseHTTPRequestHandler):
    connections: set[tuple[str, int]]

    def do_GET(self):
        self.connections.add(self.client_address)
        self.send_response(503 if self.path == "/away" else 200)
        self.send_header("x-served-by", "front-1")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def shop():
    handler = type("Own", (Shop,), {"connections": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.connections
        server.shutdown()
        thread.join()


def test_each_request_has_a_connection_of_its_own_and_says_who_answered():
    with shop() as (url, connections):
        found = asking.from_here(f"{url}/", 4, 1.0, list)
    assert [(r.status, r.who, r.error) for r in found] == [(200, "front-1", "")] * 4
    assert len(connections) == 4


def test_an_answer_that_is_bad_is_an_answer():
    with shop() as (url, _):
        (found,) = asking.from_here(f"{url}/away", 1, 1.0, list)
    assert (found.status, found.who) == (503, "front-1")


def test_nobody_there_is_refused():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (found,) = asking.from_here(f"http://127.0.0.1:{free.getsockname()[1]}/", 1, 1.0, list)
    assert (found.status, found.error) == (0, "refused")


def test_silence_is_a_timeout():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (found,) = asking.from_here(f"http://127.0.0.1:{silent.getsockname()[1]}/", 1, 0.3, list)
    assert found.error == "timeout"
    assert 0.3 <= found.seconds < 0.7


def test_it_stops_asking_in_time_but_asks_once():
    """A command in a pod has a deadline; the rest is asked by the next one."""
    with shop() as (url, _):
        for within, asked in ((-1, [1]), (0.2, range(2, 12)), (60, [30])):
            argv = [sys.executable, str(asking.ASKER), f"{url}/", "30", "1", str(within)]
            ended = subprocess.run(argv, capture_output=True, text=True, check=True)
            assert len(asking.parsed(ended.stdout, url)) in asked


def test_a_name_that_nobody_knows_is_told_as_that():
    (found,) = asking.from_here("http://nothing.invalid/", 1, 1.0, list)
    assert found.error == "dns"


def test_what_cannot_even_be_tried_is_an_error():
    with pytest.raises(PortError, match="could not be tried"):
        asking.from_here("http://127.0.0.1/", 1, 1.0, lambda argv: ["false"])


@pytest.mark.parametrize("text", ["", "nothing", "[1]", '[{"status": 200}]'])
def test_what_is_no_answer_of_the_asker_is_an_error(text):
    with pytest.raises(PortError, match="is not known"):
        asking.parsed(text, "http://x/")
