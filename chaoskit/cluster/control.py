"""The supervisor's ear: a unix socket in the state folder, which only the cluster's owner can reach.

One request for each connection: a line of JSON, answered by a line of JSON. `expose` carries the listening socket
along, for only a process of the host's network namespace can make one there.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaoskit.cluster import relay
from chaoskit.cluster.nodes import Node
from chaoskit.errors import ChaoskitError, ClusterError, UsageError

LONGEST_REQUEST = 65_536
CALL_DEADLINE_S = 60.0
Request = dict[str, Any]


class Control:
    """Answers requests about one cluster."""

    def __init__(self, path: Path, nodes: Mapping[str, Node], down: Callable[[], None]) -> None:
        self._path = path
        self._nodes = nodes
        self._down = down
        self._exposed: dict[int, asyncio.Server] = {}
        self._talks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            with _short(self._path) as path:
                listener.bind(path)
            self._path.chmod(0o600)
            listener.listen(16)
            listener.setblocking(False)
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                talk = asyncio.create_task(self._talk(connection))
                self._talks.add(talk)
                talk.add_done_callback(self._talks.discard)

    async def _talk(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5.0)
            try:
                text, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, connection, LONGEST_REQUEST, 1)
                answer = await self._answer(json.loads(text), descriptors)
            except ChaoskitError as error:
                answer = {"error": {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}}
            except (json.JSONDecodeError, KeyError, TypeError, OSError) as error:
                answer = {"error": {"what": f"the request failed: {error!r}"}}
            try:
                await asyncio.to_thread(connection.sendall, json.dumps(answer).encode() + b"\n")
            except OSError:
                return  # The caller went away without waiting.

    async def _answer(self, request: Request, descriptors: list[int]) -> Request:
        match request["do"]:
            case "ping":
                pass
            case "down":
                self._down()
            case "expose":
                await self._expose(request["address"], request["port"], socket.socket(fileno=descriptors[0]))
            case "unexpose":
                self._unexpose(request["host_port"])
            case "nodes":
                return {"on": {name: node.on for name, node in self._nodes.items()}}
            case "holder":
                return {"pid": self._node(request).holder.pid}
            case "kill_container":
                self._node(request).kill_container(request["container"], request["signal"])
            case "power_on" | "power_off" | "freeze" | "thaw" | "unplug" | "plug" as act:
                await _finish(getattr(self._node(request), act)())
            case unknown:
                raise UsageError(f"the supervisor cannot {unknown!r}")
        return {}

    def _node(self, request: Request) -> Node:
        node = self._nodes.get(request["node"])
        if node is None:
            raise UsageError(f"there is no node {request['node']!r}", fix=f"one of: {', '.join(self._nodes)}")
        return node

    async def _expose(self, address: str, port: int, listener: socket.socket) -> None:
        self._exposed[listener.getsockname()[1]] = await relay.serve(listener, address, port)

    def _unexpose(self, host_port: int) -> None:
        server = self._exposed.pop(host_port, None)
        if server is not None:
            server.close()


async def _finish(result: Awaitable[None] | None) -> None:
    if inspect.isawaitable(result):
        await result


@contextmanager
def _short(path: Path) -> Iterator[str]:
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
            with _short(path) as short:
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
