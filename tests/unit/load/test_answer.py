"""Reading HTTP answers, however they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.load.answer import Answer, BadAnswerError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "with a length": OK + b"Content-Length: 5\r\nX-Served-By: pod-1\r\n\r\nhello",
    "in chunks": OK + CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
    "in chunks with a trailer": b"HTTP/1.1 500 No\r\n" + CHUNKED + b"2\r\n\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    "without a body": b"HTTP/1.1 204 No Content\r\nX-Color: green\r\n\r\n",
    "after an interim one": b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    "of the last connection": OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n.",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n.",
}


def read(data: bytes, cuts: list[int]) -> Answer:
    answer = Answer()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        assert not answer.complete or start == end
        answer.feed(data[start:end])
    return answer


@pytest.mark.parametrize(
    ("kind", "status", "reusable"),
    [
        ("with a length", 200, True),
        ("in chunks", 200, True),
        ("in chunks with a trailer", 500, True),
        ("without a body", 204, True),
        ("after an interim one", 404, True),
        ("of the last connection", 200, False),
        ("of HTTP/1.0", 200, False),
    ],
)
def test_knows_when_an_answer_is_complete(kind, status, reusable):
    data = ANSWERS[kind]
    answer = read(data, [])
    assert (answer.complete, answer.status, answer.reusable) == (True, status, reusable)
    assert not read(data[:-1], []).complete


@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_it_does_not_matter_how_the_bytes_are_cut(kind, data):
    whole = ANSWERS[kind]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    answer, at_once = read(whole, cuts), read(whole, [])
    assert (answer.complete, answer.status, answer.headers) == (True, at_once.status, at_once.headers)


def test_without_a_length_the_end_of_the_connection_is_the_end_of_the_answer():
    answer = read(b"HTTP/1.1 200 OK\r\n\r\nhello", [])
    assert not answer.complete
    answer.end_of_connection()
    assert (answer.complete, answer.reusable) == (True, False)


def test_an_answer_that_is_cut_short_is_not_complete():
    answer = read(ANSWERS["with a length"][:-2], [])
    answer.end_of_connection()
    assert not answer.complete


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_refuses_what_is_not_http(data):
    with pytest.raises(BadAnswerError):
        read(data, [])


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_refused(data):
    answer = Answer()
    try:
        answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    except BadAnswerError:
        assert not answer.complete


def test_tells_who_answered():
    answer = read(b"HTTP/1.1 200 OK\r\nX-Served-By: a\r\nx-version: 2\r\nContent-Length: 0\r\n\r\n", [])
    assert answer.answerer == "a|2|"
    assert read(ANSWERS["of HTTP/1.0"], []).answerer == ""
