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


def ports(service: Raw, pods: list[Object]) -> list[Object]:
    """The ports of the slice; a target that is named is looked up in a pod's containers."""
    named = {
        port["name"]: port["containerPort"]
        for pod in pods[:1]
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
        if "name" in port
    }
    return [
        {
            "name": port.get("name", ""),
            "port": named.get(port.get("targetPort"), port.get("targetPort", port["port"])),
            "protocol": port.get("protocol", "TCP"),
        }
        for port in service["spec"].get("ports") or ()
    ]


def slice_of(metadata: Object) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [],
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
