"""Runs commands in containers, through the API server: a short one with a deadline, or one that is talked with."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from chaoskit.errors import ForbiddenError, NotFoundError, PortError, UnreachableError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

DEADLINE_S = 10.0
_OUTPUT, _ERROR_CHANNEL = 1, 3
Channels: TypeAlias = Any
"""The client library's websocket, of which no types are known."""
_NOT_THERE = ("executable file not found", "no such file or directory", "not found in $PATH")


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended. `code` is None when it never ran."""

    code: int | None
    output: str
    why: str

    @property
    def absent(self) -> bool:
        """The image has no such program."""
        return self.code is None and any(words in self.why for words in _NOT_THERE)


def run(configuration: Configuration, pod: str, namespace: str, container: str, argv: Sequence[str]) -> Ended:
    """Runs `argv` as it is; there is no shell in between. Raises a PortError if the exec itself is refused.

    The client's websocket has no deadline for connecting, so it works in a thread that is left behind when time is up.
    """
    answers: queue.Queue[Ended | Exception] = queue.Queue()

    def work() -> None:
        from kubernetes.client.exceptions import ApiException

        try:
            answers.put(_run(configuration, pod, namespace, container, argv))
        except (ApiException, OSError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=work, name=f"exec in {pod}", daemon=True).start()
    what = f"cannot run {argv[0]} in pod/{pod} in {namespace}"
    try:
        answer = answers.get(timeout=DEADLINE_S + 1)
    except queue.Empty as error:
        raise UnreachableError(what, why=f"no answer for {DEADLINE_S:.0f} s") from error
    if isinstance(answer, Exception):
        raise _refusal(what, namespace, answer) from answer
    return answer


class Conversation:
    """A command in a container that is talked with, line by line. For one thread."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._unread = ""
        self._broken = ""
        self._status = ""

    @property
    def over(self) -> str:
        """Why nothing more is to come, or empty."""
        if self._broken or self._channels.is_open():
            return self._broken
        with contextlib.suppress(ValueError, AttributeError):
            return f"its command ended: {json.loads(self._status).get('message', 'it succeeded')}"
        return "the connection to it ended"

    def say(self, line: str) -> None:
        """One that cannot be said any more is noticed by `over`."""
        try:
            self._channels.write_stdin(line + "\n")
        except _broken_connections() as error:
            self._broken = str(error) or type(error).__name__

    def hear(self, within_s: float) -> list[str]:
        """The whole lines that have come, waiting up to so long for the first of them."""
        try:
            self._unread += self._channels.read_channel(_OUTPUT, timeout=within_s)
        except _broken_connections() as error:
            self._broken = str(error) or type(error).__name__
            with contextlib.suppress(*_broken_connections()):  # What had come before it broke.
                self._unread += self._channels.read_channel(_OUTPUT)
        # The client keeps a copy of all that was ever said until it is asked for, and then forgets what was not read
        # yet. To read the status by its own method would take in more before that, and lose it.
        self._status += self._channels._channels.pop(_ERROR_CHANNEL, "")
        self._channels.read_all()
        *lines, self._unread = self._unread.split("\n")
        return lines

    def close(self) -> None:
        # `close` would leave the socket open once the other side has said goodbye.
        self._channels.sock.shutdown()


def _broken_connections() -> tuple[type[Exception], ...]:
    from websocket import WebSocketException

    return (WebSocketException, OSError)


def talk(configuration: Configuration, pod: str, namespace: str, container: str, argv: Sequence[str]) -> Conversation:
    """Starts `argv`. Raises a PortError if that is refused; has no deadline."""
    from kubernetes.client.exceptions import ApiException

    try:
        return Conversation(_open(configuration, pod, namespace, container, argv, stdin=True))
    except (ApiException, OSError, ValueError) as error:
        raise _refusal(f"cannot run {argv[0]} in pod/{pod} in {namespace}", namespace, error) from error


def _open(
    configuration: Configuration, pod: str, namespace: str, container: str, argv: Sequence[str], *, stdin: bool
) -> Channels:
    from kubernetes import client, stream

    # A client of its own: `stream` swaps a method of the client that it is given, which others use meanwhile.
    with client.ApiClient(configuration) as api:
        return stream.stream(
            client.CoreV1Api(api).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(argv),
            stdin=stdin,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
            **({"container": container} if container else {}),
        )


def _run(configuration: Configuration, pod: str, namespace: str, container: str, argv: Sequence[str]) -> Ended:
    channels = _open(configuration, pod, namespace, container, argv, stdin=False)
    try:
        channels.run_forever(timeout=DEADLINE_S)
        status = json.loads(channels.read_channel(_ERROR_CHANNEL) or "null")
        return _ended(status, channels.read_all())
    finally:
        # `close` would leave the socket open once the other side has said goodbye.
        channels.sock.shutdown()


def _ended(status: object, output: str) -> Ended:
    """By the Status that the kubelet sends on the error channel when the command has ended."""
    if not isinstance(status, dict):
        raise ConnectionError("the connection ended before the command did")
    if status.get("status") == "Success":
        return Ended(0, output, "")
    causes = (status.get("details") or {}).get("causes") or ()
    codes = [str(c.get("message")) for c in causes if c.get("reason") == "ExitCode"]
    code = int(codes[0]) if codes and codes[0].isdecimal() else None
    return Ended(code, output, str(status.get("message", "")))


def _refusal(what: str, namespace: str, error: Exception) -> PortError:
    """The client wraps a refused websocket in text; beneath it are the server's status code and its words."""
    code, said = _handshake(error)
    if code in (401, 403):
        fix = f"have it granted, then try kubectl auth can-i create pods --subresource=exec -n {namespace}"
        return ForbiddenError(f"{what}: missing the right to create pods/exec in {namespace}", why=said, fix=fix)
    if code == 404:
        return NotFoundError(what, why=said)
    if code:
        return PortError(what, why=f"HTTP {code}: {said}")
    return UnreachableError(what, why=said)


def _handshake(error: Exception) -> tuple[int, str]:
    """The HTTP status that refused the websocket, or 0, and what was said."""
    from websocket import WebSocketBadStatusException

    beneath = error.__context__
    if not isinstance(beneath, WebSocketBadStatusException):
        return 0, " ".join(str(beneath or error).split())
    body = beneath.resp_body or b""
    try:
        said = json.loads(body).get("message", "")
    except (ValueError, AttributeError):
        said = body.decode("utf-8", "replace").strip()
    return beneath.status_code, str(said)[:300]
