"""Talking with a command over a websocket, with the client library's own class at our end."""

from __future__ import annotations

import io
import json
import socket
import time

import pytest
from kubernetes.stream.ws_client import WSClient
from websocket import ABNF, WebSocket

from chaoskit.adapters.podexec import Conversation

OUTPUT, STATUS = b"\x01", b"\x03"
ENDED = {"status": "Failure", "message": "command terminated with exit code 7"}


class Pod:
    """The other end: frames as a kubelet sends them."""

    def __init__(self) -> None:
        self._far, self._near = socket.socketpair()
        talk = WebSocket()
        talk.sock, talk.connected, talk.handshake_response = self._near, True, None
        self.channels = WSClient.__new__(WSClient)
        self.channels.__dict__ |= {"_connected": True, "_channels": {}, "_closed_channels": set(), "binary": False}
        self.channels.__dict__ |= {"subprotocol": None, "newline": "\n", "sock": talk}
        self.channels.__dict__ |= {"_all": io.StringIO(), "_returncode": None}

    def send(self, data: bytes, opcode: int = ABNF.OPCODE_BINARY) -> None:
        frame = ABNF.create_frame(data, opcode)
        frame.mask_value = 0
        self._far.sendall(frame.format())

    def end(self) -> None:
        self._far.close()


@pytest.fixture
def pod():
    pod = Pod()
    yield pod
    pod.end()
    pod._near.close()


def heard(talk: Conversation, within_s: float = 20.0) -> list[str]:
    lines: list[str] = []
    deadline = time.monotonic() + within_s
    while not talk.over and time.monotonic() < deadline:
        lines += talk.hear(0.05)
    return lines


def test_no_line_is_lost_that_comes_while_others_are_read(pod):
    read, waiting = pod.channels.read_channel, [f"line {n}\n" for n in range(100)]

    def and_then_more(channel: int, timeout: float = 0.0) -> str:
        found = read(channel, timeout)
        if waiting:
            pod.send(OUTPUT + waiting.pop(0).encode())
        else:
            pod.send(b"", ABNF.OPCODE_CLOSE)
        return found

    pod.channels.read_channel = and_then_more
    assert heard(Conversation(pod.channels)) == [f"line {n}" for n in range(100)]
    assert pod.channels._all.getvalue() == "", "what was said for minutes is not kept"


def test_lines_are_put_together_again(pod):
    talk = Conversation(pod.channels)
    for part in (b"a li", b"ne\nand an", b"other\nand the beginning of"):
        pod.send(OUTPUT + part)
    pod.send(b"", ABNF.OPCODE_CLOSE)
    assert heard(talk) == ["a line", "and another"]


def test_how_a_command_ended_is_told(pod):
    talk = Conversation(pod.channels)
    pod.send(OUTPUT + b"the last\n")
    pod.send(STATUS + json.dumps(ENDED).encode())
    pod.send(b"", ABNF.OPCODE_CLOSE)
    assert heard(talk) == ["the last"]
    assert talk.over == "its command ended: command terminated with exit code 7"


def test_what_came_before_a_connection_broke_is_heard(pod):
    talk = Conversation(pod.channels)
    pod.send(OUTPUT + b"the last\n")
    pod.end()
    assert heard(talk) == ["the last"]
    assert talk.over
