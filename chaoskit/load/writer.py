"""The built-in load for persistence: writers who remember what the shop acknowledged, and look whether it is there.

    RATE tasks a second for each user (CHAOSKIT_WRITER_RATE, 5 by default), one request each

Each order is sent with an id of its own until it is acknowledged, as careful clients do; beside that, writers look up
orders that they know of and ask how many there are. What they learned is in `ledger.jsonl` in the run's folder, one
line each, and at the end, when nobody writes any more, all orders that the shop has: judging compares the two.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any, TypeAlias

import gevent
from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment

Answer: TypeAlias = Any
"""Locust's, of which no types are known."""
RATE = float(os.environ.get("CHAOSKIT_WRITER_RATE", "5"))
LEDGER = "ledger.jsonl"
OLD_S = 2.0
"""Orders are looked up again once they are older than this: long enough for whatever is written late."""
_REMEMBERED = 200
_PAGE = 1000
"""So many orders are read at once; the shop gives no more."""
_LAST_READ_TIMEOUT_S = 0.5
"""The load has 1.5 s to end, and its users take some of that."""


class Ledger:
    """Appends what was learned, each line at once: it is whole up to the moment at which the load is killed."""

    def __init__(self, folder: Path, origin_ns: int) -> None:
        self._file = (folder / LEDGER).open("a", encoding="utf-8")
        self._origin_ns = origin_ns

    def now(self) -> float:
        """Seconds since the run's origin."""
        return (time.monotonic_ns() - self._origin_ns) / 1e9

    def note(self, what: str, at: float, **more: object) -> None:
        line = {"what": what, "at": round(at, 6), "end": round(self.now(), 6), **more}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


ledger = Ledger(Path(os.environ.get("CHAOSKIT_RUN_FOLDER", ".")), int(os.environ.get("CHAOSKIT_ORIGIN_NS", "0")))


class Writer(FastHttpUser):
    wait_time = constant_throughput(RATE)
    network_timeout = 5.0
    connection_timeout = 5.0

    def on_start(self) -> None:
        """Locust starts users in batches: writers spread over the interval, or they would always come at once."""
        self.known: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)
        self.open = ""
        """The order that was sent and not acknowledged yet."""
        gevent.sleep(random.random() / RATE)  # noqa: S311  # Not for secrets.
        self._cp_last_run = time.perf_counter()  # The pace counts from here.

    @task(3)
    def write(self) -> None:
        self.open = self.open or uuid.uuid4().hex
        at = ledger.now()
        sent = {"id": self.open, "item": "tea", "quantity": 1}
        with self.client.post("/orders", json=sent, catch_response=True) as answer:
            body = _body(answer)
            acknowledged = body is not None and body.get("id") == self.open
            if body is not None and not acknowledged:
                answer.failure("acknowledged another order")
        ledger.note("wrote", at, id=self.open, status=answer.status_code, acknowledged=acknowledged)
        if acknowledged:
            self.known.append((at, self.open))
            self.open = ""

    @task(1)
    def look_up(self) -> None:
        old = [order for at, order in self.known if ledger.now() - at > OLD_S]
        if not old:
            self.count()
            return
        order, at = random.choice(old), ledger.now()  # noqa: S311
        with self.client.get(f"/orders/{order}", name="/orders/[id]", catch_response=True) as answer:
            gone = answer.status_code == 404
            if gone:
                answer.failure("an acknowledged order is gone")
            elif (body := _body(answer)) is not None and body.get("id") != order:
                answer.failure("another order than the one asked for")
        if gone or 200 <= answer.status_code < 400:
            ledger.note("looked up", at, id=order, found=not gone)

    @task(1)
    def count(self) -> None:
        at = ledger.now()
        with self.client.get("/orders", name="/orders", catch_response=True) as answer:
            body = _body(answer)
        if body is not None:
            ledger.note("counted", at, count=body.get("count"))


class _Reader(FastHttpUser):
    """Reads all orders at the end. Nobody starts it: it is there for its client."""

    abstract = True
    network_timeout = connection_timeout = _LAST_READ_TIMEOUT_S

    def all(self) -> list[str]:
        """The ids in the shop's order. ValueError where an answer was not good."""
        found: list[str] = []
        while True:
            answer = self.client.get(f"/orders?after={len(found)}&limit={_PAGE}", name="/orders (all)")
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code} {answer.text}".strip())
            page = [str(order["id"]) for order in answer.json()["orders"]]
            found += page
            if len(page) < _PAGE:
                return found


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _read_all(environment: Environment, **_: object) -> None:
    """The users have ended by now, so nothing is written beside this."""
    at = ledger.now()
    _Reader.host = environment.host
    try:
        ledger.note("read all", at, ids=_Reader(environment).all())
    except (ValueError, KeyError, TypeError) as error:
        ledger.note("read all", at, error=str(error) or type(error).__name__)


def _body(answer: Answer) -> dict[str, Any] | None:
    """The JSON object of a good answer; None, with the failure noted, where there is none."""
    if not 200 <= answer.status_code < 400:
        return None  # Locust notes this failure itself.
    try:
        body = answer.json()
    except (ValueError, TypeError):
        answer.failure("the body is not JSON")
        return None
    if not isinstance(body, dict):
        answer.failure("the body is not a JSON object")
        return None
    return body
