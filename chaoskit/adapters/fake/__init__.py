"""The public double of all four ports: a cluster, its users and its Prometheus in memory, in virtual time.

It is for unit tests of the engine, for users who test their own actions and checks, and for simulating many whole runs.

    world = FakeWorld(seed=7)
    world.cluster.create(manifests.namespace("shop"))
    world.cluster.create(manifests.deployment("front", 3), "shop")
    world.clock.advance(10)
    assert len(world.cluster.there("pod", "shop")) == 3

Everything follows from the seed and the calls made: the same ones give the same events, byte for byte.
"""

from __future__ import annotations

from chaoskit.adapters.fake import manifests
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.cluster import Acted, FakeCluster
from chaoskit.adapters.fake.faults import Fault, Trouble
from chaoskit.adapters.fake.load import FakeLoad
from chaoskit.adapters.fake.metrics import FakeMetrics
from chaoskit.adapters.fake.network import Reach
from chaoskit.adapters.fake.settings import NEVER, Behaviour, Timings
from chaoskit.adapters.fake.watches import FakeWatching
from chaoskit.adapters.fake.world import FakeWorld

__all__ = [
    "NEVER",
    "Acted",
    "Behaviour",
    "FakeClock",
    "FakeCluster",
    "FakeLoad",
    "FakeMetrics",
    "FakeWatching",
    "FakeWorld",
    "Fault",
    "Reach",
    "Timings",
    "Trouble",
    "manifests",
]
