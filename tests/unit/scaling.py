"""What the watch tells of a Deployment and its autoscaler, with known answers."""

from __future__ import annotations

from streams import NS, endpoints, life, pod, seen

from chaoskit.evidence_scaling import HPA


def workload(at, number, *, first=False):
    return seen(
        at,
        {
            "metadata": {"name": "front", "namespace": NS, "uid": "d-1"},
            "spec": {"replicas": number, "selector": {"matchLabels": {"app": "front"}}},
        },
        "deployment",
        first=first,
    )


def autoscaler(
    at,
    found,
    wanted,
    cpu,
    *,
    target=60,
    least=1,
    most=8,
    down_s=15,
    up_s=0,
    up=None,
    up_by="Max",
    behaviour=True,
    trouble="",
):
    """A status of the front's autoscaler: `found` replicas, `wanted` ones, CPU in percent (None: it read none)."""
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}}
    read = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": cpu}}}]
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": "front"},
        "minReplicas": least,
        "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": resource}],
    }
    if behaviour:
        policies = up or [{"type": "Pods", "value": 1000, "periodSeconds": 15}]
        spec["behavior"] = {
            "scaleUp": {"stabilizationWindowSeconds": up_s, "selectPolicy": up_by, "policies": policies},
            "scaleDown": {"stabilizationWindowSeconds": down_s},
        }
    active = {"type": "ScalingActive", "status": "True"}
    if trouble:
        active = {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": trouble}
    status = {"currentReplicas": found, "desiredReplicas": wanted, "conditions": [active]}
    if cpu is not None:
        status["currentMetrics"] = read
    meta = {"name": "front", "namespace": NS, "uid": "h-1"}
    return seen(at, {"metadata": meta, "spec": spec, "status": status}, HPA)


def replicas(number):
    """Old ones, there from the start."""
    return [seen(0.0, pod(f"front-{n}"), first=True) for n in range(1, number + 1)]


SHOP = (workload(0.0, 2, first=True),)


def grown(at=12.0):
    """A third replica comes, after a decision at `at`, and serves 1.3 s later."""
    return [
        *SHOP,
        *replicas(2),
        endpoints(0.0, "front-1", "front-2", first=True),
        autoscaler(0.0, 2, 2, 50),
        autoscaler(8.0, 2, 2, 51),
        workload(at, 3),
        autoscaler(at + 0.05, 2, 3, 80),
        *life("front-3", at + 0.1),
        endpoints(at + 1.3, "front-1", "front-2", "front-3"),
        autoscaler(at + 2.0, 3, 3, 55),
    ]


__all__ = ["SHOP", "autoscaler", "grown", "replicas", "workload"]
