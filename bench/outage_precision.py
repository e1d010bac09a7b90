"""How right a measured outage is: an endpoint goes away and comes back at exactly known moments.

    python bench/outage_precision.py [--rounds 3] [--lengths 20]

Outages of 50 ms to 30 s, in random order. The pulse measures them as it does in a run; beside it, in the same run,
Prometheus scrapes the endpoint every 1, 5 and 15 s, and its own estimate is the time from the first failed scrape to
the next good one. Writes docs/bench/outage_precision.md. Takes 7 minutes a round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaoskit import evidence
from chaoskit.cluster import toolset
from chaoskit.model import Outage
from chaoskit.samples import Sample, Stream, read_samples

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "outage_precision.md"
SHORTEST_S, LONGEST_S = 0.05, 30.0
PERIOD_S = 0.01
LIMIT_S = 0.010
SCRAPES_S = (1, 5, 15)
LATER_S = PERIOD_S + 0.005
"""Each outage is up to a period longer than its length says, and the endpoint may wake up a little late."""
QUIET_S = 16.0
"""Between two outages, so that the slowest scrape tells them apart."""
BODY = b"switch_open 1\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


@dataclass(frozen=True)
class Measured:
    """One outage: its true length, what the pulse said of it, and Prometheus' estimates by scrape interval."""

    true_s: float
    seen: Outage | None
    scraped: dict[int, float]

    @property
    def error_s(self) -> float:
        return (self.seen.seconds if self.seen else 0.0) - self.true_s

    @property
    def contained(self) -> bool:
        return self.seen is not None and self.seen.shortest <= self.true_s <= self.seen.longest


# ── the endpoint ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        KEPT.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER)
        KEPT.add(self._transport)
        if b"Connection: close" in data:
            self._transport.close()


KEPT: set[asyncio.Transport] = set()
"""Connections that have been answered, and wait for the next request."""


def bound(port: int) -> socket.socket:
    """A socket that listens as soon as it is told to; until then, who connects is refused."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    made.setblocking(False)
    return made


async def serve(lengths: Sequence[float]) -> None:
    """Says its port; then goes away and comes back as told, and says when it did."""
    with contextlib.suppress(PermissionError):  # Its own lateness would be measured as the pulse's error.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    loop = asyncio.get_running_loop()
    listening = bound(0)
    listening.listen(1024)
    port = listening.getsockname()[1]
    server = await loop.create_server(Answering, sock=listening)
    print(port, flush=True)
    await asyncio.sleep(QUIET_S)
    for length in lengths:
        for _ in range(3):  # Who has connected by now is still accepted, read and answered.
            await asyncio.sleep(0)
        server.close()
        closed = time.monotonic()
        for transport in list(KEPT):
            transport.abort()
        following = bound(port)
        await asyncio.sleep(max(0.0, closed + length - time.monotonic()))
        following.listen(1024)
        opened = time.monotonic()
        server = await loop.create_server(Answering, sock=following)
        print(json.dumps([closed, opened]), flush=True)
        await asyncio.sleep(QUIET_S)


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[str]:
    """A Prometheus beside it; its URL."""
    found = toolset.ensure(print)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    jobs = [
        {
            "job_name": f"every {seconds} s",
            "scrape_interval": f"{seconds}s",
            "scrape_timeout": f"{seconds}s",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for seconds in SCRAPES_S
    ]
    (folder / "prometheus.json").write_text(json.dumps({"scrape_configs": jobs}))
    argv = [
        f"{found.bin}/prometheus",
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        yield f"http://127.0.0.1:{own}"
        process.terminate()


def scrapes(url: str, seconds: int, span_s: float) -> list[tuple[float, bool]]:
    """Every scrape of a job: (Unix time, whether it was answered)."""
    query = urllib.parse.urlencode({"query": f'up{{job="every {seconds} s"}}[{int(span_s) + 60}s]'})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:  # noqa: S310 - our own
        (series,) = json.load(answer)["data"]["result"]
    return [(float(at), value == "1") for at, value in series["values"]]


def estimate(seen: Sequence[tuple[float, bool]], closed: float, opened: float, interval_s: float) -> float:
    """From the first failed scrape to the next good one; 0 where no scrape failed. Times in Unix seconds."""
    failed = [at for at, good in seen if not good and closed - 0.5 <= at <= opened + interval_s]
    if not failed:
        return 0.0
    return next((at for at, good in seen if good and at > failed[-1]), failed[-1]) - failed[0]


def measure(lengths: Sequence[float]) -> list[Measured]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        argv = [sys.executable, __file__, "--serve", json.dumps(list(lengths))]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as endpoint:
            assert endpoint.stdout is not None
            port = int(endpoint.stdout.readline())
            origin_ns, began = time.monotonic_ns(), time.time()
            with scraping(port, folder) as url, pulsing(port, origin_ns, folder, sum(lengths) + 60 * len(lengths)):
                times = []
                for line in endpoint.stdout:
                    times.append(tuple(at - origin_ns / 1e9 for at in json.loads(line)))
                    print(f"{len(times)} of {len(lengths)}: {times[-1][1] - times[-1][0]:.3f} s", flush=True)
                seen = {seconds: scrapes(url, seconds, time.time() - began) for seconds in SCRAPES_S}
        samples = [s for s in read_samples(folder / "pulse") if s.stream is Stream.FRESH]
    return [one(closed, opened, samples, seen, began) for closed, opened in times]


@contextmanager
def pulsing(port: int, origin_ns: int, folder: Path, longest_s: float) -> Iterator[None]:
    config = {
        "url": f"http://127.0.0.1:{port}/",
        "recording": str(folder / "pulse"),
        "origin_ns": origin_ns,
        "stop_after_s": longest_s,
        "period_s": PERIOD_S,
        "timeout_s": 1.0,
    }
    (folder / "pulse.json").write_text(json.dumps(config))
    argv = [sys.executable, "-m", "chaoskit.load.pulse", str(folder / "pulse.json")]
    with (
        (folder / "said").open("wb") as said,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=said) as pulse,
    ):
        yield
        pulse.terminate()


def one(
    closed: float, opened: float, samples: Sequence[Sample], seen: dict[int, list[tuple[float, bool]]], began: float
) -> Measured:
    found = evidence.outages(samples, Stream.FRESH, closed - QUIET_S / 2, opened + QUIET_S / 2, PERIOD_S)
    unix = {s: estimate(scraped, began + closed, began + opened, s) for s, scraped in seen.items()}
    return Measured(opened - closed, found.longest, unix)


# ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(measured: Sequence[Measured], lengths: Sequence[float], loads: tuple[float, float]) -> str:
    worst = max(abs(m.error_s) for m in measured)
    contained = sum(m.contained for m in measured)
    heads = " | ".join(f"Prometheus, {seconds} s" for seconds in SCRAPES_S)
    rows = "\n".join(_row(length, [m for m in measured if length <= m.true_s < length + LATER_S]) for length in lengths)
    return f"""# How right a measured outage is

`python bench/outage_precision.py`: an endpoint goes away and comes back at known moments, {len(measured)} times. The
pulse sends every {PERIOD_S * 1e3:g} ms; beside it, in the same run, Prometheus scrapes the same endpoint, and its
estimate is the time from the first failed scrape to the next good one. {os.cpu_count()} cores, Python
{platform.python_version()}, {time.strftime("%Y-%m-%d")}; load average {loads[0]:.1f} before and {loads[1]:.1f} after.

**Largest error of the pulse: {worst * 1e3:.1f} ms** (limit {LIMIT_S * 1e3:g} ms). **The printed interval contains the
truth in {contained} of {len(measured)} outages.**

Errors: median and, in brackets, largest, without sign. "Missed": outages in which no scrape failed.

| length | pulse | its interval | {heads} |
|---|---|---|{"---|" * len(SCRAPES_S)}
{rows}
"""


def _row(length: float, found: Sequence[Measured]) -> str:
    errors = [abs(m.error_s) * 1e3 for m in found]
    widths = [m.seen.uncertainty * 1e3 for m in found if m.seen]
    cells = [f"{statistics.median(errors):.1f} ms ({max(errors):.1f})", f"± {statistics.median(widths):.0f} ms"]
    for seconds in SCRAPES_S:
        off = [abs(m.scraped[seconds] - m.true_s) for m in found]
        missed = sum(m.scraped[seconds] == 0 for m in found)
        cells.append(f"{statistics.median(off):.2f} s ({max(off):.2f}){f', {missed} missed' if missed else ''}")
    return f"| {length:.3g} s | {' | '.join(cells)} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--lengths", type=int, default=20)
    options.add_argument("--serve", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve is not None:
        asyncio.run(serve(json.loads(chosen.serve)))
        return
    growth = (LONGEST_S / SHORTEST_S) ** (1 / (chosen.lengths - 1))
    lengths = [SHORTEST_S * growth**n for n in range(chosen.lengths)]
    rng, order = random.Random(7), list[float]()  # noqa: S311 - repeatable
    for _ in range(chosen.rounds):
        order += rng.sample(lengths, len(lengths))
    before = os.getloadavg()[0]
    # A fraction of the period more each time, so that the ends fall everywhere between two requests.
    measured = measure([length + rng.random() * PERIOD_S for length in order])
    text = report(measured, lengths, (before, os.getloadavg()[0]))
    TABLE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
