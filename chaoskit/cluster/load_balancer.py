"""LoadBalancer Services: each gets an address, and a path to it that follows node health as a cloud's would.

New connections lead over every node that is Ready and not excluded by label, from when its kube-proxy has its rules.
With `externalTrafficPolicy: Local` they lead only over those that hold a ready endpoint, since the others would drop
what they get. A cordoned node stays in the path, as with cloud providers. A connection keeps its node. Without any node
the address is unreachable at once, instead of a hole that swallows packets.

Addresses are given in turn. The nodes remember a connection whose pod died without a word for five days, and send
what comes from the same port to the same address after that pod, as if it were there. A Service that is made anew
under its name has its address back.
"""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network
from typing import Any

from chaoskit.cluster import network
from chaoskit.cluster.api import Api, ApiError, Object
from chaoskit.cluster.processes import Processes
from chaoskit.cluster.watched import Watched
from chaoskit.errors import ClusterError

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
SERVICE_LABEL = "kubernetes.io/service-name"
AGAIN_S = 0.3
ASK_S = 1.0
COLLECTIONS = {
    "nodes": "/api/v1/nodes",
    "services": "/api/v1/services",
    "slices": "/apis/discovery.k8s.io/v1/endpointslices",
}
ADDRESSES = [str(address) for address in IPv4Network(network.BALANCER_NET).hosts()]


class LoadBalancer:
    """Sets addresses and routes from what is seen of nodes, Services and endpoint slices."""

    def __init__(self, api: Api, processes: Processes, watched: Watched) -> None:
        self._api = api
        self._processes = processes
        self._watched = watched
        self._routes: dict[str, tuple[str, ...]] = {}
        self._lost: frozenset[str] = frozenset()
        self._serving: set[str] = set()
        self._given: dict[str, str] = {}
        """The address of each Service that ever had one, the latest last."""

    async def run(self) -> None:
        with self._watched.news() as news:
            while True:
                if not await self._work():  # Something failed that may go well when it is tried again.
                    asyncio.get_running_loop().call_later(AGAIN_S, news.set)
                await news.wait()
                news.clear()

    async def _work(self) -> bool:
        """Bring everything up to date with what is seen; whether all of it succeeded."""
        seen = self._watched
        balanced = [service for service in seen["services"] if is_balanced(service)]
        waiting = missing_addresses(balanced, self._given)
        assigned = [await self._assign(service, address) for service, address in waiting]
        usable = [node for node in seen["nodes"] if is_usable(node)]
        await self._update_serving(node_address(node) for node in usable)
        serving = [node for node in usable if node_address(node) in self._serving]
        wanted = {
            address: paths(service, serving, seen["slices"]) for service in balanced if (address := address_of(service))
        }
        lost = frozenset(node_address(node) for node in seen["nodes"] if not is_ready(node)) - {""}
        return await self._set_paths(wanted, lost) and all(assigned) and len(serving) == len(usable)

    async def _update_serving(self, usable: Iterable[str]) -> None:
        """A node that comes (back) is asked for its rules first; one that serves stays until Kubernetes gives it up."""
        addresses = set(usable)
        asked = sorted(addresses - self._serving)
        answers = await asyncio.gather(*(asyncio.to_thread(has_rules, address) for address in asked))
        self._serving &= addresses
        self._serving |= {address for address, answer in zip(asked, answers, strict=True) if answer}

    async def _assign(self, service: Object, address: str) -> bool:
        self._given.pop(full_name(service), None)
        self._given[full_name(service)] = address
        meta = service["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        try:
            await asyncio.to_thread(self._api.merge, path, status)
        except (ApiError, OSError, http.client.HTTPException):
            return False
        return True

    async def _set_paths(self, wanted: Mapping[str, tuple[str, ...]], lost: frozenset[str]) -> bool:
        if (wanted, lost) == (self._routes, self._lost):
            return True
        changed = {address: hops for address, hops in wanted.items() if self._routes.get(address) != hops}
        gone = [address for address in self._routes if address not in wanted]
        routes = [network.balancer_route(*item) for item in changed.items()]
        try:
            await network.balance(self._processes, network.balancer_rules(wanted, sorted(lost)))
            for commands in (routes, [f"route del {address}/32" for address in gone]):
                if commands:
                    await network.apply(self._processes, commands)
        except ClusterError as error:
            print(f"load balancer: {error}", flush=True)  # In the supervisor's log; the cluster goes on.
            return False
        self._routes, self._lost = dict(wanted), lost
        return True


def has_rules(address: str) -> bool:
    """Whether the kube-proxy of a node says that it has written its rules, as a cloud's load balancer asks it."""
    connection = http.client.HTTPConnection(address, network.PROXY_HEALTH_PORT, timeout=ASK_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


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


def full_name(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def missing_addresses(services: Iterable[Object], given: Mapping[str, str]) -> list[tuple[Object, str]]:
    """The Services without an address, oldest first, each with a free one: that which it had before, or else one that
    was never `given`, or else the one that was given longest ago."""
    known = list(services)
    used = {address_of(service) for service in known}
    turn = {address: number for number, address in enumerate(given.values())}
    free = [address for address in sorted(ADDRESSES, key=lambda address: turn.get(address, -1)) if address not in used]
    waiting = [service for service in known if not address_of(service)]
    waiting.sort(key=lambda service: (service["metadata"]["creationTimestamp"], service["metadata"]["uid"]))
    found = []
    for service in waiting[: len(free)]:
        before = given.get(full_name(service), "")
        address = before if before in free else free[0]
        free.remove(address)
        found.append((service, address))
    return found


def paths(service: Object, nodes: Iterable[Object], slices: Iterable[Object]) -> tuple[str, ...]:
    """The addresses of those of the usable nodes over which a Service's traffic goes."""
    usable = {node["metadata"]["name"]: node_address(node) for node in nodes}
    if service["spec"].get("externalTrafficPolicy") == "Local":
        local = nodes_with_endpoints(service, slices)
        usable = {name: address for name, address in usable.items() if name in local}
    return tuple(sorted(address for address in usable.values() if address))


def is_usable(node: Object) -> bool:
    return EXCLUDED not in node["metadata"].get("labels", {}) and is_ready(node)


def is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def node_address(node: Object) -> str:
    addresses: list[dict[str, Any]] = node.get("status", {}).get("addresses", [])
    return next((item["address"] for item in addresses if item["type"] == "InternalIP"), "")


def nodes_with_endpoints(service: Object, slices: Iterable[Object]) -> set[str]:
    meta = service["metadata"]
    ready = ready_endpoints(meta["namespace"], meta["name"], slices)
    return {endpoint["nodeName"] for endpoint in ready if endpoint.get("nodeName")}


def ready_endpoints(namespace: str, service: str, slices: Iterable[Object]) -> list[Object]:
    return [
        endpoint
        for piece in slices
        if piece["metadata"]["namespace"] == namespace
        and piece["metadata"].get("labels", {}).get(SERVICE_LABEL) == service
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True)
    ]
