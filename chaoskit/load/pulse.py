"""The pulse: one request every period on a fixed schedule, whatever the service does. It measures outages.

    python -m chaoskit.load.pulse CONFIG.json        (the fields of PulseConfig)

It is open-loop: no request waits for an earlier one. There are two streams, half a period apart:

- FRESH opens a new connection for each request. It sees what a new user sees.
- KEPT sends over a connection that it keeps while it works. It sees what a client with keep-alive sees: a Service
  balances connections, not requests, so a kept one stays with its pod until it breaks. Requests are not pipelined and
  do not queue behind each other: when the kept connection is still busy as the next request falls due, another one is
  opened and kept too, as HTTP clients with a connection pool do. The last one used is the first one taken, so that a
  service that answers within the period sees a single connection. Nothing is retried: a request that meets a closing
  connection is lost, and is recorded as lost.

What cannot be sent in time (too many pending, the process was stalled for longer than GIVE_UP_S, out of descriptors)
is recorded as NOT_SENT: it says nothing of the service, neither good nor bad.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit import precedence
from chaoskit.load import ticks
from chaoskit.load.answer import Answer, BadAnswerError
from chaoskit.load.connection import Connection, Endpoint, connect, endpoint, source_ports
from chaoskit.load.metrics import PulseMetrics
from chaoskit.load.outcomes import of_os_error, of_status
from chaoskit.load.process import (
    STATUS_EVERY_S,
    InputError,
    RunClock,
    Voice,
    config_argument,
    read_config,
)
from chaoskit.samples import Outcome, SampleWriter, Stream

GIVE_UP_S = 0.1
"""A request that could not be sent within this is not sent at all: its answer would tell of another moment."""
FLUSH_EVERY_S = 0.1
"""With the engine's look as often, a run ends within 0.3 s of what safety.stop_if forbids."""
LINGER_S = 2.0
"""How long the end waits for requests that are pending."""
_LATENESS_WINDOW = 1000
"""The lateness that a status tells is that of the last requests, of this many (5 s at the default period)."""
_SWITCH_INTERVAL_S = 0.0005
"""A scrape is answered by a thread: it must not hold the interpreter for the default 5 ms."""


@dataclass(frozen=True)
class PulseConfig:
    url: str
    recording: str
    """Path without suffix."""
    origin_ns: int
    stop_after_s: float
    period_s: float = 0.01
    timeout_s: float = 2.0
    """For the whole request, connecting included."""
    max_pending: int = 1000
    metrics_address: str = ""
    experiment: str = ""
    run: str = ""
    seed: int = 0
    namespace: str = ""
    cluster: str = ""


@dataclass
class _Counts:
    due: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    not_sent: int = 0


class _Downtime:
    """Since when no request has been good, by the times at which they were due."""

    def __init__(self) -> None:
        self._last_good = float("-inf")
        self.since: float | None = None

    def see(self, intended: float, *, good: bool) -> None:
        if good:
            self._last_good = max(self._last_good, intended)
            if self.since is not None and self.since < self._last_good:
                self.since = None
        elif intended > self._last_good:
            self.since = intended if self.since is None else min(self.since, intended)


class Recorder:
    """Every request's end: written, counted, and shown to Prometheus."""

    def __init__(self, writer: SampleWriter, metrics: PulseMetrics) -> None:
        self._writer, self._metrics = writer, metrics
        self._name = writer.name("pulse")
        self._nobody = writer.name("")
        self.counts = _Counts()
        self.lateness: deque[float] = deque(maxlen=_LATENESS_WINDOW)
        self.downtime = _Downtime()

    def record(
        self, stream: Stream, intended: float, sent: float, end: float, outcome: Outcome, answer: Answer | None = None
    ) -> None:
        self._count(stream, intended, sent, outcome)
        answerer = self._writer.name(answer.answerer) if answer else self._nobody
        status = answer.status if answer else 0
        self._writer.write(intended, sent, end, status, outcome, stream, self._name, answerer)
        self._metrics.request(stream, outcome, intended, sent, end)

    def _count(self, stream: Stream, intended: float, sent: float, outcome: Outcome) -> None:
        if outcome is Outcome.NOT_SENT:
            self.counts.not_sent += 1
            return
        self.counts.sent += 1
        self.lateness.append(sent - intended)
        if outcome is Outcome.OK:
            self.counts.ok += 1
        else:
            self.counts.failed += 1
        if stream is Stream.FRESH:
            self.downtime.see(intended, good=outcome is Outcome.OK)

    def late_p99(self) -> float:
        ordered = sorted(self.lateness)
        return ordered[int(len(ordered) * 0.99)] if ordered else 0.0

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Pulse:
    def __init__(self, config: PulseConfig, to: Endpoint, recorder: Recorder, voice: Voice) -> None:
        self._config, self._to, self._recorder, self._voice = config, to, recorder, voice
        self._clock = RunClock(config.origin_ns)
        self._interval_ns = round(config.period_s * 1e9 / 2)
        self._next_ns = 0
        self._ticks = 0
        self._pending: set[asyncio.Task[None]] = set()
        self._kept: list[Connection] = []
        self._ports = source_ports()
        self._fresh_request, self._kept_request = to.request(keep=False), to.request(keep=True)
        self._cpu = (time.monotonic(), time.process_time())
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Until told to stop, or until the configured end."""
        self._next_ns = time.monotonic_ns() + self._interval_ns
        end_ticks = ticks.every(self._next_ns, self._interval_ns, self._wake)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.stop_after_s):
                await self._tell()
        end_ticks()
        if self._pending:
            await asyncio.wait(self._pending, timeout=min(self._config.timeout_s, LINGER_S))
        for task in self._pending:
            task.cancel()
        await asyncio.gather(*self._pending, return_exceptions=True)
        self._recorder.close()
        self._voice.say(self._status() | {"done": True})

    async def _tell(self) -> None:
        """What was recorded, at once, for a run may have to stop by it; now and then, how the pulse itself is."""
        told = float("-inf")
        while not self.stopping.is_set():
            self._recorder.flush()
            if self._clock.now() - told >= STATUS_EVERY_S:
                told = self._clock.now()
                self._voice.say(self._status())
                gc.collect()  # Off otherwise: none comes in the way of a tick. It takes under half a millisecond.
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), FLUSH_EVERY_S)

    def _status(self) -> dict[str, Any]:
        counts = self._recorder.counts
        return {
            "t": self._clock.now(),
            "due": counts.due,
            "sent": counts.sent,
            "ok": counts.ok,
            "failed": counts.failed,
            "not_sent": counts.not_sent,
            "pending": len(self._pending),
            "late_p99_s": round(self._recorder.late_p99(), 6),
            "down_since": self._recorder.downtime.since,
            "cpu": self._cpu_share(),
        }

    def _cpu_share(self) -> float:
        """Of one core, since the last call."""
        before, self._cpu = self._cpu, (time.monotonic(), time.process_time())
        return round((self._cpu[1] - before[1]) / max(self._cpu[0] - before[0], 1e-3), 3)

    def _wake(self) -> None:
        while self._next_ns <= time.monotonic_ns():
            self._launch((Stream.FRESH, Stream.KEPT)[self._ticks % 2], self._next_ns)
            self._ticks += 1
            self._next_ns += self._interval_ns

    def _launch(self, stream: Stream, due_ns: int) -> None:
        self._recorder.counts.due += 1
        intended, now = self._clock.at(due_ns), self._clock.now()
        if len(self._pending) >= self._config.max_pending or now - intended > GIVE_UP_S:
            self._recorder.record(stream, intended, now, now, Outcome.NOT_SENT)
            return
        task = asyncio.create_task(self._request(stream, intended))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _request(self, stream: Stream, intended: float) -> None:
        sent = self._clock.now()
        answer: Answer | None = None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                answer = await (self._over_kept() if stream is Stream.KEPT else self._over_fresh())
            outcome = of_status(answer.status)
        except OSError as error:
            outcome = of_os_error(error)
            if outcome is Outcome.TIMEOUT and self._clock.now() - sent > self._config.timeout_s + GIVE_UP_S:
                outcome = Outcome.NOT_SENT  # We stood still; whether an answer came in time is not known.
        except BadAnswerError:
            outcome = Outcome.OTHER
        except asyncio.CancelledError:
            outcome = Outcome.NOT_SENT  # The pulse ended before the answer came: nothing is known of it.
        end = self._clock.at(answer.end_ns) if answer else self._clock.now()
        self._recorder.record(stream, intended, sent, end, outcome, answer)

    async def _over_fresh(self) -> Answer:
        connection = await connect(self._to, self._ports)
        try:
            return await connection.request(self._fresh_request)
        finally:
            connection.close()

    async def _over_kept(self) -> Answer:
        connection = self._idle() or await connect(self._to, self._ports)
        answer: Answer | None = None
        try:
            answer = await connection.request(self._kept_request)
        finally:
            if answer and answer.reusable and connection.open:
                self._kept.append(connection)
            else:
                connection.close()
        return answer

    def _idle(self) -> Connection | None:
        while self._kept:
            connection = self._kept.pop()
            if connection.open:
                return connection
        return None


def _listen(pulse: Pulse, metrics: PulseMetrics) -> None:
    """Hears what the run's side says, in a thread, for standard input may be anything; its end is ours."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            with suppress(ValueError):
                loop.call_soon_threadsafe(metrics.hear, json.loads(line))
        with suppress(RuntimeError):  # The loop may have ended meanwhile.
            loop.call_soon_threadsafe(pulse.stopping.set)

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _prepare_process(max_pending: int) -> None:
    """Keeps what could delay a tick out of the way, as far as our rights go."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.disable()
    gc.freeze()
    _take_precedence()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * max_pending + 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))


def _take_precedence() -> None:
    """Real-time scheduling where it is allowed, otherwise before others as far as that is, for this thread and those it
    starts.

    The pulse uses some 15 % of a core, in bursts of a fraction of a millisecond, so nobody starves by this.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except (OSError, AttributeError):
        precedence.go_first()


def _run_labels(config: PulseConfig) -> dict[str, str]:
    """`namespace` would be the scraped pod's own, wherever the pulse is in one."""
    return {
        "experiment": config.experiment,
        "run": config.run,
        "seed": str(config.seed),
        "app_namespace": config.namespace,
        "cluster": config.cluster,
    }


async def _run(config: PulseConfig, voice: Voice) -> None:
    try:
        to = endpoint(config.url)
    except ValueError as error:
        raise InputError("the pulse has no place to send to", where=config.url, why=str(error)) from error
    _prepare_process(config.max_pending)
    metrics = PulseMetrics(_run_labels(config), time.time() - RunClock(config.origin_ns).now())
    if config.metrics_address:
        metrics.serve(config.metrics_address)
    pulse = Pulse(config, to, Recorder(SampleWriter(Path(config.recording)), metrics), voice)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, pulse.stopping.set)
    _listen(pulse, metrics)
    await pulse.run()


def main(argv: list[str]) -> int:
    voice = Voice()
    try:
        asyncio.run(_run(read_config(PulseConfig, config_argument(argv)), voice))
    except InputError as error:
        return voice.fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
