"""What chaoskit measures, for Prometheus to scrape while a run is on. Base units, and labels with few values.

Which run it is stands on one series only, `chaoskit_run_info`: queries join it by `job` and `instance`, so that a run
more makes no new series of all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    def __init__(self, run: Mapping[str, str], origin_unix: float) -> None:
        """`run` has the labels of `chaoskit_run_info`: experiment, run, seed, app_namespace, cluster."""
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
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
        self._run = _RunMetrics(self._registry, run, origin_unix)

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
        """What the run's side says: `{"journal": {"kind", "at", …}}` or `{"load": {"users", "outcomes"}}`."""
        journalled, load = told.get("journal"), told.get("load")
        if isinstance(journalled, Mapping):
            self._run.take(journalled)
        if isinstance(load, Mapping):
            self._load_users.set(float(load.get("users", 0)))
            for outcome, count in dict(load.get("outcomes", {})).items():
                self._load_requests.labels(str(outcome)).inc(max(0, int(count) - self._load_seen.get(outcome, 0)))
                self._load_seen[outcome] = int(count)


class _RunMetrics:
    """What the run does, by what it journals."""

    def __init__(self, registry: CollectorRegistry, run: Mapping[str, str], origin_unix: float) -> None:
        self._origin_unix = origin_unix

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"chaoskit_{name}", meaning, labels, registry=registry)

        gauge("run_info", "The run.", *run).labels(*run.values()).set(1)
        gauge("run_start_timestamp_seconds", "When the run began.").set(origin_unix)
        self._phase = gauge("run_phase", "Whether the run is in this phase.", "phase")
        self._active = gauge("step_active", "Whether a step is under way or being watched.", "step")
        self._unhealed = gauge("step_unhealed", "What a step changed that is still to be put back.", "step")
        self._ordered = gauge("step_ordered_timestamp_seconds", "When a step's first act was ordered.", "step")
        self._landed = gauge("step_landed_timestamp_seconds", "When a step's last act was seen to land.", "step")
        self._healed = gauge("step_healed_timestamp_seconds", "When what a step changed was last put back.", "step")
        self._phases: set[str] = set()
        self._ordered_already: set[str] = set()
        self._changes: dict[int, str] = {}
        """Acts that are to be put back, and the step of each."""
        self._enter({"name": "load"})  # The pulse is started in this one.

    def take(self, entry: Mapping[str, Any]) -> None:
        """An entry of the journal: its kind, its time, and its data beside them."""
        took: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "phase": self._enter,
            "step began": self._begin,
            "step ended": lambda told: self._active.labels(told["step"]).set(0),
            "intent": self._order,
            "landed": lambda told: self._landed.labels(told["step"]).set(self._unix(told)),
            "healed": self._heal,
        }
        took[entry["kind"]](entry)

    def _unix(self, entry: Mapping[str, Any]) -> float:
        return self._origin_unix + float(entry["at"])

    def _enter(self, entry: Mapping[str, Any]) -> None:
        self._phases.add(entry["name"])
        for phase in self._phases:
            self._phase.labels(phase).set(1 if phase == entry["name"] else 0)

    def _begin(self, entry: Mapping[str, Any]) -> None:
        self._active.labels(entry["step"]).set(1)
        self._unhealed.labels(entry["step"]).set(0)

    def _order(self, entry: Mapping[str, Any]) -> None:
        step = entry["step"]
        if not step:  # The namespace that the run made is no step's.
            return
        if step not in self._ordered_already:
            self._ordered_already.add(step)
            self._ordered.labels(step).set(self._unix(entry))
        if entry["change"]:
            self._changes[entry["n"]] = step
            self._unhealed.labels(step).inc()

    def _heal(self, entry: Mapping[str, Any]) -> None:
        if entry["done"] and (step := self._changes.pop(entry["n"], "")):
            self._unhealed.labels(step).dec()
            self._healed.labels(step).set(self._unix(entry))
