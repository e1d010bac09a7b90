"""The supervisor's ear: a unix socket in the state folder, which only the cluster's owner can reach.

One request for each connection: a line of JSON, answered by a line of JSON. `expose` carries the listening socket
along, for only a process of the host's network namespace can make one there.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from chaoskit.cluster import relay
from chaoskit.cluster.asking import LONGEST_REQUEST, Request, short_name
from chaoskit.cluster.nodes import Node
from chaoskit.cluster.upkeep import Upkeep
from chaoskit.errors import ChaoskitError, UsageError


class Control:
    """Answers requests about one cluster."""

    def __init__(self, path: Path, nodes: Mapping[str, Node], upkeep: Upkeep, down: Callable[[], None]) -> None:
        self._path = path
        self._nodes = nodes
        self._upkeep = upkeep
        self._down = down
        self._exposed: dict[int, asyncio.Server] = {}
        self._talks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            with short_name(self._path) as path:
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
            case "server":
                await self._upkeep.order(request["name"], request["order"], request["for_s"])
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
