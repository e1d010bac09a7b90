"""Whether a deployed app is ready, and by which address its users reach it. Pure."""

from __future__ import annotations

from chaoskit.errors import ClusterError
from chaoskit.model import Raw
from chaoskit.objects import Objects, name, namespace, ready, ready_endpoints, trouble
from chaoskit.spec import App

HOPELESS = (
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Reasons of the kubelet that waiting does not mend."""


def unready(objects: Objects, within: str) -> tuple[str, bool]:
    """(what is not ready yet, or empty; whether waiting is useless)."""
    for pod in _in(objects, "pod", within):
        why = trouble(pod)
        if why.split(":", maxsplit=1)[0] in HOPELESS:
            return f"pod/{name(pod)}: {why}", True
    for kind in ("deployment", "statefulset"):
        for workload in _in(objects, kind, within):
            if why := _behind(workload):
                return f"{kind}/{name(workload)}: {why}{_first_trouble(objects, within)}", False
    for service in _in(objects, "service", within):
        if why := _unserved(objects, service):
            return f"service/{name(service)}: {why}", False
    if not _in(objects, "pod", within):
        return "there is no pod yet", False
    return "", False


def address_of(service: Raw | None, app: App) -> str:
    """The base URL of a Service for the load. ClusterError says what to do if it has none."""
    fix = "give the app's address as app.url, or name the Service that users reach as app.service"
    if service is None:
        raise ClusterError(f"there is no Service called {app.service}", fix=fix)
    ports = [int(p["port"]) for p in service["spec"].get("ports") or ()]
    if app.port not in ports:
        raise ClusterError(
            f"service/{app.service} has no port {app.port}", why=f"its ports are {ports}", fix="set app.port"
        )
    for ingress in (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or ():
        host = ingress.get("ip") or ingress.get("hostname")
        if host:
            return f"http://{host}:{app.port}"
    raise ClusterError(f"service/{app.service} has no address that the load can reach", fix=fix)


def _in(objects: Objects, kind: str, within: str) -> list[Raw]:
    return [o for o in objects.all(kind) if namespace(o) == within]


def _behind(workload: Raw) -> str:
    status, spec = workload.get("status") or {}, workload["spec"]
    wanted = int(spec.get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < int(workload["metadata"].get("generation", 0)):
        return "its controller has not seen it yet"
    have = int(status.get("readyReplicas", 0))
    return f"{have} of {wanted} pods are ready" if have < wanted else ""


def _first_trouble(objects: Objects, within: str) -> str:
    for pod in _in(objects, "pod", within):
        if not ready(pod) and (why := trouble(pod)):
            return f" (pod/{name(pod)}: {why})"
    return ""


def _unserved(objects: Objects, service: Raw) -> str:
    if not service["spec"].get("selector"):
        return ""
    mine = [
        s
        for s in _in(objects, "endpointslice", namespace(service))
        if (s["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name(service)
    ]
    if not any(True for _ in ready_endpoints(mine)):
        return "no endpoint is ready"
    waits = service["spec"].get("type") == "LoadBalancer"
    if waits and not (service.get("status", {}).get("loadBalancer") or {}).get("ingress"):
        return "its load balancer has no address yet"
    return ""
