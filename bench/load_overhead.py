"""What recording every request costs Locust: the same users with and without it, in alternating pairs.

    python bench/load_overhead.py [--pairs 60] [--runs 3]

The users are FastHttpUser in a closed loop, which is the most that Locust can do on a core, so that recording shows as
much as it ever will. Recording is switched on and off within one process, a slice of half a second each, so that both
halves of a pair meet the same machine; each run is a new process. Of each pair the CPU time that Locust's process used
for a request is compared, and the requests a second. Writes docs/bench/load_overhead.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import answering

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "load_overhead.md"
SLICE_S = 0.5
WARM_UP_S = 2.0
LIMIT = 0.05
LOCUSTFILE = """
from locust import FastHttpUser, constant, task

class Visitor(FastHttpUser):
    wait_time = constant(0)
    @task
    def page(self):
        self.client.get("/")
"""


@dataclass(frozen=True)
class Slice:
    requests: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_per_request_s(self) -> float:
        return self.cpu_s / self.requests


@dataclass(frozen=True)
class Run:
    """One process of Locust: pairs of a slice without and a slice with recording."""

    pairs: list[tuple[Slice, Slice]]
    load_average: float
    stolen: float

    @property
    def added(self) -> float:
        return statistics.median(on.cpu_per_request_s / off.cpu_per_request_s - 1 for off, on in self.pairs)

    @property
    def lost(self) -> float:
        return statistics.median(1 - on.rate / off.rate for off, on in self.pairs)


def run_child(config: Path, pairs: int) -> None:
    """In a process of its own."""
    from chaoskit.load.agent import Agent, AgentConfig, load
    from chaoskit.load.process import Voice, read_config

    voice = Voice()
    settings = read_config(AgentConfig, config)
    agent = Agent(settings, load(Path(settings.locustfile)), voice)

    import gevent  # Not before Locust, which makes the standard library cooperative.

    gc.freeze()  # As the agent does.

    def alternate() -> None:
        gevent.sleep(WARM_UP_S)
        for n in range(pairs):
            # Every other pair the other way round, so that a drift of the machine favours neither.
            halves = {record: measure(record) for record in ((False, True) if n % 2 else (True, False))}
            voice.say({"pair": [vars(halves[False]), vars(halves[True])]})
        agent.stopping.set()

    def measure(record: bool) -> Slice:
        request: Any = agent.environment.events.request
        if (agent.record_request in request._handlers) != record:
            (request.add_listener if record else request.remove_listener)(agent.record_request)
        at, cpu, seen = time.monotonic(), time.process_time(), agent.environment.stats.num_requests
        gevent.sleep(SLICE_S)
        agent.recorder.flush()  # What was heard in this slice is written in it.
        return Slice(agent.environment.stats.num_requests - seen, time.monotonic() - at, time.process_time() - cpu)

    gevent.spawn(alternate)
    agent.run()


def run(url: str, folder: Path, pairs: int, users: int) -> Run:
    folder.mkdir()
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    config = {
        "locustfile": str(folder / "locustfile.py"),
        "host": url,
        "users": users,
        "spawn_rate": 100,
        "recording": str(folder / "locust"),
        "origin_ns": time.monotonic_ns(),
        "stop_after_s": 600,
    }
    (folder / "agent.json").write_text(json.dumps(config))
    stolen = answering.Stolen()
    argv = [sys.executable, __file__, "--child", str(folder / "agent.json"), "--pairs", str(pairs)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        said = [json.loads(line) for line in child.stdout]
    halves = [[Slice(**half) for half in line["pair"]] for line in said if "pair" in line]
    return Run([(off, on) for off, on in halves], os.getloadavg()[0], stolen.share())


def _row(n: int, run: Run) -> str:
    rates = [statistics.median(pair[i].rate for pair in run.pairs) for i in (0, 1)]
    costs = [statistics.median(pair[i].cpu_per_request_s for pair in run.pairs) * 1e6 for i in (0, 1)]
    return (
        f"| {n} | {len(run.pairs)} | {rates[0]:,.0f} | {rates[1]:,.0f} | {run.lost:+.1%} | {costs[0]:.0f} "
        f"| {costs[1]:.0f} | {run.added:+.1%} | {run.load_average:.1f} | {run.stolen:.1%} |"
    )


def report(runs: list[Run], users: int) -> str:
    lost, added = (statistics.median(getattr(run, name) for run in runs) for name in ("lost", "added"))
    rows = "\n".join(_row(n, run) for n, run in enumerate(runs, 1))
    system = f"Python {platform.python_version()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    return f"""# What recording every request costs Locust

`python bench/load_overhead.py`: {len(runs)} runs of alternating pairs (a slice of {SLICE_S:g} s without recording, one
with), {users} users (FastHttpUser, closed loop, no waiting), {system}. Each number is the median
over the pairs of a run. The load average is the machine's, with Locust and the server in it; "stolen" is CPU time that
a hypervisor gave to others.

**Median throughput lost: {lost:.1%}. Median CPU time added to each request: {added:.1%}.** The limit is {LIMIT:.0%}.

| run | pairs | requests/s without | with | lost | µs CPU a request without | with | added | load average | stolen |
|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(options.child, options.pairs)
        return
    runs = []
    with answering.running() as url, tempfile.TemporaryDirectory() as scratch:
        for n in range(options.runs):
            runs.append(run(url, Path(scratch) / str(n), options.pairs, options.users))
            print(_row(n + 1, runs[-1]), flush=True)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(report(runs, options.users), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit(statistics.median(run.added for run in runs) > LIMIT)


if __name__ == "__main__":
    main()
