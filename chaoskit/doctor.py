"""Whether experiments can be run on a cluster and judged: reach, rights, metrics, images, Prometheus, clocks. Each is ✓
or ✗, and beside a ✗ stands what to type. Nothing is changed by looking.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaoskit import heal, objects, plan
from chaoskit.errors import ForbiddenError, NotFoundError, PortError
from chaoskit.model import Raw, Right
from chaoskit.plan import Plan
from chaoskit.ports import Cluster, Metrics
from chaoskit.units import count, show

AUTOSCALER = "HorizontalPodAutoscaler"
METRICS_API = "v1beta1.metrics.k8s.io"
EXPORTERS = {"kube-state-metrics": "kube_pod_info", "cAdvisor": "container_cpu_usage_seconds_total"}
"""By what each is called, a series that tells of it."""
DOWN = 'up{job!="chaoskit"} == 0'
"""Our own is there only while a run is on."""
LOOKS, PAUSE_S = 40, 0.05
"""A clock that shows whole seconds is seen to turn within these."""
MOST_IMAGES = 50
"""A kubelet tells of no more, by default (nodeStatusMaxImages)."""
API_SKEW_S = 1.0
"""Objects carry whole seconds: less is not seen."""


@dataclass(frozen=True, slots=True)
class Look:
    """One thing looked at. `good` is None where it is not needed, or cannot be told."""

    what: str
    good: bool | None
    said: str
    fix: str = ""

    @property
    def mark(self) -> str:
        return {True: "✓", False: "✗", None: "?"}[self.good]


@dataclass(frozen=True, slots=True)
class Clock:
    """Another machine's clock, in Unix seconds, to so many seconds; asking it raises a PortError."""

    ask: Callable[[], float]
    resolution_s: float


@dataclass(frozen=True)
class Doctor:
    """Looks at a cluster for what some experiments need; with none, for what all of them do."""

    cluster: Cluster
    metrics: Metrics | None
    plans: Sequence[Plan] = ()
    api_clock: Clock | None = None
    prometheus_clock: Clock | None = None
    kubectl: str = "kubectl"
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def looks(self) -> Iterator[Look]:
        """The longest waits come last. What one look cannot answer keeps no other from its turn."""
        for look in (self._reach, self._rights, self._resource_metrics, self._images, self._prometheus, self._clocks):
            try:
                yield from look()
            except PortError as error:
                yield Look(look.__name__.strip("_"), None, str(error).splitlines()[0], error.fix)

    # ── the cluster ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _reach(self) -> Iterator[Look]:
        info = self.cluster.info()
        yield Look("reach", True, f"{info.provider} {info.context} answers: {info.version}, {_nodes(info.nodes)}")
        try:
            lame = [objects.name(node) for node in self.cluster.list("node") if not objects.condition(node, "Ready")]
        except ForbiddenError:
            return
        if lame:
            yield Look("nodes", False, f"not ready: {', '.join(lame)}", f"{self.kubectl} describe node {lame[0]}")

    def _rights(self) -> Iterator[Look]:
        asked = dict.fromkeys(right for planned in self.plans for right in heal.rights(planned))
        missing = [right for right in asked if not self.cluster.allowed(right)]
        if not missing:
            yield Look("rights", True, f"all {len(asked)} that are needed")
        for (verbs, right), fix in ((one, self._grant(*one)) for one in _by_resource(missing)):
            yield Look("rights", False, f"missing: {','.join(verbs)} {str(right).partition(' ')[2]}", fix)

    def _grant(self, verbs: Sequence[str], right: Right) -> str:
        """What an administrator types. kubectl writes a resource as plural.group/subresource."""
        resource = f"{right.resource}.{right.group}" if right.group else right.resource
        resource += f"/{right.subresource}" if right.subresource else ""
        name = f"chaoskit-{'-'.join(filter(None, (right.resource, right.subresource)))}"
        kind, where = ("role", f" -n {right.namespace}") if right.namespace else ("clusterrole", "")
        verb = ",".join(verbs)
        made = f"{self.kubectl} create {kind} {name}{where} --verb={verb} --resource={resource}"
        return f"{made} && {self.kubectl} create {kind}binding {name}{where} --{kind}={name} --user=USER"

    def _resource_metrics(self) -> Iterator[Look]:
        scaled = [p.experiment.name for p in self.plans if any(m["kind"] == AUTOSCALER for m in p.manifests)]
        try:
            good = objects.condition(self.cluster.get("apiservice", METRICS_API), "Available")
        except NotFoundError:
            good = False
        except ForbiddenError:
            yield Look("metrics", None, f"may not be looked at ({METRICS_API}); autoscalers need it")
            return
        if good:
            yield Look("metrics", True, f"{METRICS_API} is served, which autoscalers read")
        else:
            why = f"“{scaled[0]}” has an autoscaler" if scaled else "only experiments with autoscalers need it"
            fix = f"{self.kubectl} describe apiservice {METRICS_API}; install metrics-server"
            yield Look("metrics", False if scaled else None, f"{METRICS_API} is not served; {why}", fix)

    def _images(self) -> Iterator[Look]:
        manifests = (manifest for planned in self.plans for manifest in planned.manifests)
        policies = dict(pair for manifest in manifests for pod in _pod_specs(manifest) for pair in _policies(pod))
        nodes = [node for node in self.cluster.list("node") if _takes_pods(node)]
        stored = {objects.name(node): _stored(node) for node in nodes}
        for image, policy in policies.items():
            yield _image(image, policy, stored)

    # ── Prometheus ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _prometheus(self) -> Iterator[Look]:
        fix = "chaoskit doctor --context NAME --prometheus URL"
        if self.metrics is None:
            good = False if any(plan.asks_prometheus(p.experiment) for p in self.plans) else None
            yield Look("Prometheus", good, "none is named; experiments with metrics need one", fix)
            return
        if error := self.metrics.instant("vector(1)", self.wall()).error:
            yield Look("Prometheus", False, f"does not answer: {error}", fix)
            return
        yield Look("Prometheus", True, f"answers; scrapes every {show(self.metrics.scrape_interval(), 's')}")
        yield from self._targets()
        for name, series in EXPORTERS.items():
            yield self._exporter(name, series)

    def _targets(self) -> Iterator[Look]:
        if down := self._number(f"count({DOWN})"):
            yield Look("targets", None, f"{count(int(down), 'target')} cannot be scraped", f"ask Prometheus: {DOWN}")

    def _exporter(self, name: str, series: str) -> Look:
        if found := self._number(f"count({series})"):
            return Look(name, True, f"{int(found):,} series of {series}")
        return Look(name, None, f"no series {series}; queries on it have no data", f"have Prometheus scrape {name}")

    def _number(self, query: str) -> float:
        assert self.metrics is not None  # noqa: S101 - looked at before
        answer = self.metrics.instant(query, self.wall())
        return sum(series.points[-1][1] for series in answer.series if series.points)

    # ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _clocks(self) -> Iterator[Look]:
        if self.api_clock:
            yield self._skew("clock of the API server", self.api_clock, API_SKEW_S)
        if self.prometheus_clock and self.metrics:
            yield self._skew("clock of Prometheus", self.prometheus_clock, self.metrics.scrape_interval() / 2)

    def _skew(self, what: str, clock: Clock, most_s: float) -> Look:
        """Windows of queries are in this machine's time: beyond half a scrape they would miss or take in a sample."""
        try:
            low, high = skew(clock, self.wall, self.sleep)
        except PortError as error:
            return Look(what, None, str(error).splitlines()[0], error.fix)
        middle, half = (low + high) / 2, (high - low) / 2
        limit = f"at most {show(most_s, 's')}"
        if half < 0:
            return Look(what, None, "one of the two clocks was set meanwhile", "chaoskit doctor, again")
        said = f"{show(abs(middle), 's', half)} {'ahead' if middle > 0 else 'behind'}, {limit}"
        good = True if max(abs(low), abs(high)) <= most_s else None if min(abs(low), abs(high)) <= most_s else False
        return Look(what, good, said, "" if good else "timedatectl set-ntp true, on both machines")


def example(namespace: str) -> str:
    """The experiment that stands for all: losing a pod, in a namespace that is there or in a fresh one."""
    app = f"{{namespace: {json.dumps(namespace)}}}" if namespace else "refapp"
    step = "{name: lose a pod, kill_pod: {of: deployment/any}}"
    return f"name: any\napp: {app}\nsteps: [{step}]\nexpect: [recovery: {{of: lose a pod, within: 1m}}]\n"


def skew(clock: Clock, wall: Callable[[], float], sleep: Callable[[float], None]) -> tuple[float, float]:
    """By how much another clock is ahead of ours, at the least and at the most. Each answer was true at some moment
    between asking and getting it (Cristian 1989), and all answers together narrow it down (Marzullo, Owicki 1983)."""
    low, high = float("-inf"), float("inf")
    for _ in range(LOOKS):
        asked = wall()
        there = clock.ask()
        low, high = max(low, there - wall()), min(high, there + clock.resolution_s - asked)
        if high - low <= PAUSE_S:
            break
        sleep(PAUSE_S)
    return low, high


def _by_resource(rights: Sequence[Right]) -> list[tuple[tuple[str, ...], Right]]:
    """Rights that differ in their verb alone, together."""
    found: dict[tuple[str, str, str, str], list[Right]] = {}
    for right in rights:
        found.setdefault((right.group, right.resource, right.subresource, right.namespace), []).append(right)
    return [(tuple(right.verb for right in same), same[0]) for same in found.values()]


def _pod_specs(manifest: Raw) -> Iterator[Raw]:
    """The specs of the pods that a manifest describes: its own, its template's, or its job's template's."""
    spec = manifest.get("spec") or {}
    if "containers" in spec:
        yield spec
    for inner in ("template", "jobTemplate"):
        if isinstance(spec.get(inner), Mapping):
            yield from _pod_specs(spec[inner])


def _image(image: str, policy: str, stored: Mapping[str, frozenset[str]]) -> Look:
    without = [name for name, there in stored.items() if not any(_same(image, one) for one in there)]
    if not without:
        return Look("images", True, f"{image} is on {_nodes(tuple(stored))}")
    said = f"{image} is not seen on {', '.join(without)}"
    if policy != "Never" and not image.startswith("localhost/"):
        return Look("images", None, f"{said}; it is pulled when it is needed")
    full = any(len(stored[name]) >= MOST_IMAGES for name in without)
    fix = "load the image onto its nodes, or take imagePullPolicy: Never out"
    return Look("images", None if full else False, f"{said}, and is never pulled", fix)


def _policies(pod: Raw) -> Iterator[tuple[str, str]]:
    for container in (*(pod.get("initContainers") or ()), *pod["containers"]):
        yield str(container["image"]), str(container.get("imagePullPolicy", ""))


def _takes_pods(node: Raw) -> bool:
    taints = (node.get("spec") or {}).get("taints") or ()
    return not any(taint.get("effect") in ("NoSchedule", "NoExecute") for taint in taints)


def _stored(node: Raw) -> frozenset[str]:
    images = (node.get("status") or {}).get("images") or ()
    return frozenset(str(name) for image in images for name in image.get("names") or ())


def _same(image: str, stored: str) -> bool:
    """A short name is found under docker.io, as containerd stores it."""
    return stored in (image, f"docker.io/{image}", f"docker.io/library/{image}")


def _nodes(names: tuple[str, ...]) -> str:
    return count(len(names), "node")
