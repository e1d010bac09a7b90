"""Who will be hit, what that takes, and what forbids it. Pure: it decides on what it is shown, and touches nothing.

Targets are chosen when their step begins, because a fresh app has no pods before; the choice depends on the seed, the
step and the candidates alone, so that the same seed hits the same pods of the same list.
"""

from __future__ import annotations

import math
import random
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chaoskit import buckets, promql, scrapes
from chaoskit.contracts import Action
from chaoskit.errors import RefusedError, UsageError
from chaoskit.model import MANAGED_BY, OWN_LABEL, PROTECT_ANNOTATION, RUN_LABEL, Answer, Raw, Right, Target
from chaoskit.objects import (
    CONTROL_PLANE_LABEL,
    PLATFORM_NAMESPACE,
    SERVER,
    WATCHED,
    Objects,
    annotation,
    controller,
    labels,
    node_of,
    ready,
    uid,
)
from chaoskit.promql import FEWEST_SCRAPES
from chaoskit.spec import Experiment, Safety, conditions

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
GROUPS = {
    "endpointslice": "discovery.k8s.io",
    "deployment": "apps",
    "replicaset": "apps",
    "statefulset": "apps",
    "daemonset": "apps",
    "horizontalpodautoscaler": "autoscaling",
    "poddisruptionbudget": "policy",
    "event": "events.k8s.io",
}
WATCHED_ELSEWHERE = tuple(kind for kind in WATCHED if kind != "node")
SHORTEST_WINDOW_S = 5.0
ROUNDING = 1e-9
"""57 % of 100 are 57, though 0.57 × 100 is a little less in binary."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided before a run."""

    experiment: Experiment
    run: str
    namespace: str
    seed: int
    manifests: tuple[Raw, ...] = ()
    """What to deploy into a fresh namespace; empty: the namespace is there already."""
    metrics_address: str = ""
    """Where the load serves chaoskit's own metrics."""
    who: str = ""
    """USER@HOST: whom others find named on what the run makes and hits."""
    commit: str = ""
    """That the experiment's file is of; empty where it is in no repository."""
    load_image: str = ""
    """Of the pods that carry the load, where it comes from inside the cluster."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """Named queries, filled in."""

    @property
    def fresh(self) -> bool:
        return bool(self.manifests)

    def rng(self, step: int) -> random.Random:
        return random.Random(f"{self.seed}/{step}")  # noqa: S311 - a reproducible choice, no secret


def queries(experiment: Experiment, namespace: str, scrape_interval_s: float) -> dict[str, str]:
    """The experiment's metrics with $namespace, $service and $window filled in, and what tells the buckets behind."""
    window = max(SHORTEST_WINDOW_S, FEWEST_SCRAPES * scrape_interval_s)
    known = {"namespace": namespace, "service": experiment.app.service, "window": f"{math.ceil(window)}s"}
    wanted = dict(experiment.metrics)
    for check in experiment.expect:
        wanted.update(check.metrics())
    found = {key: string.Template(query).safe_substitute(known).strip() for key, query in wanted.items()}
    for name in experiment.metrics:
        found.update(buckets.queries(found[name]) | scrapes.queries(found[name]))
    return found


def doubts(
    experiment: Experiment, queries: Mapping[str, str], answers: Mapping[str, Answer], scrape_interval_s: float
) -> Iterator[str]:
    """What the scrapes and the buckets that there are make of the experiment's queries and limits."""
    for name in experiment.metrics:
        seconds = promql.shortest_range_s(queries[name])
        if seconds is not None and seconds < FEWEST_SCRAPES * scrape_interval_s:
            yield (
                f"{name}: a rate over {seconds:g} s sees fewer than {FEWEST_SCRAPES} scrapes, which are "
                f"{scrape_interval_s:g} s apart; write [$window]"
            )
    for condition in dict.fromkeys(condition for _, condition in conditions(experiment)):
        known = buckets.read(queries.get(condition.name, ""), answers)
        if known and known.lacking:
            yield f"{condition.text}: the buckets of the quantile are not known yet: {known.lacking}"
        elif known and (where := known.beside(condition)):
            yield f"{condition.text}: the limit lies {where}: a quantile in the same bucket decides nothing"


def check_possible(experiment: Experiment) -> None:
    """For a cluster that chaoskit did not make: what only its maker can do is refused before anything is touched."""
    for step in experiment.steps:
        if step.action.own_cluster:
            raise UsageError(
                f"“{step.name}” ({step.action.verb}) needs a cluster that chaoskit made",
                why="a kubeconfig reaches the API, not the machines behind it",
                fix="leave --context out: the embedded cluster is used; on yours, drain_node is the nearest",
            )


def choose(action: Action, objects: Objects, within: str, safety: Safety, rng: random.Random) -> tuple[Target, ...]:
    """The targets of a step. RefusedError if the limits forbid as many as the action wants."""
    candidates = action.candidates(objects, within)
    free = [t for t in candidates if not protected(t, objects, within, platform=safety.platform)]
    if not free:
        raise RefusedError(_nobody(action, candidates, objects, within, safety))
    wanted = action.number(len(candidates))
    allowed = most(free[0].kind, len(candidates), objects, safety)
    if wanted > allowed:
        raise RefusedError(
            f"{action.verb} wants {wanted} of {len(candidates)} candidates; the safety limits allow {allowed}",
            fix="lower its count, or raise safety.at_most or safety.nodes_at_most",
        )
    if wanted > len(free):
        raise RefusedError(f"{action.verb} wants {wanted} targets; there are {len(free)}")
    return tuple(rng.sample(free, wanted))


def most(kind: str, candidates: int, objects: Objects, safety: Safety) -> int:
    """How many of `candidates` the limits allow to be hit; one is always allowed."""
    if kind == "node":
        return max(1, int(safety.nodes_at_most * len(objects.all("node")) + ROUNDING))
    return max(1, int(safety.at_most * candidates + ROUNDING))


def protected(target: Target, objects: Objects, within: str, *, platform: bool = False) -> str:
    """Why a target must not be hit whatever the other limits say, or empty. `platform`: whether the experiment says
    that it is about the platform itself."""
    if why := _out_of_bounds(target, within, platform):
        return why
    found = objects.by_uid(target.kind, target.uid)
    if found is None:
        return ""
    if CONTROL_PLANE_LABEL in labels(found):
        return f"{target} is a control-plane node"
    if annotation(found, PROTECT_ANNOTATION):
        return f"{target} carries the annotation {PROTECT_ANNOTATION}"
    return _ours(found, target, objects)


def _ours(found: Raw, target: Target, objects: Objects) -> str:
    """Whoever breaks what they stand on sees nothing of what follows."""
    if OWN_LABEL in labels(found):
        return f"{target} is chaoskit's own"
    if target.kind == "node":
        for pod in objects.all("pod"):
            running = (pod.get("status") or {}).get("phase") == "Running"  # One that has ended keeps its node's name.
            if OWN_LABEL in labels(pod) and node_of(pod) == target.name and running:
                return f"{target} carries chaoskit's own pod/{pod['metadata']['name']}"
    return ""


def _out_of_bounds(target: Target, within: str, platform: bool) -> str:
    if target.kind == SERVER:
        return "" if platform else f"{target} is a part of the platform, and safety.platform is not true"
    if target.namespace == PLATFORM_NAMESPACE != within and platform:
        return ""
    hint = ", and safety.platform is not true" if target.namespace == PLATFORM_NAMESPACE else ""
    if target.kind != "node" and target.namespace != within:
        return f"{target} is in namespace {target.namespace}, outside the experiment's {within}{hint}"
    if target.namespace in SYSTEM_NAMESPACES:
        return f"{target} belongs to the system namespace {target.namespace}"
    return ""


def refusal(target: Target, hit: Collection[str], objects: Objects, within: str, safety: Safety) -> str:
    """Why the act on `target` must not happen now, or empty: the limits, against the live state, right before it.

    `hit`: UIDs of what the step has hit or is going to. They are as good as gone, whatever the watch says yet, so that
    a step whose last act would break a limit is refused before its first."""
    if why := protected(target, objects, within, platform=safety.platform):
        return why
    pod = objects.by_uid("pod", target.uid) if target.kind == "pod" else None
    owner = controller(pod)[1] if pod is not None else ""
    doomed = {*hit, target.uid}
    left = [p for p in objects.all("pod") if controller(p)[1] == owner and ready(p) and uid(p) not in doomed]
    if owner and len(left) < safety.keep_ready:
        return f"{len(left)} ready pods would be left beside {target}; safety.keep_ready is {safety.keep_ready}"
    return ""


def _nobody(action: Action, candidates: Sequence[Target], objects: Objects, within: str, safety: Safety) -> str:
    if not candidates:
        return f"{action.verb} finds nothing to hit in namespace {within}"
    reasons = "; ".join(sorted({protected(t, objects, within, platform=safety.platform) for t in candidates}))
    return f"{action.verb}: every candidate is protected: {reasons}"


def rights(plan: Plan) -> tuple[Right, ...]:
    """All that the run itself needs to be allowed; `heal.rights` adds what its healing needs."""
    found = list[Right]()
    for kind in WATCHED:
        where = "" if kind == "node" else plan.namespace
        found += [Right(verb, GROUPS.get(kind, ""), plural(kind), where) for verb in ("list", "watch")]
    for place in places(plan.experiment):
        found += [
            Right(verb, GROUPS.get(kind, ""), plural(kind), place)
            for kind in WATCHED_ELSEWHERE
            for verb in ("list", "watch")
        ]
    if plan.fresh:
        found += [Right(verb, "", "namespaces") for verb in ("get", "create")]
        # The server asks for both: a server-side apply is a patch, and creates what is not there.
        applied = dict.fromkeys(_group_and_plural(m) for m in plan.manifests)
        found += [Right(verb, *kind, plan.namespace) for kind in applied for verb in ("create", "patch")]
    else:
        found.append(Right("get", "", "namespaces", plan.namespace))
    found.append(Right("get", "", "pods", plan.namespace, "log"))
    for step in plan.experiment.steps:
        found += step.action.rights(plan.namespace)
    return tuple(dict.fromkeys(found))


def places(experiment: Experiment) -> tuple[str, ...]:
    """The namespaces beside its own in which an experiment acts."""
    return tuple(sorted({step.action.elsewhere() for step in experiment.steps} - {""}))


def asks_prometheus(experiment: Experiment) -> bool:
    return bool(experiment.metrics) or any(check.metrics() for check in experiment.expect)


def touches_cluster(experiment: Experiment) -> bool:
    """Whether it acts on what belongs to everybody: nodes, servers and pods of the platform."""
    actions = [step.action for step in experiment.steps]
    return any("node" in a.annotates or a.own_cluster or a.elsewhere() for a in actions)


def plural(kind: str) -> str:
    """The resource's name in the API: `networkpolicies`, `ingresses`, `pods`."""
    if kind.endswith("y"):
        return f"{kind[:-1]}ies"
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _group_and_plural(manifest: Raw) -> tuple[str, str]:
    version = str(manifest["apiVersion"])
    return version.rpartition("/")[0], plural(str(manifest["kind"]).lower())


def labelled(manifest: Raw, run: str) -> Raw:
    """With the run's labels on the object itself; whoever manages it by its own words goes on to do so."""
    meta = manifest["metadata"]
    return {
        **manifest,
        "metadata": {**meta, "labels": {**run_labels(run), **(meta.get("labels") or {}), RUN_LABEL: run}},
    }


def run_labels(run: str) -> dict[str, str]:
    return {MANAGED_BY: "chaoskit", RUN_LABEL: run}
