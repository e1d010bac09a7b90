"""The shop's HTTP server, spoken to byte by byte."""

from __future__ import annotations

import socket

import pytest


def talk(role, *pieces: bytes, close: bool = False) -> bytes:
    """Send the pieces one by one; gives all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", role.port), timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
        if close:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
    return received


GET = b"GET /readyz HTTP/1.1\r\nHost: shop\r\n"


def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(open_shop):
    answers = talk(
        open_shop.front,
        b"GET /first HTTP/1.1\r\n\r\nGET /cpu?ms=20 HTTP/1.1\r\n\r\nGET /third HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert answers.count(b"HTTP/1.1 ") == 3
    assert answers.index(b"/first") < answers.index(b"cpu_ms") < answers.index(b"/third")
    assert answers.count(b"Connection: keep-alive") == 2


def test_a_request_may_come_in_any_pieces(open_shop):
    body = b'{"id": "pieces", "item": "tea"}'
    request = b"POST /orders HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    answer = talk(open_shop.front, *(request[at : at + 1] for at in range(len(request))))
    assert answer.startswith((b"HTTP/1.1 201 Created", b"HTTP/1.1 200 OK"))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"HELLO\r\n\r\n", 400),
        (b"GET readyz HTTP/1.1\r\n\r\n", 400),
        (b"GET /readyz HTTP/2\r\n\r\n", 400),
        (GET + b"no colon\r\n\r\n", 400),
        (GET + b"Content-Length : 1\r\n\r\n", 400),
        (GET + b"Content-Length: -1\r\n\r\n", 400),
        (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (GET + b"Content-Length: 99999999999999999999999999\r\n\r\n", 413),
        (GET + b"Transfer-Encoding: chunked\r\n\r\n", 501),
        (GET + b"X: " + b"x" * 20_000, 431),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason_and_the_connection_ends(open_shop, request_bytes, status):
    answer = talk(open_shop.front, request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in answer
    assert b'"error"' in answer


def test_a_body_that_is_too_long_is_refused_before_it_is_read(open_shop):
    head = b"POST /orders HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n"
    assert talk(open_shop.front, head, b"x" * 500_000).startswith(b"HTTP/1.1 413 ")


def test_head_is_answered_without_a_body(open_shop):
    answer = talk(open_shop.front, b"HEAD /readyz HTTP/1.1\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Length: 0" not in head
    assert body == b""


def test_http_1_0_closes_unless_asked_to_keep(open_shop):
    assert b"Connection: close" in talk(open_shop.front, b"GET /readyz HTTP/1.0\r\n\r\n")
    kept = b"GET /readyz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert b"Connection: keep-alive" in talk(open_shop.front, kept, b"GET /readyz HTTP/1.0\r\n\r\n")


def test_a_client_that_has_sent_all_still_gets_its_answer(open_shop):
    assert talk(open_shop.front, GET + b"\r\n", close=True).startswith(b"HTTP/1.1 200 OK")


def test_escapes_in_a_path_are_read_and_cannot_reach_other_roles(open_shop):
    assert open_shop.front.get("/%72eadyz").status == 200
    assert open_shop.front.get("/orders/a%0d%0aX:%20y").status == 404
    assert open_shop.front.get("/orders/..").status == 404
