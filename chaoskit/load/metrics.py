"""What chaoskit measures, for Prometheus to scrape while a run is on. Base units, and labels with few values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from chaoskit.load.process import InputError
from chaoskit.samples import Outcome, Stream

_STREAMS = (Stream.FRESH, Stream.KEPT)
_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LATENESS_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


class PulseMetrics:
    """The chaoskit_* series of one run."""

    def __init__(self, experiment: str, run: str, seed: int) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._experiment, self._run = experiment, run
        requests = Counter(
            "chaoskit_pulse_requests", "Requests of the pulse.", ("stream", "outcome"), registry=self._registry
        )
        latency = Histogram(
            "chaoskit_pulse_latency_seconds",
            "From when a request of the pulse was due to its end.",
            ("stream",),
            registry=self._registry,
            buckets=_LATENCY_BUCKETS,
        )
        up = Gauge("chaoskit_pulse_up", "Whether the last request was good.", ("stream",), registry=self._registry)
        # All of them are there from the start, at zero, so that rate() sees the first failure too.
        self._requests = {
            (stream, outcome): requests.labels(stream.name.lower(), outcome.name.lower())
            for stream in _STREAMS
            for outcome in Outcome
        }
        self._latency = {stream: latency.labels(stream.name.lower()) for stream in _STREAMS}
        self._up = {stream: up.labels(stream.name.lower()) for stream in _STREAMS}
        self._lateness = Histogram(
            "chaoskit_pulse_lateness_seconds",
            "From when a request of the pulse was due to its sending.",
            registry=self._registry,
            buckets=_LATENESS_BUCKETS,
        )
        self._load_requests = Counter(
            "chaoskit_load_requests", "Requests of the Locust users.", ("outcome",), registry=self._registry
        )
        self._load_users = Gauge("chaoskit_load_users", "Locust users at work.", registry=self._registry)
        self._load_seen: dict[str, int] = {}
        self._steps: set[str] = set()
        self._step = Gauge(
            "chaoskit_step_active",
            "Whether a step is under way or being watched.",
            ("experiment", "run", "step"),
            registry=self._registry,
        )
        info = Gauge("chaoskit_run_info", "The run.", ("experiment", "run", "seed"), registry=self._registry)
        info.labels(experiment, run, str(seed)).set(1)

    def serve(self, address: str) -> None:
        """Listens on `host:port`; InputError if that is not possible."""
        host, _, port = address.rpartition(":")
        try:
            start_http_server(int(port), host.strip("[]"), self._registry)
        except (OSError, ValueError) as error:
            raise InputError("the metrics cannot be served", where=address, why=str(error)) from error

    def request(self, stream: Stream, outcome: Outcome, intended: float, sent: float, end: float) -> None:
        self._requests[stream, outcome].inc()
        if outcome is Outcome.NOT_SENT:
            return
        self._latency[stream].observe(end - intended)
        self._lateness.observe(sent - intended)
        self._up[stream].set(1 if outcome is Outcome.OK else 0)

    def hear(self, told: Mapping[str, Any]) -> None:
        """What the run's side says: `{"phase", "step"}` or `{"load": {"users", "outcomes"}}`."""
        if "phase" in told:
            self._show_step(str(told.get("step") or ""))
        load = told.get("load")
        if isinstance(load, Mapping):
            self._load_users.set(float(load.get("users", 0)))
            for outcome, count in dict(load.get("outcomes", {})).items():
                self._load_requests.labels(str(outcome)).inc(max(0, int(count) - self._load_seen.get(outcome, 0)))
                self._load_seen[outcome] = int(count)

    def _show_step(self, active: str) -> None:
        """One step is under way or being watched at a time; none if `active` is empty."""
        if active:
            self._steps.add(active)
        for step in self._steps:
            self._step.labels(self._experiment, self._run, step).set(1 if step == active else 0)
