"""Disruption budgets: how many pods may be evicted now. After pkg/controller/disruption/disruption.go and
pkg/registry/core/pod/storage/eviction.go."""

from __future__ import annotations

from chaoskit import objects
from chaoskit.adapters.fake.selectors import matches
from chaoskit.adapters.fake.status import active, share_of
from chaoskit.adapters.fake.store import Object, Store
from chaoskit.model import Raw


def status(store: Store, budget: Raw) -> Object:
    """The budget's status, as it is at this moment."""
    pods = _pods(store, budget)
    healthy = sum(1 for p in pods if objects.ready(p))
    expected = _expected(store, pods)
    desired = _desired(budget["spec"], expected)
    return {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": max(0, healthy - desired) if expected else 0,
        "observedGeneration": budget["metadata"]["generation"],
    }


def refusal(store: Store, pod: Raw) -> str:
    """Why a budget refuses the pod's eviction now, in the API's words, or empty."""
    for budget in store.all("poddisruptionbudget", objects.namespace(pod)):
        if not _covers(budget, pod) or not pod.get("status", {}).get("podIP"):
            continue
        now = status(store, budget)
        if not objects.ready(pod) and _lets_unready_go(budget, now):
            continue
        if now["disruptionsAllowed"] < 1:
            return (
                f"The disruption budget {objects.name(budget)} needs {now['desiredHealthy']} healthy pods "
                f"and has {now['currentHealthy']} currently"
            )
    return ""


def _covers(budget: Raw, pod: Raw) -> bool:
    return matches(budget["spec"].get("selector"), objects.labels(pod))


def _lets_unready_go(budget: Raw, now: Raw) -> bool:
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    return bool(now["currentHealthy"] >= now["desiredHealthy"] > 0)


def _pods(store: Store, budget: Raw) -> list[Object]:
    return [p for p in store.all("pod", objects.namespace(budget)) if _covers(budget, p)]


def _expected(store: Store, pods: list[Object]) -> int:
    """The sizes that the pods' controllers want, and the pods that have none."""
    sizes: dict[str, int] = {}
    for pod in pods:
        kind, uid = objects.controller(pod)
        owner = next((o for o in store.all(kind, objects.namespace(pod)) if objects.uid(o) == uid), None)
        if owner is None:
            sizes[objects.uid(pod)] = 1 if active(pod) else 0
        else:
            top = _top(store, owner)
            sizes[objects.uid(top)] = int(top["spec"].get("replicas", 1))
    return sum(sizes.values())


def _top(store: Store, owner: Object) -> Object:
    """A ReplicaSet's Deployment, where it has one."""
    kind, uid = objects.controller(owner)
    found = (o for o in store.all(kind, objects.namespace(owner)) if objects.uid(o) == uid)
    return next(found, owner)


def _desired(spec: Raw, expected: int) -> int:
    if "maxUnavailable" in spec:
        return max(0, expected - share_of(spec["maxUnavailable"], expected, up=True))
    return share_of(spec.get("minAvailable", 1), expected, up=True)
