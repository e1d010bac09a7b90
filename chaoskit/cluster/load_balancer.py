"""LoadBalancer Services: each gets an address, and a path to it that follows node health as a cloud's would.

The path leads over every node that is Ready and not excluded by label; with `externalTrafficPolicy: Local`, only over
those that hold a ready endpoint, since the others would drop what they get. A cordoned node stays in the path, as with
cloud providers. Without any node the address is unreachable at once, instead of a hole that swallows packets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from chaoskit.cluster import network
from chaoskit.cluster.api import Api, ApiError, Mirror, Object

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_LABEL = "kubernetes.io/service-name"
RESYNC_S = 1.0
ADDRESSES = [str(address) for address in IPv4Network(network.BALANCER_NET).hosts()]


class LoadBalancer:
    """Follows nodes, Services and endpoint slices, and sets addresses and routes."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._seen: dict[str, dict[str, Object]] = {"nodes": {}, "services": {}, "slices": {}}
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._routes: dict[str, tuple[str, ...]] = {}

    def run(self, stop: threading.Event) -> None:
        paths = {
            "nodes": "/api/v1/nodes",
            "services": "/api/v1/services",
            "slices": "/apis/discovery.k8s.io/v1/endpointslices",
        }
        for kind, path in paths.items():
            mirror = Mirror(self._api, path, lambda objects, kind=kind: self._note(kind, objects))  # type: ignore[misc]
            threading.Thread(target=mirror.run, args=(stop,), daemon=True).start()
        while not stop.is_set():
            self._news.wait(RESYNC_S)
            self._news.clear()
            self._work()

    def _note(self, kind: str, objects: Mapping[str, Object]) -> None:
        with self._lock:
            self._seen[kind] = dict(objects)
        self._news.set()

    def _work(self) -> None:
        with self._lock:
            nodes, services, slices = (list(self._seen[kind].values()) for kind in ("nodes", "services", "slices"))
        balanced = [service for service in services if is_balanced(service)]
        for uid, address in missing_addresses(balanced).items():
            self._assign(next(service for service in balanced if service["metadata"]["uid"] == uid), address)
        self._set_routes(
            {address: paths(service, nodes, slices) for service in balanced if (address := address_of(service))}
        )

    def _assign(self, service: Object, address: str) -> None:
        """Ask again after a refusal: the next round sees the Service as it is then."""
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        try:
            self._api.merge(path, status)
        except (ApiError, OSError):
            self._news.set()

    def _set_routes(self, wanted: Mapping[str, tuple[str, ...]]) -> None:
        changed = {address: hops for address, hops in wanted.items() if self._routes.get(address) != hops}
        gone = [address for address in self._routes if address not in wanted]
        commands = [network.balancer_route(*item) for item in changed.items()]
        commands += [f"route del {address}/32" for address in gone]
        if commands:
            network.apply(commands)
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


def missing_addresses(services: Iterable[Object]) -> dict[str, str]:
    """Free addresses for the Services that have none, oldest first, by UID."""
    known = list(services)
    used = {address_of(service) for service in known}
    free = (address for address in ADDRESSES if address not in used)
    waiting = sorted(
        (service["metadata"]["creationTimestamp"], service["metadata"]["uid"])
        for service in known
        if not address_of(service)
    )
    return {uid: address for (_, uid), address in zip(waiting, free, strict=False)}


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
