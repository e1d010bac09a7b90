from __future__ import annotations

import asyncio
import time

import pytest

from chaoskit.load import ticks


@pytest.mark.parametrize("kind", [ticks._by_timerfd, ticks._by_loop])
def test_wakes_on_schedule_and_makes_up_for_a_stall_in_one_call(kind):
    interval_ns = 5_000_000
    woken: list[int] = []

    async def run() -> None:
        first = time.monotonic_ns() + interval_ns
        end = kind(asyncio.get_running_loop(), first, interval_ns, lambda: woken.append(time.monotonic_ns() - first))
        await asyncio.sleep(0.2)
        time.sleep(0.1)
        await asyncio.sleep(0.1)
        end()
        ended = len(woken)
        await asyncio.sleep(0.02)
        assert len(woken) == ended

    asyncio.run(run())
    late = sorted(at % interval_ns for at in woken)
    assert late[len(late) // 2] < 2_500_000
    assert 35 <= len(woken) <= 65  # Of 80 that were due, some 20 fell into the stall, and were one call.
