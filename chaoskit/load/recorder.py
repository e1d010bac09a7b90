"""Recording each request of Locust's users: when it was due, sent and answered, how it ended, and who answered.

It listens to Locust's `request` event. `bench/load_overhead.py` measures what this costs the users.

**Intended.** Users whose `wait_time` is `constant_pacing` or `constant_throughput` have a schedule: a task is due one
interval after the task before it was due or, where that one was held up, began. The first request of such a task is
recorded with the time at which its task was due, so that waiting for a slow predecessor counts as the latency that a
user would have seen. All other requests (later ones of the same task, closed-loop users) are intended when sent.

**Sent.** Locust gives the start by the wall clock and the duration by a monotonic one. The wall clock is compared with
the monotonic one all the time; where it was set meanwhile, a request's start is counted back from the event instead.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import gevent
import gevent.timeout
import requests
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import TaskSet, User
from locust.exception import CatchResponseError, ResponseError

from chaoskit.load.outcomes import of_os_error, of_status
from chaoskit.samples import RECORD, Outcome, SampleWriter, Stream

_CLOCK_WAS_SET_S = 0.002
_DUE = "_chaoskit_due"
_ANSWERER = ("x-served-by", "x-version", "x-color")
_OK, _LOCUST = int(Outcome.OK), int(Stream.LOCUST)


Foreign: TypeAlias = Any
"""An object of Locust's or of a locustfile's, of which no types are known."""


@dataclass
class Counts:
    sent: int = 0
    ok: int = 0
    failed: int = 0


class LocustRecorder:
    """Attach `listener()` to Locust's `request` event and call `flush` a few times a second."""

    def __init__(self, writer: SampleWriter, origin_ns: int) -> None:
        self._writer = writer
        self._origin = origin_ns / 1e9
        self._nobody = writer.name("")
        self._numbers: dict[tuple[str, str], int] = {}
        self._answerers: dict[tuple[Foreign, ...], int] = {}
        self._offset = time.time() - time.monotonic()
        self._steady_since = 0.0
        """When the wall clock was last seen to have been set."""
        self.outcomes = [0] * len(Outcome)

    def listener(self, *, paced: bool) -> Callable[..., None]:
        """What hears of each request. `paced`: some users have a schedule, so that it asks when their tasks were due.

        It is all that recording costs the users, hence in one piece and with everything at hand. Each request is packed
        at once, to bytes: objects that are kept for later would wake the garbage collector more often.
        """
        numbers, answerers, outcomes, origin = self._numbers, self._answerers, self.outcomes, self._origin
        write, pack, monotonic, get = self._writer.write_packed, RECORD.pack, time.monotonic, dict.get

        def on_request(
            request_type: str,
            name: str,
            response_time: float | None,
            start_time: float = 0.0,
            response: Foreign = None,
            exception: BaseException | None = None,
            **_: Foreign,
        ) -> None:
            took = (response_time or 0.0) / 1e3
            sent, started = monotonic() - took, start_time - self._offset
            # Counting back is late where the user's code looked at the answer before it was reported.
            if started < sent and (sent - started < _CLOCK_WAS_SET_S or (start_time and self._steady(sent))):
                sent = started
            due = _due_of_user() if paced else None
            status, headers = (0, None) if response is None else (response.status_code or 0, response.headers)
            outcome = _OK if exception is None else of_exception(exception, status)
            outcomes[outcome] += 1
            number = numbers.get((request_type, name))
            answerer = None
            if isinstance(headers, dict):
                # FastHttpUser's headers are a dict inside, whose own get() saves three slow calls. What it gives
                # (field and value) is only a key here: what it means is asked of the headers themselves, once.
                told = (get(headers, "x-served-by"), get(headers, "x-version"), get(headers, "x-color"))
                try:  # Unlike suppress(), this costs nothing where nothing is raised.
                    answerer = answerers.get(told)
                except TypeError:  # A field that came twice is a list, and no key.
                    answerer = None
            write(
                pack(
                    (sent if due is None or due > sent else due) - origin,
                    sent - origin,
                    sent + took - origin,
                    status,
                    outcome,
                    _LOCUST,
                    self._number_of_name(request_type, name) if number is None else number,
                    self._number_of_answerer(headers) if answerer is None else answerer,
                )
            )

        return on_request

    def _steady(self, since: float) -> bool:
        """Whether the wall clock was left alone since then."""
        return since > self._steady_since and abs(time.time() - time.monotonic() - self._offset) < _CLOCK_WAS_SET_S

    def flush(self) -> None:
        """Hands what was recorded to the operating system, and looks at the clocks."""
        now = time.monotonic()
        offset = time.time() - now
        if abs(offset - self._offset) > _CLOCK_WAS_SET_S:
            self._steady_since = now
        self._offset = offset
        self._writer.flush()

    def _number_of_name(self, method: str, name: str) -> int:
        number = self._numbers[method, name] = self._writer.name(f"{method} {name}")
        return number

    def _number_of_answerer(self, headers: Foreign) -> int:
        if headers is None:
            return self._nobody
        number = self._writer.name(_answerer(headers))
        if isinstance(headers, dict):
            with suppress(TypeError):
                self._answerers[tuple(dict.get(headers, field) for field in _ANSWERER)] = number
        return number

    @property
    def counts(self) -> Counts:
        sent = sum(self.outcomes) - self.outcomes[Outcome.NOT_SENT]
        ok = self.outcomes[Outcome.OK]
        return Counts(sent=sent, ok=ok, failed=sent - ok)

    def close(self) -> None:
        self.flush()
        self._writer.close()


def _answerer(headers: Foreign) -> str:
    parts = [str(headers.get(name) or "") for name in _ANSWERER]
    return "|".join(parts) if any(parts) else ""


def _due_of_user() -> float | None:
    """When the task was due whose first request this is: the greenlet's user noted it as it began to wait."""
    user = getattr(gevent.getcurrent(), "args", None)
    return user[0].__dict__.pop(_DUE, None) if user else None


def of_exception(error: BaseException, status: int) -> Outcome:
    """How a request ended that Locust reports with an exception.

    A status means that an answer came: it was a bad one, or the user's own code refused it (`catch_response`).
    """
    if status >= 400 or isinstance(error, CatchResponseError | ResponseError):
        return Outcome.HTTP_ERROR
    if isinstance(error, gevent.timeout.Timeout | requests.Timeout):
        return Outcome.TIMEOUT
    for cause in _chain(error):
        if isinstance(cause, HTTPConnectionClosed):
            return Outcome.RESET
        if isinstance(cause, HTTPParseError):
            return Outcome.OTHER
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException):
            return of_os_error(cause)
    return Outcome.OTHER if status == 0 else of_status(400)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, innermost first: libraries wrap the system's errors in their own."""
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__ or _wrapped(at)
    return chain[::-1]


def _wrapped(error: BaseException) -> BaseException | None:
    """geventhttpclient keeps the cause as `original`, urllib3 as `reason`, others among the arguments."""
    candidates = (getattr(error, "original", None), getattr(error, "reason", None), *error.args)
    return next((value for value in candidates if isinstance(value, BaseException)), None)


class Pacing:
    """Follows the schedules of the users that have one: what was due when, and what fell behind."""

    def __init__(self) -> None:
        self.found = False
        """Whether any user has a schedule."""
        self.skipped = 0.0
        """Tasks that were due while their user was still busy, and that Locust leaves out."""

    def follow(self, holder: type[User] | type[TaskSet]) -> None:
        """Makes the `wait_time` of a user class, and of the task sets in it, note when the next task is due."""
        wait_time = holder.__dict__.get("wait_time") or getattr(holder, "wait_time", None)
        interval = _interval(wait_time)
        if interval is not None and callable(wait_time):
            self.found = True
            holder.wait_time = self._noting(wait_time, interval)  # type: ignore[method-assign]
        for task in holder.tasks:
            if inspect.isclass(task) and issubclass(task, TaskSet):
                self.follow(task)

    def _noting(self, wait_time: Callable[[Any], float], interval: float) -> Callable[[Any], float]:
        def noting(holder: Foreign) -> float:
            # `constant_pacing` keeps these two: when it was last asked, and how long it then said to wait.
            began = holder._cp_last_run + holder._cp_last_wait_time
            wait = wait_time(holder)
            user = holder.user if isinstance(holder, TaskSet) else holder
            setattr(user, _DUE, began + interval)
            self.skipped += max(0.0, (time.perf_counter() - began) / interval - 1)
            return wait

        return noting


def _interval(wait_time: object) -> float | None:
    """Seconds between the tasks of a paced user; None for all other ways to wait."""
    if not inspect.isfunction(wait_time) or wait_time.__module__ != "locust.user.wait_time":
        return None
    if not wait_time.__qualname__.startswith("constant_pacing."):
        return None
    return float(inspect.getclosurevars(wait_time).nonlocals["wait_time"])
