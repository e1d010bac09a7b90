"""Short manifests for tests: what a workload, a Service and a budget need, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

APP_LABEL = "app.kubernetes.io/name"


def namespace(name: str, labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}}


def deployment(name: str, replicas: int = 3, *, probe: bool = True, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """`probe`: whether it has a readiness probe; `spec`: further keys of the Deployment's spec."""
    return _workload("Deployment", name, replicas, probe, spec)


def statefulset(name: str, replicas: int = 1, *, probe: bool = True, **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    return _workload("StatefulSet", name, replicas, probe, {"serviceName": name, **spec})


def daemonset(name: str) -> dict[str, Any]:
    workload = _workload("DaemonSet", name, 0, True, {})
    del workload["spec"]["replicas"]
    return workload


def service(name: str, of: str = "", kind: str = "ClusterIP") -> dict[str, Any]:
    """A Service over the pods of a workload (`of`: one of another name)."""
    spec = {"type": kind, "selector": {APP_LABEL: of or name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def budget(name: str, **spec: int | str) -> dict[str, Any]:
    """A PodDisruptionBudget over a workload's pods: `minAvailable` or `maxUnavailable`."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {APP_LABEL: name}}, **spec},
    }


def _workload(kind: str, name: str, replicas: int, probe: bool, spec: Mapping[str, Any]) -> dict[str, Any]:
    labels = {APP_LABEL: name}
    container: dict[str, Any] = {"name": name, "image": f"localhost/{name}:1"}
    if probe:
        container["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }
