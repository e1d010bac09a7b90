"""LoadBalancer Services: each gets an address, and a path to it that follows node health as a cloud's would.

The path leads over every node that is Ready and not excluded by label; with `externalTrafficPolicy: Local`, only over
those that hold a ready endpoint, since the others would drop what they get. A cordoned node stays in the path, as with
cloud providers. Without any node the address is unreachable at once, instead of a hole that swallows packets.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from chaoskit.cluster import network
from chaoskit.cluster.api import Api, ApiError, Mirror, Object
from chaoskit.cluster.processes import Processes

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_LABEL = "kubernetes.io/service-name"
AGAIN_S = 0.5
COLLECTIONS = {
    "nodes": "/api/v1/nodes",
    "services": "/api/v1/services",
    "slices": "/apis/discovery.k8s.io/v1/endpointslices",
}
ADDRESSES = [str(address) for address in IPv4Network(network.BALANCER_NET).hosts()]


class LoadBalancer:
    """Follows nodes, Services and endpoint slices, and sets addresses and routes."""

    def __init__(self, api: Api, processes: Processes) -> None:
        self._api = api
        self._processes = processes
        self._seen: dict[str, list[Object]] = {kind: [] for kind in COLLECTIONS}
        self._news = asyncio.Event()
        self._routes: dict[str, tuple[str, ...]] = {}

    async def run(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        for kind, path in COLLECTIONS.items():

            def tell(objects: Mapping[str, Object], kind: str = kind) -> None:
                loop.call_soon_threadsafe(self._note, kind, list(objects.values()))

            threading.Thread(target=Mirror(self._api, path, tell).run, args=(stop,), daemon=True).start()
        while True:
            await self._news.wait()
            self._news.clear()
            await self._work()

    def _note(self, kind: str, objects: list[Object]) -> None:
        self._seen[kind] = objects
        self._news.set()

    async def _work(self) -> None:
        balanced = [service for service in self._seen["services"] if is_balanced(service)]
        for service, address in missing_addresses(balanced):
            await self._assign(service, address)
        wanted = {
            address: paths(service, self._seen["nodes"], self._seen["slices"])
            for service in balanced
            if (address := address_of(service))
        }
        await self._set_routes(wanted)

    async def _assign(self, service: Object, address: str) -> None:
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        try:
            await asyncio.to_thread(self._api.merge, path, status)
        except (ApiError, OSError, http.client.HTTPException):
            # It is gone, or the server is busy: what is seen then decides.
            asyncio.get_running_loop().call_later(AGAIN_S, self._news.set)

    async def _set_routes(self, wanted: Mapping[str, tuple[str, ...]]) -> None:
        commands = [
            network.balancer_route(address, hops)
            for address, hops in wanted.items()
            if self._routes.get(address) != hops
        ]
        commands += [f"route del {address}/32" for address in self._routes if address not in wanted]
        if commands:
            await network.apply(self._processes, commands)
        self._routes = dict(wanted)


def is_balanced(service: Object) -> bool:
    spec = service["spec"]
    return (
        spec.get("type") == "LoadBalancer"
        and not spec.get("loadBalancerClass")
        and "deletionTimestamp" not in service["metadata"]
    )


def address_of(service: Object) -> str:
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return str(ingress[0].get("ip", ""))


def missing_addresses(services: Iterable[Object]) -> list[tuple[Object, str]]:
    """The Services without an address, oldest first, each with a free one."""
    known = list(services)
    used = {address_of(service) for service in known}
    free = (address for address in ADDRESSES if address not in used)
    waiting = [service for service in known if not address_of(service)]
    waiting.sort(key=lambda service: (service["metadata"]["creationTimestamp"], service["metadata"]["uid"]))
    return list(zip(waiting, free, strict=False))


def paths(service: Object, nodes: Iterable[Object], slices: Iterable[Object]) -> tuple[str, ...]:
    """The addresses of the nodes over which a Service's traffic goes."""
    usable = {node["metadata"]["name"]: node_address(node) for node in nodes if is_usable(node)}
    if service["spec"].get("externalTrafficPolicy") == "Local":
        local = nodes_with_endpoints(service, slices)
        usable = {name: address for name, address in usable.items() if name in local}
    return tuple(sorted(address for address in usable.values() if address))


def is_usable(node: Object) -> bool:
    if EXCLUDED in node["metadata"].get("labels", {}):
        return False
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def node_address(node: Object) -> str:
    addresses: list[dict[str, Any]] = node.get("status", {}).get("addresses", [])
    return next((item["address"] for item in addresses if item["type"] == "InternalIP"), "")


def nodes_with_endpoints(service: Object, slices: Iterable[Object]) -> set[str]:
    meta = service["metadata"]
    return {
        endpoint["nodeName"]
        for piece in slices
        if piece["metadata"]["namespace"] == meta["namespace"]
        and piece["metadata"].get("labels", {}).get(SERVICE_LABEL) == meta["name"]
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True) and endpoint.get("nodeName")
    }
