"""Whether a deployed app is ready, and by which address its users reach it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from chaoskit.errors import ClusterError
from chaoskit.model import Raw
from chaoskit.objects import (
    Objects,
    controller,
    hopeless,
    name,
    namespace,
    phase,
    ready,
    ready_endpoints,
    terminating,
    trouble,
)
from chaoskit.spec import App

COUNTED = ("deployment", "replicaset", "statefulset", "daemonset")
"""Kinds that say themselves how many of their pods are ready. All other pods are looked at one by one."""


def unready(objects: Objects, within: str) -> tuple[str, bool]:
    """(what is not ready yet, or empty; whether waiting is useless)."""
    for pod in _in(objects, "pod", within):
        if why := hopeless(pod):
            return f"pod/{name(pod)}: {why}", True
    waiting = (*_workloads(objects, within), *_single_pods(objects, within), *_services(objects, within))
    if waiting:
        return waiting[0], False
    if not _in(objects, "pod", within):
        return "there is no pod yet", False
    return "", False


def _workloads(objects: Objects, within: str) -> Iterator[str]:
    for kind in COUNTED:
        for workload in _in(objects, kind, within):
            # A Deployment's own ReplicaSets are its business: old ones, and ones under way.
            if not controller(workload)[1] and (why := _behind(workload, kind)):
                yield f"{kind}/{name(workload)}: {why}{_first_trouble(objects, within)}"


def _single_pods(objects: Objects, within: str) -> Iterator[str]:
    """Pods of nobody, of Jobs, and of controllers of other kinds. One that has ended well has done its work; of one
    that failed its controller may start another, which then counts."""
    found = [p for p in _in(objects, "pod", within) if controller(p)[0] not in COUNTED and not terminating(p)]
    good = {controller(p)[1] for p in found if _is_good(p)}
    for pod in found:
        failed = phase(pod) == "Failed"
        if not _is_good(pod) and not (failed and controller(pod)[1] in good):
            yield f"pod/{name(pod)}: {'it has failed' if failed else trouble(pod) or 'it is not ready'}"


def _is_good(pod: Raw) -> bool:
    return ready(pod) or phase(pod) == "Succeeded"


def _services(objects: Objects, within: str) -> Iterator[str]:
    for service in _in(objects, "service", within):
        if why := _unserved(objects, service):
            yield f"service/{name(service)}: {why}"


def address_of(service: Raw | None, app: App, *, inside: bool = False) -> str:
    """The base URL of a Service for the load. ClusterError says what to do if it has none. `inside`: the load runs in
    the cluster, where a Service's own address leads to it."""
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
    own = str(service["spec"].get("clusterIP") or "None")
    if inside and own != "None":  # A headless Service's is called so.
        return f"http://[{own}]:{app.port}" if ":" in own else f"http://{own}:{app.port}"
    raise ClusterError(f"service/{app.service} has no address that the load can reach", fix=fix)


def _in(objects: Objects, kind: str, within: str) -> list[Raw]:
    return [o for o in objects.all(kind) if namespace(o) == within]


def _behind(workload: Raw, kind: str) -> str:
    status, spec = workload.get("status") or {}, workload["spec"]
    if int(status.get("observedGeneration", 0)) < int(workload["metadata"].get("generation", 0)):
        return "its controller has not seen it yet"
    if kind == "daemonset":
        wanted, have = int(status.get("desiredNumberScheduled", 0)), int(status.get("numberReady", 0))
    else:
        wanted, have = int(spec.get("replicas", 1)), int(status.get("readyReplicas", 0))
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
