"""Other people on the cluster: they cordon, label, scale and replace things in the midst of a run, and what they did
must stand when all is healed.

What they write is never what a step writes (recipes.py), so that it can be told from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chaoskit import objects
from chaoskit.adapters.fake import FakeWorld
from chaoskit.adapters.fake.scheduler import UNSCHEDULABLE_TAINT
from chaoskit.adapters.fake.store import merge
from chaoskit.errors import PortError
from chaoskit.model import UNDO_ANNOTATION, Raw
from chaoskit.ports import Cluster
from chaoskit.simulation.scenario import Meddling
from chaoskit.simulation.snapshot import Key

Patch = dict[str, Any]
REPLICAS = 6
"""More than any step asks for."""


def cordon(node: Raw) -> Patch:
    """What they write, and what Kubernetes adds to it."""
    others = [t for t in node["spec"].get("taints") or () if t["key"] != UNSCHEDULABLE_TAINT]
    return {"spec": {"unschedulable": True, "taints": [*others, {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}]}}


def label(_o: Raw) -> Patch:
    return {"metadata": {"labels": {"team": "checkout"}}}


def scale(_workload: Raw) -> Patch:
    return {"spec": {"replicas": REPLICAS}, "status": {"replicas": REPLICAS, "readyReplicas": REPLICAS}}


def set_variable(deployment: Raw) -> Patch:
    """Lists are written as a whole, as by `kubectl apply`."""
    spec = deployment["spec"]["template"]["spec"]
    first, *rest = spec["containers"]
    there = [v for v in first.get("env") or () if v["name"] != "THEIRS"]
    mine = {**first, "env": [*there, {"name": "THEIRS", "value": "1"}]}
    return {"spec": {"template": {"spec": {"containers": [mine, *rest]}}}}


def select(_service: Raw) -> Patch:
    return {"spec": {"selector": {"tier": "web"}}}


CHANGES: Mapping[str, tuple[str, str, Callable[[Raw], Patch]]] = {
    "cordon": ("node", "node1", cordon),
    "label a node": ("node", "node2", label),
    "scale": ("deployment", "front", scale),
    "scale the store": ("statefulset", "store", scale),
    "set a variable": ("deployment", "front", set_variable),
    "label a deployment": ("deployment", "front", label),
    "select": ("service", "front", select),
}
"""Kind and name of what is changed, and how."""


@dataclass
class Bystander:
    """Does one thing at its moment, and notes how the cluster must be from then on."""

    world: FakeWorld
    cluster: Cluster
    namespace: str
    expected: dict[Key, Raw]
    did: list[str]

    def meddle(self, what: Meddling) -> None:
        """Nothing goes wrong with what they do; while the API is away they do nothing."""
        if self.world.cluster.trouble.is_away(self.world.clock.now()):
            return
        chances, self.world.cluster.trouble.chances = self.world.cluster.trouble.chances, {}
        try:
            self._do(what)
        finally:
            self.world.cluster.trouble.chances = chances

    def _do(self, what: Meddling) -> None:
        if what.what == "kill a pod":
            self._kill_pod(what)
            return
        kind, named, patch = CHANGES[what.what]
        place = "" if kind == "node" else self.namespace
        key = (kind, place, named)
        try:
            present = self.cluster.get(kind, named, place)
            if what.what == "cordon" and not self._may_cordon(present):
                return
            written = {name: part for name, part in patch(present).items() if name != "status"}
            self.cluster.patch(kind, named, written, place)
        except PortError:
            return
        self.did.append(f"{self.world.clock.now():.3f}: somebody does this to {kind}/{named}: {what.what}")
        if key in self.expected:
            self.expected[key] = merge(self.expected[key], patch(self.expected[key]))

    def _may_cordon(self, node: Raw) -> bool:
        """Not what is cordoned already, nor the last nodes that pods can go to."""
        others = [n for n in self.world.cluster.there("node") if objects.name(n) != objects.name(node)]
        free = [n for n in others if not n["spec"].get("unschedulable")]
        return len(free) > 1 and not node["spec"].get("unschedulable") and not _is_marked(node)

    def _kill_pod(self, what: Meddling) -> None:
        """A process ends by itself."""
        pods = [p for p in self.world.cluster.there("pod", self.namespace) if objects.ready(p)]
        if pods:
            pod = random.Random(what.moment).choice(pods)  # noqa: S311 - repeatable
            self.did.append(f"{self.world.clock.now():.3f}: the process of pod/{objects.name(pod)} ends by itself")
            self.world.cluster.end(pod, 1)


def _is_marked(o: Raw) -> bool:
    """Whether a run has announced a change of it: a cordon by somebody else cannot be told from its own then."""
    return any(key.startswith(UNDO_ANNOTATION) for key in o["metadata"].get("annotations") or ())
