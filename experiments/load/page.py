"""Visitors of one page, each at a fixed pace: for apps that have nothing but a page."""

from __future__ import annotations

import random
import time

import gevent
from locust import FastHttpUser, constant_throughput, task

RATE = 5.0
"""Pages a second for each visitor."""


class Visitor(FastHttpUser):
    wait_time = constant_throughput(RATE)
    network_timeout = 5.0
    connection_timeout = 5.0

    def on_start(self) -> None:
        """Locust starts users in batches: visitors spread over the interval, or they would always come at once."""
        gevent.sleep(random.random() / RATE)  # noqa: S311  # Not for secrets.
        self._cp_last_run = time.perf_counter()  # The pace counts from here.

    @task
    def page(self) -> None:
        self.client.get("/")
