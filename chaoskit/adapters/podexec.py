"""Runs one short command in a container, through the API server, with a deadline."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from chaoskit.errors import ForbiddenError, NotFoundError, PortError, UnreachableError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

DEADLINE_S = 10.0
_ERROR_CHANNEL = 3
_NOT_THERE = ("executable file not found", "no such file or directory", "not found in $PATH")


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command ended. `code` is None when it never ran, or when the connection ended before it did."""

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


def _run(configuration: Configuration, pod: str, namespace: str, container: str, argv: Sequence[str]) -> Ended:
    from kubernetes import client, stream

    # A client of its own: `stream` swaps a method of the client that it is given, which others use meanwhile.
    with client.ApiClient(configuration) as api:
        channels: Any = stream.stream(
            client.CoreV1Api(api).connect_get_namespaced_pod_exec,
            pod,
            namespace,
            command=list(argv),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
            **({"container": container} if container else {}),
        )
        try:
            channels.run_forever(timeout=DEADLINE_S)
            status = yaml.safe_load(channels.read_channel(_ERROR_CHANNEL) or "{}")
            return _ended(status, channels.read_all())
        finally:
            channels.close()


def _ended(status: object, output: str) -> Ended:
    """By the Status that the kubelet sends on the error channel when the command has ended."""
    if not isinstance(status, dict) or not status:
        return Ended(None, output, "the connection ended before the command did")
    if status.get("status") == "Success":
        return Ended(0, output, "")
    causes = (status.get("details") or {}).get("causes") or ()
    codes = [str(c.get("message")) for c in causes if c.get("reason") == "ExitCode"]
    code = int(codes[0]) if codes and codes[0].isdecimal() else None
    return Ended(code, output, str(status.get("message", "")))


def _refusal(what: str, namespace: str, error: Exception) -> PortError:
    """The client reports a refused websocket as text only: `Handshake status 403 Forbidden …`."""
    text = " ".join(str(getattr(error, "reason", None) or error).split())
    said = text.partition("-+-+-")[0].strip()
    if "status 403" in text or "status 401" in text:
        fix = f"have it granted, then try kubectl auth can-i create pods --subresource=exec -n {namespace}"
        return ForbiddenError(f"{what}: missing the right to create pods/exec", why=said, fix=fix)
    if "status 404" in text:
        return NotFoundError(what, why=said)
    if "status 4" in text or "status 500" in text:
        return PortError(what, why=said)
    return UnreachableError(what, why=said)
