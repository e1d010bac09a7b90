"""Runs on the public fake: a small shop, an experiment on it, and what went wrong meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaoskit import engine, heal, journal, judge, record, spec
from chaoskit.adapters.fake import Acted, FakeWorld, manifests
from chaoskit.engine import Ending, Engine, Ports
from chaoskit.journal import Journal
from chaoskit.model import RUN_LABEL
from chaoskit.objects import labels
from chaoskit.plan import Plan
from chaoskit.result import Result

RUN, NAMESPACE = "20270115-080000-lose-a-pod-0001", "chaoskit-shop"
SHOP = (manifests.deployment("front", 3), manifests.service("front", kind="LoadBalancer"))
EXPERIMENT = """\
name: lose a pod
load: {users: 3, must_reach: 10/s, pulse: {period: 50ms}}
metrics: {ready: "ready_fronts"}
steady_state: {hold: [failures < 1%, ready >= 3], for: 1s, within: 5s}
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front, mode: now}
    watch: 4s
expect:
  - recovery: {of: lose a pod, within: 5s}
  - outage: {of: lose a pod, at_most: 1s}
  - metric: {holds: ready >= 3, of: lose a pod, when: at the end}
  - steady_state: {}
"""


@dataclass
class Story:
    """One run: the world it happened in, its folder, and how it ended."""

    world: FakeWorld
    plan: Plan
    folder: Path
    ending: Ending | None = None

    def entries(self, kind: str = "") -> list[journal.Entry]:
        return [e for e in journal.read(self.folder / journal.FILE) if not kind or e.kind == kind]

    def hit(self) -> list[Acted]:
        """The pods that the run ended, before it healed."""
        healing = next(e.at for e in self.entries("phase") if e.data["name"] == "heal")
        ended = [a for a in self.world.cluster.acts if a.verb in ("evict", "delete") and a.kind == "pod"]
        return [a for a in ended if a.at < healing]

    def judged(self) -> Result:
        experiment, seen, seed = record.read(self.folder)
        return judge.judge(experiment, seen, journal.read(self.folder / journal.FILE), seed)

    def residue(self) -> list[str]:
        """What a run must never leave: its namespace, its marks, nodes that it cordoned, pods of its load."""
        ours = (*self.world.cluster.there("namespace"), *self.world.cluster.there("pod", NAMESPACE))
        left = [o["metadata"]["name"] for o in ours if labels(o).get(RUN_LABEL) == RUN]
        for node in self.world.cluster.there("node"):
            marks = [k for k in node["metadata"].get("annotations") or {} if k.startswith("undo.chaoskit.io/")]
            cordoned = [node["metadata"]["name"]] if node["spec"].get("unschedulable") else []
            left += [f"node: {found}" for found in (*marks, *cordoned)]
        return left


def story(
    folder: Path,
    text: str = EXPERIMENT,
    *,
    seed: int = 7,
    world: FakeWorld | None = None,
    shop: tuple = SHOP,
    told: Callable[[FakeWorld], None] = lambda world: None,
) -> Story:
    """A run that has not begun. `told` puts on the world's agenda what is to go wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    world = world or FakeWorld(seed)
    world.metrics.table.setdefault("ready_fronts", lambda _at: ready_fronts(world))
    told(world)
    planned = Plan(spec.loads(text), RUN, NAMESPACE, seed, manifests=shop)
    return Story(world, planned, folder)


def ready_fronts(world: FakeWorld) -> float:
    fronts = [d for d in world.cluster.there("deployment", NAMESPACE) if d["metadata"]["name"] == "front"]
    return float(sum((d.get("status") or {}).get("readyReplicas", 0) for d in fronts))


def play(told: Story, writing: Callable[[Path], Journal] = Journal) -> Story:
    """Runs it to its end."""
    world = told.world
    ports = Ports(world.cluster, world.load, world.metrics, world.clock)
    told.ending = Engine(ports, told.plan, told.folder, lambda live: None, writing).run()
    return told


def heal_later(told: Story, *, from_journal: bool) -> list:
    """What `chaoskit heal` does, with the run's folder or from the cluster alone."""
    cluster, clock = told.world.cluster, told.world.clock
    intents = heal.open_intents(told.entries()) if from_journal else []
    return heal.heal(cluster, [*intents, *heal.found_in(cluster, RUN)], clock.advance)


__all__ = ["EXPERIMENT", "NAMESPACE", "RUN", "SHOP", "Story", "engine", "heal_later", "play", "ready_fronts", "story"]
