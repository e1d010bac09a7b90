"""A first experiment for an app that is there: what its Deployment, Service, autoscaler and budget say, as a file.

Reading is through the Cluster port; what is written is a text with comments, that its reader is meant to change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chaoskit import units
from chaoskit.errors import NotFoundError, UsageError
from chaoskit.model import OPT_IN_LABEL, Raw
from chaoskit.objects import matches, name, selects
from chaoskit.ports import Cluster

RESERVE_S = 20.0
"""For scheduling, pulling what is there already, and the endpoints: beyond what the app itself asks for."""
SHORTEST_WITHIN_S = 30.0
ROUND_TO_S = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A Deployment and what goes with it."""

    deployment: Raw
    service: Raw | None
    scaler: Raw | None
    budget: Raw | None

    @property
    def pod(self) -> Any:  # noqa: ANN401 - a pod's spec
        return self.deployment["spec"]["template"]["spec"]

    @property
    def replicas(self) -> int:
        """As many as there are at least: an autoscaler's minimum counts."""
        least = int(self.scaler["spec"].get("minReplicas", 1)) if self.scaler else None
        return least if least is not None else int(self.deployment["spec"].get("replicas", 1))

    @property
    def probed(self) -> bool:
        return all(container.get("readinessProbe") for container in self.pod["containers"])


def find(cluster: Cluster, deployment: str, namespace: str) -> Found:
    """UsageError if there is no such Deployment."""
    try:
        there = cluster.get("deployment", deployment, namespace)
    except NotFoundError as error:
        raise UsageError(
            f"there is no deployment/{deployment} in namespace {namespace}",
            fix=f"kubectl get deployments -n {namespace}",
        ) from error
    has = there["spec"]["template"]["metadata"].get("labels") or {}
    services = cluster.list("service", namespace)
    scalers = cluster.list("horizontalpodautoscaler", namespace)
    budgets = cluster.list("poddisruptionbudget", namespace)
    return Found(
        there,
        _reached([s for s in services if selects(s["spec"].get("selector") or {}, has)]),
        next((s for s in scalers if _scales(s, deployment)), None),
        next((b for b in budgets if matches(b["spec"].get("selector") or {}, has)), None),
    )


def _reached(services: Sequence[Raw]) -> Raw | None:
    """The Service that users most likely come by: one with an address of its own, if there is one."""
    return min(services, key=lambda s: (s["spec"].get("type") != "LoadBalancer", name(s)), default=None)


def _scales(scaler: Raw, deployment: str) -> bool:
    target = scaler["spec"]["scaleTargetRef"]
    return bool(target["kind"] == "Deployment" and target["name"] == deployment)


def write(found: Found, namespace: str) -> str:
    """The experiment's text."""
    called = name(found.deployment)
    within = _within_s(found)
    lines = [
        f"# What deployment/{called} promises, as it stands in namespace {namespace}. Read it, change it, then:",
        f"#   kubectl label namespace {namespace} {OPT_IN_LABEL}=true    its owner agrees to its being broken",
        "#   chaoskit plan FILE --context CONTEXT                        who would be hit; touches nothing",
        "#   chaoskit run FILE --context CONTEXT",
        *(f"# Mind: {doubt}" for doubt in _doubts(found)),
        f"name: {called} survives losing a pod",
        "why: Pods end all the time, with nodes, rollouts and evictions. Users must not notice.",
        *_app(found, namespace),
        "# Only the pulse, a request every 10 ms. For users of your own: locustfile: users.py, users: 50",
        "load: {locustfile: none}",
        "steady_state: {hold: [pulse_failures < 1%], for: 10s}",
        "steps:",
        "  - name: lose a pod",
        f"    kill_pod: {{of: deployment/{called}}}    # deleted as kubectl does; mode: now leaves it no time at all",
        f"    watch: {units.write_duration(within + 10)}",
        *_drain(found, called, within),
        "expect:",
        f"  - recovery: {{of: lose a pod, within: {units.write_duration(within)}}}    # {_why_within(found)}",
        "  - outage: {of: lose a pod, at_most: 1s}",
        *(["  - outage: {of: drain a node, at_most: 1s}"] if found.budget else []),
        "  - steady_state: {}",
        f"safety: {{keep_ready: {_keep_ready(found)}, at_most: 34%}}    # {_why_keep(found)}",
    ]
    return "\n".join(lines) + "\n"


def _app(found: Found, namespace: str) -> Iterator[str]:
    where = f"namespace: {namespace}"
    if found.service is None:
        yield "# No Service selects its pods: say where its users reach it."
        yield f"app: {{{where}, url: 'http://app.example.org'}}"
        return
    port = int(found.service["spec"]["ports"][0]["port"])
    reached = f"{where}, service: {name(found.service)}, port: {port}"
    kind = found.service["spec"].get("type", "ClusterIP")
    if kind == "LoadBalancer":
        yield f"app: {{{reached}}}"
        return
    yield f"# A {kind} Service has no address of its own outside: say where its users reach it."
    yield f"app: {{{reached}, url: 'http://app.example.org'}}"


def _drain(found: Found, called: str, within: float) -> Iterator[str]:
    if found.budget:
        yield "  - name: drain a node"
        yield f"    drain_node: {{of: deployment/{called}}}    # asks the budget {name(found.budget)} for each pod"
        yield f"    watch: {units.write_duration(within + 10)}"


def _doubts(found: Found) -> Iterator[str]:
    """What will most likely not hold."""
    if found.replicas < 2:
        yield f"there is {units.count(found.replicas, 'replica')}: what ends it is an outage until the next is ready"
    if not found.probed:
        yield "a container has no readinessProbe: users reach pods that cannot answer yet"
    if found.budget is None:
        yield "no PodDisruptionBudget selects its pods: a drain may take all of them at once"
    if found.scaler:
        low, high = found.replicas, found.scaler["spec"]["maxReplicas"]
        yield f"hpa/{name(found.scaler)} scales it between {low} and {high}: a load that moves is worth a file too"


def _within_s(found: Found) -> float:
    """How long a replacement may take by what the manifest itself allows."""
    longest = max((_probing_s(c) for c in found.pod["containers"]), default=0.0)
    return math.ceil(max(SHORTEST_WITHIN_S, longest + RESERVE_S) / ROUND_TO_S) * float(ROUND_TO_S)


def _probing_s(container: Any) -> float:  # noqa: ANN401 - a container
    probe, start = container.get("readinessProbe") or {}, container.get("startupProbe") or {}
    ready = float(probe.get("initialDelaySeconds", 0)) + float(probe.get("periodSeconds", 10))
    return ready + float(start.get("initialDelaySeconds", 0)) + float(start.get("periodSeconds", 10) if start else 0)


def _why_within(found: Found) -> str:
    return "the probes' own periods, and what scheduling and starting take" if found.probed else "no probe says when"


def _keep_ready(found: Found) -> int:
    """What the budget keeps, if it says so as a number; else all but one."""
    least = found.budget["spec"].get("minAvailable") if found.budget else None
    return least if isinstance(least, int) else max(0, found.replicas - 1)


def _why_keep(found: Found) -> str:
    if found.budget and isinstance(found.budget["spec"].get("minAvailable"), int):
        return f"as the budget {name(found.budget)} does"
    return f"of {units.count(found.replicas, 'replica')}"
