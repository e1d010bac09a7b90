"""How a command speaks with a cluster's supervisor: the other end of `control.py`."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaoskit.errors import ClusterError

LONGEST_REQUEST = 65_536
CALL_DEADLINE_S = 60.0
Request = dict[str, Any]


def listen(port: int = 0) -> socket.socket:
    """A listening socket on the host's loopback, to be handed in; port 0 lets the kernel choose a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Another name for a path: those of unix sockets have at most 107 bytes (unix(7)), and home folders can be deep."""
    folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def call(path: Path, request: Request, descriptors: tuple[int, ...] = ()) -> Request:
    """Ask the supervisor of a cluster; its refusals are raised as errors."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL_DEADLINE_S)
            with short_name(path) as short:
                connection.connect(short)
            socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
            answer: Request = json.loads(connection.makefile().readline() or "null") or {}
    except OSError as error:
        raise ClusterError(
            "the cluster's supervisor does not answer", where=str(path), why=str(error), fix="chaoskit cluster status"
        ) from error
    if "error" in answer:
        raise ClusterError(**answer["error"])
    return answer
