"""Makes the store that `seed.py` keeps: `python -m chaoskit.cluster.seed_maker REQUEST`, in namespaces of its own.

etcd, API server, controllers and scheduler run for nodes that exist only as objects, until the add-ons' pods have their
nodes. Then everything is removed that belongs to one cluster alone: its nodes, leases and events, and what was derived
from its keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from chaoskit.cluster import addons, control_plane, network, profile
from chaoskit.cluster.api import Object, patiently
from chaoskit.cluster.nodes import node_labels
from chaoskit.cluster.patience import allowed_s
from chaoskit.cluster.processes import Process, Processes
from chaoskit.cluster.seed import Request
from chaoskit.cluster.state import Folder
from chaoskit.errors import ClusterError

DEADLINE_S = 300.0
ETCD_TIMEOUT_S = 10.0
ADDON_PODS = 3
# What of the store belongs to the cluster that made it. The last ones hold certificates of its authority.
PASSING = (
    "/registry/minions/",
    "/registry/csinodes/",
    "/registry/leases/",
    "/registry/events/",
    "/registry/masterleases/",
    "/registry/configmaps/default/kube-root-ca.crt",
    "/registry/configmaps/kube-node-lease/kube-root-ca.crt",
    "/registry/configmaps/kube-public/kube-root-ca.crt",
    "/registry/configmaps/kube-system/kube-root-ca.crt",
    "/registry/configmaps/kube-system/extension-apiserver-authentication",
)


class Maker:
    """The short life of a control side without nodes."""

    def __init__(self, request: Request, folder: Folder) -> None:
        self._request = request
        self._folder = folder
        self._programs = Path(request.programs)
        self._profile = profile.named(request.profile)
        self._processes = Processes(folder.logs)
        self._started: list[Process] = []
        keys = control_plane.make_keys(folder, network.API_PORT)
        self._api = control_plane.admin_api(folder, keys)

    async def run(self) -> None:
        await network.apply(self._processes, network.control_side(self._request.nodes))
        etcd = self._start(control_plane.etcd(self._programs, self._folder))
        api = self._start(control_plane.api_server(self._programs, self._folder, self._profile, store_prepared=False))
        await self._until(lambda: self._api.get("/readyz")["text"] == "ok")
        await asyncio.to_thread(self._create_nodes)
        manager = self._start(control_plane.controller_manager(self._programs, self._folder, self._profile))
        scheduler = self._start(control_plane.scheduler(self._programs, self._folder))
        await asyncio.to_thread(addons.install, self._api)
        await self._until(lambda: self._placed() == ADDON_PODS)
        for process in (manager, scheduler, api):
            await _end(process)
        await asyncio.to_thread(_delete_passing)
        await _end(etcd)

    def _start(self, server: control_plane.Server) -> Process:
        process = self._processes.start(server.name, server.argv, server.env)
        self._started.append(process)
        return process

    async def _until(self, condition: Callable[[], bool]) -> None:
        def look() -> bool:
            for process in self._started:
                if not process.running:
                    raise process.failure()
            return condition()

        await patiently(look)

    def _create_nodes(self) -> None:
        for number in range(1, self._request.nodes + 1):
            self._api.request("POST", "/api/v1/nodes", node_object(number))
            self._api.merge(f"/api/v1/nodes/{network.node_name(number)}/status", {"status": node_status()})

    def _placed(self) -> int:
        pods = self._api.get("/api/v1/namespaces/kube-system/pods")["items"]
        return sum(bool(pod["spec"].get("nodeName")) for pod in pods)


def node_object(number: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": network.node_name(number), "labels": node_labels(number)},
    }


def node_status() -> Object:
    room = {"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "10Gi"}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now, "reason": "Seed"}
    return {"capacity": room, "allocatable": room, "conditions": [ready]}


def _delete_passing() -> None:
    for prefix in PASSING:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)  # etcd's way to say "all keys with this prefix".
        body = {"key": b64encode(prefix.encode()).decode(), "range_end": b64encode(end.encode()).decode()}
        question = urllib.request.Request(  # noqa: S310 (http, by its origin)
            f"{control_plane.ETCD}/v3/kv/deleterange", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(question, timeout=allowed_s(ETCD_TIMEOUT_S)) as answer:  # noqa: S310
            answer.read()


async def _end(process: Process) -> None:
    process.kill(signal.SIGTERM)
    await process.ended


async def _make_in_time(request: Request, folder: Folder) -> None:
    async with asyncio.timeout(allowed_s(DEADLINE_S)):
        await Maker(request, folder).run()


def main() -> None:
    request = Request(**json.loads(sys.argv[1]))
    target = Path(request.target)
    folder = Folder(target / "making")
    folder.make()
    try:
        asyncio.run(_make_in_time(request, folder))
    except TimeoutError:
        sys.exit(f"the store was not prepared within {allowed_s(DEADLINE_S):.0f} s")
    except ClusterError as error:
        sys.exit(str(error))
    folder.etcd.rename(target / "etcd")
    shutil.rmtree(folder.path)
    os._exit(0)  # Nothing is left to wait for.


if __name__ == "__main__":
    main()
