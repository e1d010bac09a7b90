"""What recording every request costs Locust, in alternating pairs: the same users with and without it.

    python bench/load_overhead.py [--pairs 10] [--seconds 4]

The users are FastHttpUser in a closed loop, which is the most that Locust can do on a core, so that recording shows as
much as it ever will. Two numbers for each pair: requests a second, and CPU time of Locust's process for each request.
The second is the steadier one where the machine has other things to do. Writes docs/bench/load_overhead.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import answering

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "load_overhead.md"
WARM_UP_S = 1.5
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
class Measured:
    rate: float
    cpu_per_request_s: float


@dataclass(frozen=True)
class Pair:
    plain: Measured
    recording: Measured
    load_average: float
    stolen: float

    @property
    def rate_lost(self) -> float:
        return 1 - self.recording.rate / self.plain.rate

    @property
    def cpu_added(self) -> float:
        return self.recording.cpu_per_request_s / self.plain.cpu_per_request_s - 1


def measure(url: str, folder: Path, users: int, seconds: float, *, record: bool) -> Measured:
    folder.mkdir()
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    config = {
        "locustfile": str(folder / "locustfile.py"),
        "host": url,
        "users": users,
        "spawn_rate": 1000,
        "recording": str(folder / "locust"),
        "origin_ns": time.monotonic_ns(),
        "stop_after_s": 120,
        "record": record,
    }
    (folder / "agent.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log, _agent(folder / "agent.json", log) as agent:
        _wait_started(agent)
        time.sleep(WARM_UP_S)
        at, cpu, seen = time.monotonic(), _cpu_s(agent.pid), answering.count(url)
        time.sleep(seconds)
        at, cpu, seen = time.monotonic() - at, _cpu_s(agent.pid) - cpu, answering.count(url) - seen
        agent.send_signal(signal.SIGTERM)
        agent.communicate(timeout=10)
    return Measured(seen / at, cpu / seen)


def _agent(config: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "chaoskit.load.agent", str(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    )


def _wait_started(agent: subprocess.Popen[bytes]) -> None:
    assert agent.stdout is not None
    agent.stdout.readline()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_pairs(pairs: int, users: int, seconds: float) -> list[Pair]:
    measured = []
    with answering.running() as url, tempfile.TemporaryDirectory() as scratch:
        for n in range(pairs):
            # Every other pair the other way round, so that a drift of the machine favours neither.
            stolen = answering.Stolen()
            both = {
                record: measure(url, Path(scratch) / f"{n}-{record}", users, seconds, record=record)
                for record in ((False, True) if n % 2 else (True, False))
            }
            measured.append(Pair(both[False], both[True], os.getloadavg()[0], stolen.share()))
            print(_row(n + 1, measured[-1]), flush=True)
    return measured


def _row(n: int, pair: Pair) -> str:
    return (
        f"| {n} | {pair.plain.rate:,.0f} | {pair.recording.rate:,.0f} | {pair.rate_lost:+.1%} "
        f"| {pair.plain.cpu_per_request_s * 1e6:.0f} | {pair.recording.cpu_per_request_s * 1e6:.0f} "
        f"| {pair.cpu_added:+.1%} | {pair.load_average:.1f} | {pair.stolen:.1%} |"
    )


def report(pairs: list[Pair], users: int, seconds: float) -> str:
    lost, added = (statistics.median(getattr(p, name) for p in pairs) for name in ("rate_lost", "cpu_added"))
    rows = "\n".join(_row(n, pair) for n, pair in enumerate(pairs, 1))
    return f"""# What recording every request costs Locust

`python bench/load_overhead.py`: {len(pairs)} alternating pairs of {seconds:g} s, {users} users (FastHttpUser, closed
loop, no waiting), Python {platform.python_version()}, {os.cpu_count()} cores, {time.strftime("%Y-%m-%d")}.
The load average is the machine's, with the server and Locust in it. "Stolen" is CPU time that a hypervisor
gave to others.

**Median throughput lost: {lost:.1%}. Median CPU time added to each request: {added:.1%}.** The limit is {LIMIT:.0%}.

| pair | requests/s plain | recording | lost | µs CPU a request plain | recording | added | load average | stolen |
|---|---|---|---|---|---|---|---|---|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--users", type=int, default=20)
    options = parser.parse_args()
    pairs = run_pairs(options.pairs, options.users, options.seconds)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(report(pairs, options.users, options.seconds), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))
    sys.exit(statistics.median(p.cpu_added for p in pairs) > LIMIT)


if __name__ == "__main__":
    main()
