"""All four ports at once, over one clock and one seed."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.cluster import FakeCluster
from chaoskit.adapters.fake.load import FakeLoad
from chaoskit.adapters.fake.metrics import FakeMetrics
from chaoskit.adapters.fake.settings import Timings


class FakeWorld:
    """A clock, a cluster of three nodes in three zones, users, and a Prometheus. Same seed, same calls: same events."""

    def __init__(
        self,
        seed: int = 0,
        *,
        nodes: Sequence[str] = ("node1", "node2", "node3"),
        timings: Timings | None = None,
        scrape_interval_s: float = 1.0,
        provider: str = "embedded",
    ) -> None:
        self.seed = seed
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock, seed, nodes=nodes, timings=timings, provider=provider)
        self.load = FakeLoad(self.clock, self.cluster, seed)
        self.metrics = FakeMetrics(self.clock, scrape_interval_s=scrape_interval_s)
