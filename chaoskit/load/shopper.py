"""The built-in load: shoppers of the reference app, each at a fixed pace, so that the offered load is known.

    RATE tasks a second for each user (CHAOSKIT_SHOPPER_RATE, 5 by default), one request each

A shopper looks at the page and the catalogue, orders, and looks up orders that the shop has acknowledged: one that has
gone since is a failure, whatever its status. It is an ordinary locustfile, and works as a start for one's own.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import deque
from typing import Any, TypeAlias

import gevent
from locust import FastHttpUser, constant_throughput, task

Answer: TypeAlias = Any
"""Locust's, of which no types are known."""
RATE = float(os.environ.get("CHAOSKIT_SHOPPER_RATE", "5"))
_REMEMBERED = 20
"""Orders of its own that a shopper looks up again."""


class Shopper(FastHttpUser):
    wait_time = constant_throughput(RATE)
    network_timeout = 5.0
    connection_timeout = 5.0

    def on_start(self) -> None:
        """Locust starts users in batches: shoppers spread over the interval, or they would always come at once."""
        self.orders: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self.items: list[str] = []
        gevent.sleep(random.random() / RATE)  # noqa: S311  # Not for secrets.
        self._cp_last_run = time.perf_counter()  # The pace counts from here.

    @task(4)
    def page(self) -> None:
        with self.client.get("/", catch_response=True) as answer:
            body = _body(answer)
            if body is not None and body.get("shop") != "refapp":
                answer.failure("not the shop's page")

    @task(3)
    def catalogue(self) -> None:
        with self.client.get("/items", catch_response=True) as answer:
            body = _body(answer)
            if body is None:
                return
            self.items = [str(item["id"]) for item in body.get("items", ())]
            if not self.items:
                answer.failure("an empty catalogue")

    @task(2)
    def order(self) -> None:
        order_id, item = uuid.uuid4().hex, random.choice(self.items or ["tea"])  # noqa: S311
        sent = {"id": order_id, "item": item, "quantity": 1}
        with self.client.post("/orders", json=sent, catch_response=True) as answer:
            body = _body(answer)
            if body is None:
                return
            if body.get("id") != order_id:
                answer.failure("acknowledged another order")
            else:
                self.orders.append((order_id, item))

    @task(1)
    def look_up(self) -> None:
        if not self.orders:
            self.catalogue()
            return
        order_id, item = random.choice(self.orders)  # noqa: S311
        with self.client.get(f"/orders/{order_id}", name="/orders/[id]", catch_response=True) as answer:
            body = _body(answer)
            if answer.status_code == 404:
                answer.failure("an acknowledged order is gone")
            elif body is not None and (body.get("id"), body.get("item")) != (order_id, item):
                answer.failure("another order than the one acknowledged")


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
