"""Reading raw Kubernetes objects: whose pod this is, whether it is ready, what a selector selects. Pure.

`Objects` is the present state as a stream of watch events tells it; plan, engine and evidence all look at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from chaoskit.model import GAP, GONE, Raw, Ref, WatchEvent

WORKLOADS = ("deployment", "statefulset", "daemonset", "replicaset")
WATCHED = (
    "pod",
    "node",
    "endpointslice",
    "service",
    "deployment",
    "replicaset",
    "statefulset",
    "daemonset",
    "horizontalpodautoscaler",
    "persistentvolumeclaim",
    "poddisruptionbudget",
    "event",
)
"""What the engine watches during a run."""
LOAD, LOCUST_USERS = "load", "locust"
"""Kind, name and UID of what stands for Locust's users among the objects: its `status` is what Locust said last."""
SERVER = "server"
"""The kind of what stands for a program of the platform (`kube-scheduler`, `kubelet@node1`); its UID is its name."""
PLATFORM_NAMESPACE = "kube-system"
HOSTNAME_LABEL, ZONE_LABEL = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
HOPELESS = (
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Reasons of the kubelet that waiting does not mend."""


class Objects:
    """The objects of a cluster by kind and UID, kept by watch events or filled from lists."""

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, Raw]] = {}

    def take(self, event: WatchEvent) -> None:
        if event.change == GAP:
            return
        known = self._by_kind.setdefault(event.kind, {})
        if event.change == GONE:
            known.pop(uid(event.object), None)
        else:
            known[uid(event.object)] = event.object

    def put(self, kind: str, objects: Iterable[Raw]) -> None:
        self._by_kind[kind] = {uid(o): o for o in objects}

    def all(self, kind: str) -> list[Raw]:
        """Ordered by namespace and name, so that whoever chooses among them chooses the same for the same seed."""
        return sorted(self._by_kind.get(kind, {}).values(), key=lambda o: (namespace(o), name(o)))

    def by_uid(self, kind: str, wanted: str) -> Raw | None:
        return self._by_kind.get(kind, {}).get(wanted)

    def named(self, kind: str, wanted: str, within: str = "") -> Raw | None:
        for o in self._by_kind.get(kind, {}).values():
            if name(o) == wanted and (not within or namespace(o) == within):
                return o
        return None

    def pods_of(self, ref: Ref, within: str) -> list[Raw] | None:
        """The pods that a workload or Service selects, terminating ones too; None if there is no such object."""
        owner = self.named(ref.kind, ref.name, within)
        if owner is None:
            return None
        if ref.kind == "pod":
            return [owner]
        selector = owner["spec"].get("selector")
        if not selector:
            return []
        wanted = {"matchLabels": selector} if ref.kind == "service" else selector
        return [p for p in self.all("pod") if namespace(p) == within and matches(wanted, labels(p))]

    def pods_on(self, node: str) -> list[Raw]:
        return [p for p in self.all("pod") if node_of(p) == node]


def uid(o: Raw) -> str:
    return str(o["metadata"].get("uid", ""))


def name(o: Raw) -> str:
    return str(o["metadata"].get("name", ""))


def namespace(o: Raw) -> str:
    return str(o["metadata"].get("namespace", ""))


def labels(o: Raw) -> Mapping[str, str]:
    found: Mapping[str, str] = o["metadata"].get("labels") or {}
    return found


def annotation(o: Raw, key: str) -> str:
    """The annotation's text, or empty."""
    return str((o["metadata"].get("annotations") or {}).get(key, ""))


def node_of(pod: Raw) -> str:
    return str(pod.get("spec", {}).get("nodeName") or "")


def selects(wanted: Mapping[str, str], has: Mapping[str, str]) -> bool:
    """Equality-based selection. An empty selector selects nothing: nobody is hit by having said nothing."""
    return bool(wanted) and all(has.get(key) == value for key, value in wanted.items())


def matches(selector: Raw, has: Mapping[str, str]) -> bool:
    """A LabelSelector, as workloads have it: `matchLabels` and `matchExpressions`. An empty one selects nothing."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    said = bool(wanted or expressions)
    return said and (not wanted or selects(wanted, has)) and all(_fits(e, has) for e in expressions)


def _fits(expression: Raw, has: Mapping[str, str]) -> bool:
    """One requirement (apimachinery, labels.Requirement.Matches); an unknown operator fits nothing."""
    value, values = has.get(expression["key"]), expression.get("values") or ()
    return {
        "In": value is not None and value in values,
        "NotIn": value is None or value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression["operator"], False)


def condition(o: Raw, kind: str) -> bool:
    """Whether the object's status carries the condition `kind` with status True."""
    found = (c for c in o.get("status", {}).get("conditions") or () if c.get("type") == kind)
    return any(c.get("status") == "True" for c in found)


def terminating(o: Raw) -> bool:
    return bool(o["metadata"].get("deletionTimestamp"))


def ready(pod: Raw) -> bool:
    """Ready and not on its way out: what a Service would send requests to."""
    return condition(pod, "Ready") and not terminating(pod)


def scheduled(pod: Raw) -> bool:
    return bool(node_of(pod))


def started(pod: Raw) -> bool:
    """Every container of it runs."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return bool(statuses) and all("running" in (s.get("state") or {}) for s in statuses)


def restarts(pod: Raw) -> int:
    return sum(int(s.get("restartCount", 0)) for s in pod.get("status", {}).get("containerStatuses") or ())


def container_status(pod: Raw, container: str) -> Raw | None:
    """The status of a container; of the first where no name is given."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        if not container or status.get("name") == container:
            found: Raw = status
            return found
    return None


def controller(o: Raw) -> tuple[str, str]:
    """(kind in lower case, UID) of the object that controls this one; empty texts if none does."""
    for owner in o["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["kind"]).lower(), str(owner["uid"])
    return "", ""


def ready_endpoints(slices: Iterable[Raw]) -> Iterator[str]:
    """UIDs of the pods that get new connections by these endpoint slices."""
    for piece in slices:
        for endpoint in piece.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                yield str((endpoint.get("targetRef") or {}).get("uid", ""))


def created_unix(o: Raw) -> float | None:
    """Creation in Unix seconds, to the whole second, as the API server stamps it."""
    stamp = o["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp() if stamp else None


def trouble(pod: Raw) -> str:
    """Why a pod does not run, in the kubelet's words (`ImagePullBackOff: …`), or empty."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in ("ContainerCreating", "PodInitializing"):
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition_ in pod.get("status", {}).get("conditions") or ():
        if condition_.get("type") == "PodScheduled" and condition_.get("status") == "False":
            return f"{condition_.get('reason', '')}: {condition_.get('message', '')}"
    return ""


def phase(pod: Raw) -> str:
    """Of a pod: Pending, Running, Succeeded, Failed or Unknown; empty before the kubelet knows it."""
    return str((pod.get("status") or {}).get("phase", ""))


def hopeless(pod: Raw) -> str:
    """Why a pod will never be ready, or empty. A failed one without a controller is started by nobody again."""
    if not controller(pod)[1] and phase(pod) == "Failed":
        status = pod["status"]
        return ": ".join(["it has failed", *(str(status[k]) for k in ("reason", "message") if status.get(k))])
    why = trouble(pod)
    return why if why.split(":", maxsplit=1)[0] in HOPELESS else ""
