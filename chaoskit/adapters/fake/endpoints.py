"""Endpoint slices: which pods a Service sends requests to. Pure; after k8s.io/endpointslice/utils.go."""

from __future__ import annotations

from collections.abc import Mapping

from chaoskit import objects
from chaoskit.adapters.fake.status import finished
from chaoskit.adapters.fake.store import Object
from chaoskit.model import Raw

SERVICE_LABEL = "kubernetes.io/service-name"


def endpoints(service: Raw, pods: list[Object], zones: Mapping[str, str]) -> list[Object]:
    """The endpoints of the pods that a Service selects, by name; `zones` gives each node's."""
    anyway = bool(service["spec"].get("publishNotReadyAddresses"))
    having = [p for p in pods if p.get("status", {}).get("podIP") and not finished(p)]
    return [_endpoint(p, zones, anyway) for p in sorted(having, key=objects.name)]


def _endpoint(pod: Raw, zones: Mapping[str, str], anyway: bool) -> Object:
    serving, node = objects.condition(pod, "Ready"), objects.node_of(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": anyway or objects.ready(pod),
            "serving": serving,
            "terminating": objects.terminating(pod),
        },
        "nodeName": node,
        "zone": zones.get(node, ""),
        "targetRef": {
            "kind": "Pod",
            "name": objects.name(pod),
            "namespace": objects.namespace(pod),
            "uid": objects.uid(pod),
        },
    }


def slice_of(service: Raw, metadata: Object, found: list[Object]) -> Object:
    ports = [
        {"name": p.get("name", ""), "port": p.get("targetPort", p["port"]), "protocol": p.get("protocol", "TCP")}
        for p in service["spec"].get("ports") or ()
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": found,
        "ports": ports,
    }


def routed(endpoint: Raw) -> bool:
    """Whether new connections go there (kube-proxy: ready ones; the fallback to serving ones is `fallback`)."""
    return bool(endpoint["conditions"]["ready"])


def fallback(endpoint: Raw) -> bool:
    """With no ready endpoint left, kube-proxy uses those that still serve while they end (KEP-1669)."""
    return bool(endpoint["conditions"]["serving"] and endpoint["conditions"]["terminating"])


def backends(slices: list[Object]) -> tuple[str, ...]:
    """UIDs of the pods that get new connections by these slices."""
    found = [e for piece in slices for e in piece["endpoints"]]
    chosen = [e for e in found if routed(e)] or [e for e in found if fallback(e)]
    return tuple(str(e["targetRef"]["uid"]) for e in chosen)
