"""The real clock."""

from __future__ import annotations

import threading
import time

import pytest

from chaoskit.adapters.clock import SystemClock
from chaoskit.ports import Signalled


def test_time_starts_at_the_origin_and_is_the_machines_monotonic_clock():
    before = time.monotonic_ns()
    clock = SystemClock()
    assert before <= clock.origin_ns <= time.monotonic_ns()
    assert clock.now() == pytest.approx((time.monotonic_ns() - clock.origin_ns) / 1e9, abs=0.1)


def test_moments_of_the_run_have_a_wall_clock_time():
    clock = SystemClock()
    assert clock.unix(clock.now()) == pytest.approx(time.time(), abs=0.1)
    assert clock.unix(5.0) - clock.unix(2.0) == pytest.approx(3.0)


def test_happenings_arrive_in_order_from_any_thread():
    clock = SystemClock()

    def post():
        for name in ("SIGINT", "SIGTERM"):
            clock.post(Signalled(name))

    thread = threading.Thread(target=post)
    thread.start()
    assert [clock.wait(5), clock.wait(5)] == [Signalled("SIGINT"), Signalled("SIGTERM")]
    thread.join()


def test_waiting_ends_when_nothing_comes():
    clock = SystemClock()
    began = clock.now()
    assert clock.wait(0.05) is None
    assert 0.04 < clock.now() - began < 2
    assert clock.wait(0) is None
    assert clock.wait(-1) is None
