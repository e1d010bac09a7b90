"""The pods that carry the load where it comes from inside the cluster: the pulse, a Locust master, and its workers.

They run in the namespace of the run, are chaoskit's own (never hit, nor the nodes that carry them), end by themselves,
and do nothing until they are talked with (`chaoskit/load/pod.py`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaoskit.model import OWN_LABEL, Raw, Right
from chaoskit.objects import HOSTNAME_LABEL, Objects, hopeless, name, namespace, phase, terminating, trouble, uid
from chaoskit.plan import Plan, run_labels, touches_cluster

PULSE, MASTER = "pulse", "locust"
WORKER = f"{MASTER}-"
"""A worker's name begins like that, and goes on with its number."""
ROLE_LABEL = "chaoskit.io/load"
CONTAINER = "load"
MEMORY, MOST_MEMORY = "128Mi", "1Gi"
SHARED = {"requests": {"cpu": "250m", "memory": MEMORY}, "limits": {"memory": MOST_MEMORY}}
CORE = {"cpu": "1", "memory": "256Mi"}
OF_ITS_OWN = {"requests": CORE, "limits": CORE}
"""The pulse must not be late. Its pod is of the class Guaranteed, which weighs most beside others; where the kubelet's
CPU manager has the policy `static`, the core is its own."""
SCRATCH = "1Gi"
"""For the recording of a load that lasts."""
NOBODY = 65532
OUTLIVES_S = 60.0
"""Beyond the load's own end, which the pods outlive if nobody takes them away."""


def manifests(plan: Plan, longest_s: float) -> dict[str, Raw]:
    """The pods, by whose process each is to carry. `longest_s`: how long the load lasts at most, once all run."""
    load = plan.experiment.load
    if load is None or not load.workers:
        return {}
    users = [MASTER, *(f"{WORKER}{n + 1}" for n in range(load.workers))] if plan.experiment.locustfile else []
    return {who: _pod(plan, who, longest_s) for who in (PULSE, *users)}


def rights(plan: Plan) -> tuple[Right, ...]:
    """What it takes to make them, to talk with them, and to take them away again."""
    if not plan.experiment.from_inside:
        return ()
    pods = (Right(verb, "", "pods", plan.namespace) for verb in ("get", "create", "delete"))
    talks = (Right(verb, "", "pods", plan.namespace, "exec") for verb in ("get", "create"))
    return (*pods, *talks)


def _pod(plan: Plan, who: str, longest_s: float) -> Raw:
    marks = {**run_labels(plan.run), OWN_LABEL: "true", ROLE_LABEL: who, "app.kubernetes.io/name": "chaoskit-load"}
    lasts = round(plan.experiment.app.ready_within + longest_s + OUTLIVES_S)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"chaoskit-{who}-{plan.run[-4:]}",
            "namespace": plan.namespace,
            "labels": marks,
            "annotations": _scraped(plan) if who == PULSE else {},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lasts,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "affinity": _affinity(plan, who),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(plan, who, lasts)],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}}],
        },
    }


def _container(plan: Plan, who: str, lasts: int) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": plan.load_image,
        "command": ["python3", "-m", "chaoskit.load.pod", "hold", str(lasts)],
        "ports": _ports(plan) if who == PULSE else [],
        "resources": OF_ITS_OWN if who == PULSE else SHARED,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
    }


def _affinity(plan: Plan, who: str) -> dict[str, Any]:
    """Where nodes are hit, the load stays on as few as it can, and with as few of the app's pods as it can: a node that
    carries it is none to be hit. Otherwise it spreads, the workers above all, so that no one machine limits it."""
    own, others = [_label(OWN_LABEL, "Exists")], [_label(OWN_LABEL, "DoesNotExist")]
    if touches_cluster(plan.experiment):
        return _preferred(together=[_beside(100, own)], apart=[_beside(50, others)])
    workers = [_label(ROLE_LABEL, "Exists"), _label(ROLE_LABEL, "NotIn", PULSE, MASTER)]
    more = [_beside(100, workers)] if who.startswith(WORKER) else []
    return _preferred(apart=[_beside(50, own), *more])


def _preferred(*, apart: Sequence[Raw], together: Sequence[Raw] = ()) -> dict[str, Any]:
    rules = {"podAntiAffinity": apart, "podAffinity": together}
    return {rule: {"preferredDuringSchedulingIgnoredDuringExecution": terms} for rule, terms in rules.items() if terms}


def _beside(weight: int, expressions: Sequence[Raw]) -> Raw:
    """On one node with such pods, if it can be."""
    term = {"labelSelector": {"matchExpressions": expressions}, "topologyKey": HOSTNAME_LABEL}
    return {"weight": weight, "podAffinityTerm": term}


def _label(key: str, operator: str, *values: str) -> Raw:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def found(wanted: Mapping[str, Raw], objects: Objects) -> dict[str, Raw]:
    """Those of the pods that are there."""
    pods = {who: objects.named("pod", name(pod), namespace(pod)) for who, pod in wanted.items()}
    return {who: pod for who, pod in pods.items() if pod is not None}


def late(wanted: Mapping[str, Raw], objects: Objects) -> str:
    """Which of them does not run yet, and why; empty once all do."""
    there = found(wanted, objects)
    for who, manifest in wanted.items():
        if who not in there:
            return f"pod/{name(manifest)} is not there"
        if not ip(there[who]):
            return f"pod/{name(manifest)}: {trouble(there[who]) or 'it does not run yet'}"
    return ""


def troubles(pods: Mapping[str, Raw], objects: Objects) -> Iterator[str]:
    """Which of them are gone or have ended, in Kubernetes' words."""
    there = found(pods, objects)
    for who, pod in pods.items():
        now = there.get(who)
        if now is None or uid(now) != uid(pod):
            yield f"pod/{name(pod)} was deleted"
        elif terminating(now):
            yield f"pod/{name(pod)} is being deleted"
        elif why := hopeless(now):
            yield f"pod/{name(pod)}: {why}"


def ip(pod: Raw) -> str:
    """The address of a pod that runs; empty before."""
    return str(pod["status"].get("podIP", "")) if phase(pod) == "Running" else ""


def metrics_address(plan: Plan) -> str:
    """Where a pulse in a pod serves chaoskit's metrics: on all of the pod's addresses, for they are nobody else's."""
    port = _port(plan)
    return f"0.0.0.0:{port}" if port else ""


def _port(plan: Plan) -> str:
    return plan.metrics_address.rpartition(":")[2]


def _scraped(plan: Plan) -> dict[str, str]:
    """For a Prometheus that goes by annotations."""
    return {"prometheus.io/scrape": "true", "prometheus.io/port": _port(plan)} if _port(plan) else {}


def _ports(plan: Plan) -> list[dict[str, Any]]:
    """For one that goes by PodMonitors."""
    return [{"name": "metrics", "containerPort": int(_port(plan))}] if _port(plan) else []
