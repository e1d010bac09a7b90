"""How late the pulse sends, in several runs: on the machine as it is, and beside a process that burns a core.

    python bench/pulse_lateness.py [--runs 5] [--seconds 10]

Lateness is when a request was sent less when it was due, from the pulse's own recording.
Writes docs/bench/pulse_lateness.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import answering

from chaoskit.samples import Outcome, Stream, read_samples

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "pulse_lateness.md"
LIMIT_S = 0.002
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Run:
    busy: int
    load_before: float
    requests: int
    not_sent: int
    late_s: tuple[float, ...]
    cpu: float
    stolen: float

    @property
    def p99(self) -> float:
        return self.late_s[QUANTILES.index(0.99)]


@contextmanager
def burning(processes: int) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def measure(url: str, folder: Path, seconds: float, busy: int) -> Run:
    folder.mkdir()
    config = {
        "url": url,
        "recording": str(folder / "pulse"),
        "origin_ns": time.monotonic_ns(),
        "stop_after_s": seconds,
    }
    (folder / "pulse.json").write_text(json.dumps(config))
    load_before, stolen = os.getloadavg()[0], answering.Stolen()
    argv = [sys.executable, "-m", "chaoskit.load.pulse", str(folder / "pulse.json")]
    with burning(busy), subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pulse:
        assert pulse.stdout is not None
        said = [json.loads(line) for line in pulse.stdout]
    samples = list(read_samples(folder / "pulse"))
    late = sorted(s.sent - s.intended for s in samples if s.outcome is not Outcome.NOT_SENT)
    assert {s.stream for s in samples} == {Stream.FRESH, Stream.KEPT}
    return Run(
        busy,
        load_before,
        len(samples),
        len(samples) - len(late),
        tuple(late[min(len(late) - 1, int(len(late) * q))] for q in QUANTILES),
        statistics.mean(line["cpu"] for line in said[1:-1]),
        stolen.share(),
    )


def measure_all(runs: int, seconds: float) -> list[Run]:
    measured = []
    with answering.running() as url, tempfile.TemporaryDirectory() as scratch:
        for n in range(runs):
            for busy in (0, 1, os.cpu_count() or 1):
                measured.append(measure(url, Path(scratch) / f"{n}-{busy}", seconds, busy))
                print(_row(measured[-1]), flush=True)
    return measured


def _row(run: Run) -> str:
    late = " | ".join(f"{s * 1e3:.2f}" for s in run.late_s)
    counts = f"| {run.busy} | {run.load_before:.1f} | {run.requests} | {run.not_sent}"
    return f"{counts} | {late} | {run.cpu:.0%} | {run.stolen:.1%} |"


def report(runs: list[Run], seconds: float) -> str:
    idle = statistics.median(run.p99 for run in runs if not run.busy)
    rows = "\n".join(_row(run) for run in sorted(runs, key=lambda run: run.busy))
    return f"""# How late the pulse sends

`python bench/pulse_lateness.py`: runs of {seconds:g} s, both streams at 100 requests a second each,
{os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime("%Y-%m-%d")}. "Burning" is the number of
processes beside it that never rest; the load average is the machine's just before the run; "stolen" is CPU time that a
hypervisor gave to others, during which nothing here runs. Times are in milliseconds.

**Median of the 99th percentiles without burning: {idle * 1e3:.2f} ms.** The limit is {LIMIT_S * 1e3:g} ms when idle.

| burning | load average | requests | not sent | p50 | p90 | p99 | p99.9 | longest | pulse CPU | stolen |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    runs = measure_all(options.runs, options.seconds)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(report(runs, options.seconds), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit(statistics.median(run.p99 for run in runs if not run.busy) > LIMIT_S)


if __name__ == "__main__":
    main()
