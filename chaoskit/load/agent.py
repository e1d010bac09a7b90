"""Locust as a library, in a process of its own: runs a locustfile's users and records each of their requests.

    python -m chaoskit.load.agent CONFIG.json        (the fields of AgentConfig)

Locust changes the standard library for its whole process (gevent), which is why this is a process. The locustfile is
loaded as Locust loads it; command-line arguments that it defines have their defaults.
"""

# ruff: noqa: I001  # Locust makes the standard library cooperative when it is imported, so it comes first.
import locust
import locust.argument_parser
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner
from locust.util.load_locustfile import load_locustfile

import functools
import gc
import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gevent
import gevent.os
import gevent.signal
from gevent.event import Event

from chaoskit import precedence
from chaoskit.load.process import (
    STATUS_EVERY_S,
    InputError,
    RunClock,
    Voice,
    config_argument,
    read_config,
)
from chaoskit.load.recorder import Foreign, LocustRecorder, Pacing
from chaoskit.samples import Outcome, SampleWriter

REQUEST_TIMEOUT_S = 10.0
"""For users that set none. Locust's own 60 s (and no limit at all for HttpUser) would outlast most outages."""
STOP_WITHIN_S = 1.5
"""How long users have to finish what they are doing when the load ends."""
_LOG_AT_MOST = 200
"""Lines of log; a task that fails in each run would otherwise fill the disk with tracebacks."""


@dataclass(frozen=True)
class AgentConfig:
    locustfile: str
    host: str = ""
    users: int = 0
    spawn_rate: float = 1.0
    recording: str = ""
    """Path without suffix."""
    origin_ns: int = 0
    stop_after_s: float = 0.0
    seed: int = 0
    workers: int = 0
    """A master that waits for so many, and sends nothing itself."""
    master_host: str = ""
    """A worker of the master there."""
    master_port: int = 0
    check_only: bool = False
    """Only load the locustfile, say which users it has, and end."""


@dataclass(frozen=True)
class Loaded:
    users: list[type[locust.User]]
    shape: locust.LoadTestShape | None


def load(path: Path) -> Loaded:
    """The users and the shape of a locustfile; InputError that names the line if it does not import."""
    try:
        users, shapes = load_locustfile(str(path.resolve()))
    except (Exception, SystemExit) as error:  # Code of the user's, which may raise anything.
        raise InputError("the locustfile does not import", where=_where(error, path), why=_why(error)) from error
    if not users:
        raise InputError(
            "the locustfile has no users", where=str(path), why="no class in it derives from User with abstract = False"
        )
    return Loaded(list(users.values()), shapes[0] if shapes else None)


def _where(error: BaseException, path: Path) -> str:
    """The line in the locustfile, or in a file beside it, at which it went wrong."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [line for line in lines if Path(line[0]).resolve() == path.resolve()] or lines[-1:]
    return f"{own[-1][0]}:{own[-1][1]}" if path.exists() and own else str(path)


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"


def shorten_timeouts(user: type[locust.User]) -> None:
    """Gives a user class REQUEST_TIMEOUT_S where it sets no timeout of its own."""
    if issubclass(user, FastHttpUser):
        for name in ("network_timeout", "connection_timeout"):
            if _defined_in(user, name) is FastHttpUser:
                setattr(user, name, REQUEST_TIMEOUT_S)
    elif issubclass(user, locust.HttpUser):
        _shorten_http_user(user)


def _defined_in(kind: type, name: str) -> type | None:
    return next((base for base in kind.__mro__ if name in base.__dict__), None)


def _shorten_http_user(user: type[locust.HttpUser]) -> None:
    """requests has no default timeout to set, so each user's session is given one as it is made."""
    init: Callable[[Foreign, Environment], None] = user.__init__

    @functools.wraps(init)
    def with_timeout(self: Foreign, environment: Environment) -> None:
        init(self, environment)
        self.client.request = functools.partial(self.client.request, timeout=REQUEST_TIMEOUT_S)

    user.__init__ = with_timeout  # type: ignore[method-assign]


class Agent:
    def __init__(self, config: AgentConfig, loaded: Loaded, voice: Voice) -> None:
        self._config, self._voice = config, voice
        self._clock = RunClock(config.origin_ns)
        self.recorder = LocustRecorder(SampleWriter(Path(config.recording)), config.origin_ns)
        self._pacing = Pacing()
        self._shape = loaded.shape
        self.environment = _environment(config, loaded)
        self._events: Foreign = cast(Foreign, self.environment.events)
        for user in loaded.users:
            shorten_timeouts(user)
            self._pacing.follow(user)
        self.record_request = self.recorder.listener(paced=self._pacing.found)
        self._events.request.add_listener(self.record_request)
        self._runner = _runner(self.environment, config)
        self._events.init.fire(environment=self.environment, runner=self._runner, web_ui=None)
        self._cpu = (time.monotonic(), time.process_time())
        self._late: deque[float] = deque(maxlen=100)
        self._sent_before = 0
        self.stopping = Event()

    def run(self) -> None:
        """Until told to stop, or until the configured end."""
        started = False
        deadline = time.monotonic() + self._config.stop_after_s
        while not self.stopping.is_set() and time.monotonic() < deadline:
            if not started and self._is_complete():
                started = True
                self._start()
            self.recorder.flush()
            self._voice.say(self._status())
            due = time.perf_counter() + STATUS_EVERY_S
            if not self.stopping.wait(STATUS_EVERY_S):
                self._late.append(max(0.0, time.perf_counter() - due))
        self._end()

    def set_users(self, users: int, spawn_rate: float) -> None:
        """From now on so many, whatever is still ramping; a shape of the locustfile's own ends, or it would undo it."""
        if self._runner.shape_greenlet is not None:
            self._runner.shape_greenlet.kill(block=True)
        self._runner.start(users, spawn_rate)

    def _is_complete(self) -> bool:
        """Whether all are there who are to send; a worker waits for its master to begin."""
        if isinstance(self._runner, MasterRunner):
            return len(self._runner.clients.ready) >= self._config.workers
        return not isinstance(self._runner, WorkerRunner)

    def _start(self) -> None:
        if self._shape is not None:
            self._runner.start_shape()
        elif self._config.users:
            self._runner.start(self._config.users, self._config.spawn_rate)

    def _end(self) -> None:
        self.environment.stop_timeout = STOP_WITHIN_S / 2
        with gevent.Timeout(STOP_WITHIN_S, False):
            self._runner.quit()
            self._events.quitting.fire(environment=self.environment, reverse=True)
        self.recorder.close()
        self._voice.say(self._status() | {"done": True})

    def _status(self) -> dict[str, Any]:
        before, self._cpu = self._cpu, (time.monotonic(), time.process_time())
        span = max(self._cpu[0] - before[0], 1e-3)
        counts = self.recorder.counts
        rate = (counts.sent - self._sent_before) / span
        self._sent_before = counts.sent
        return {
            "t": self._clock.now(),
            "users": self._runner.user_count,
            "sent": counts.sent,
            "ok": counts.ok,
            "failed": counts.failed,
            "not_sent": 0,
            "outcomes": {outcome.name.lower(): self.recorder.outcomes[outcome] for outcome in Outcome},
            "rate": round(rate, 1),
            "cpu": round((self._cpu[1] - before[1]) / span, 3),
            "behind": round(self._pacing.skipped),
            "late_p99_s": round(max(self._late, default=0.0), 6),
        }


def _runner(environment: Environment, config: AgentConfig) -> Runner:
    if config.workers:
        return environment.create_master_runner("*", config.master_port)
    if config.master_host:
        return environment.create_worker_runner(config.master_host, config.master_port)
    return environment.create_local_runner()


def _environment(config: AgentConfig, loaded: Loaded) -> Environment:
    arguments = ["--headless", "--host", config.host, "--users", str(config.users)]
    arguments += ["--spawn-rate", str(config.spawn_rate), "--locustfile", config.locustfile]
    return Environment(
        user_classes=loaded.users,
        shape_class=loaded.shape,
        events=locust.events,
        host=config.host,
        locustfile=Path(config.locustfile).name,
        parsed_options=locust.argument_parser.get_parser().parse_args(arguments),
    )


class _FirstLines(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._left = _LOG_AT_MOST

    def filter(self, record: logging.LogRecord) -> bool:
        self._left -= 1
        return self._left >= 0


def _set_up_log() -> None:
    handler = logging.StreamHandler()
    handler.addFilter(_FirstLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(message)s")


def _obey(agent: Agent) -> None:
    """Takes orders from standard input, until its end, which comes when whoever started us is gone."""
    gevent.os.make_nonblocking(0)
    unread = b""
    while more := gevent.os.nb_read(0, 4096):
        *lines, unread = (unread + more).split(b"\n")
        for line in lines:
            order = json.loads(line)
            agent.set_users(int(order["users"]), float(order["spawn_rate"]))
    agent.stopping.set()


def _run(config: AgentConfig, voice: Voice) -> None:
    random.seed(config.seed)
    path = Path(config.locustfile)
    # For locustfiles that keep a record of their own, such as writer.py, by the same clock.
    os.environ |= {
        "CHAOSKIT_RUN_FOLDER": str(Path(config.recording).parent),
        "CHAOSKIT_ORIGIN_NS": str(config.origin_ns),
    }
    if not path.exists():
        raise InputError("there is no such locustfile", where=str(path))
    loaded = load(path)
    if config.check_only:
        voice.say({"users": [user.__name__ for user in loaded.users], "shape": loaded.shape is not None})
        return
    agent = Agent(config, loaded, voice)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        gevent.signal.signal(number, lambda *_: agent.stopping.set())
    gevent.spawn(_obey, agent)
    gc.freeze()  # What is loaded stays: the collector need not look at it again and again.
    agent.run()


def main(argv: list[str]) -> int:
    voice = Voice()
    _set_up_log()
    precedence.go_first()
    try:
        _run(read_config(AgentConfig, config_argument(argv)), voice)
    except InputError as error:
        return voice.fail(error)
    return 0


if __name__ == "__main__":
    code = main(sys.argv)
    # Locust's own exit handlers wait for greenlets that a user's code may hold for ever; everything of ours is written.
    sys.stderr.flush()
    os._exit(code)
