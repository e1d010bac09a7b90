"""Counters, gauges and histograms, and Prometheus' text format for them, for an image that holds no library.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4). Everything happens on the
event loop's thread, so nothing is locked.
"""

from __future__ import annotations

import bisect
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for latencies. Limits that experiments are likely to state (100, 200, 300, 500 ms) are among them, so that a
quantile near one is no guess between two bounds."""


@dataclass
class Counter:
    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "counter"
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + by

    def samples(self) -> Iterator[str]:
        for labels, value in self.values.items():
            yield f"{self.name}{_braces(self.labels, labels)} {_number(value)}"


@dataclass
class Gauge:
    """A value that is read when it is asked for; `labels` are pairs that never change."""

    name: str
    help: str
    read: Callable[[], float]
    labels: dict[str, str] = field(default_factory=dict)
    kind: str = "gauge"

    def samples(self) -> Iterator[str]:
        braces = _braces(tuple(self.labels), tuple(self.labels.values()))
        yield f"{self.name}{braces} {_number(self.read())}"


@dataclass
class _Observed:
    counts: list[int]
    total: float = 0.0


@dataclass
class Histogram:
    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: Sequence[float] = SECONDS
    kind: str = "histogram"
    values: dict[tuple[str, ...], _Observed] = field(default_factory=dict)

    def observe(self, value: float, *labels: str) -> None:
        observed = self.values.get(labels)
        if observed is None:
            observed = self.values[labels] = _Observed([0] * (len(self.bounds) + 1))
        observed.counts[bisect.bisect_left(self.bounds, value)] += 1
        observed.total += value

    def samples(self) -> Iterator[str]:
        for labels, observed in self.values.items():
            braces = _braces(self.labels, labels)
            seen = 0
            for bound, count in zip((*self.bounds, float("inf")), observed.counts, strict=True):
                seen += count
                le = _braces((*self.labels, "le"), (*labels, _number(bound)))
                yield f"{self.name}_bucket{le} {seen}"
            yield f"{self.name}_sum{braces} {_number(observed.total)}"
            yield f"{self.name}_count{braces} {seen}"


Metric = Counter | Gauge | Histogram


class Registry:
    """The metrics of one process, in the order they were added."""

    def __init__(self) -> None:
        self._metrics: list[Metric] = []

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        counter = Counter(name, text, labels)
        if not labels:
            counter.add(by=0)
        self._metrics.append(counter)
        return counter

    def histogram(self, name: str, text: str, *labels: str, bounds: Sequence[float] = SECONDS) -> Histogram:
        histogram = Histogram(name, text, labels, bounds)
        self._metrics.append(histogram)
        return histogram

    def gauge(self, name: str, text: str, read: Callable[[], float], **labels: str) -> None:
        self._metrics.append(Gauge(name, text, read, labels))

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A counter that is kept elsewhere."""
        self._metrics.append(Gauge(name, text, read, kind="counter"))

    def text(self) -> str:
        return "\n".join(_exposition(self._metrics)) + "\n"


def _exposition(metrics: Iterable[Metric]) -> Iterator[str]:
    for metric in metrics:
        yield f"# HELP {metric.name} {metric.help}"
        yield f"# TYPE {metric.name} {metric.kind}"
        yield from metric.samples()


def _braces(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def add_process(registry: Registry) -> None:
    """The metrics that Prometheus' own libraries give every process, under the same names."""
    started = time.time() - _age_seconds()
    registry.total("process_cpu_seconds_total", "User and system CPU time spent in seconds.", time.process_time)
    registry.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", lambda: _pages(1))
    registry.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", lambda: _pages(0))
    registry.gauge(
        "process_start_time_seconds", "Start time of the process since the epoch in seconds.", lambda: started
    )
    registry.gauge("process_open_fds", "Number of open file descriptors.", _open_files)
    registry.gauge("process_max_fds", "Maximum number of open file descriptors.", _most_files)


def _open_files() -> float:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _most_files() -> float:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _pages(column: int) -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * resource.getpagesize()


def _age_seconds() -> float:
    """Field 22 of /proc/self/stat is the start in ticks since boot (proc(5)); the name before it may hold blanks."""
    stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
    start = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start
