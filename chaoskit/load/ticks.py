"""Waking an asyncio loop on a fixed schedule, to within tens of microseconds.

asyncio's own timers round up to whole milliseconds (epoll's resolution) and add the time that their callbacks take.
A timerfd keeps the kernel's high-resolution schedule whatever the loop does. Python has it from 3.13 on; until then
it is reached through ctypes. Where there is none (not Linux), the loop's timers do, a millisecond late.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_CLOCK_MONOTONIC = 1  # linux/time.h
_TFD_TIMER_ABSTIME = 1  # linux/timerfd.h


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


def every(first_ns: int, interval_ns: int, wake: Callable[[], None]) -> Callable[[], None]:
    """Calls `wake` at `first_ns` on the monotonic clock and every interval thereafter; returns what ends it.

    After a stall `wake` is called once for all that was missed: it looks at the clock for how many were due.
    """
    loop = asyncio.get_running_loop()
    if sys.platform == "linux":
        return _by_timerfd(loop, first_ns, interval_ns, wake)
    return _by_loop(loop, first_ns, interval_ns, wake)


def _by_timerfd(
    loop: asyncio.AbstractEventLoop, first_ns: int, interval_ns: int, wake: Callable[[], None]
) -> Callable[[], None]:
    fd = _timerfd(first_ns, interval_ns)

    def expired() -> None:
        with suppress(BlockingIOError):
            os.read(fd, 8)
        wake()

    def end() -> None:
        loop.remove_reader(fd)
        os.close(fd)

    loop.add_reader(fd, expired)
    return end


def _timerfd(first_ns: int, interval_ns: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    times = _Itimerspec(_Timespec(*divmod(interval_ns, 10**9)), _Timespec(*divmod(first_ns, 10**9)))
    if libc.timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(times), None) < 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return fd


def _by_loop(
    loop: asyncio.AbstractEventLoop, first_ns: int, interval_ns: int, wake: Callable[[], None]
) -> Callable[[], None]:
    next_ns = first_ns
    handle: asyncio.TimerHandle

    def arm() -> None:
        nonlocal handle
        handle = loop.call_later(max(0, next_ns - time.monotonic_ns()) / 1e9, expired)

    def expired() -> None:
        nonlocal next_ns
        wake()
        next_ns += interval_ns * max(1, -(-(time.monotonic_ns() - next_ns) // interval_ns))
        arm()

    arm()
    return lambda: handle.cancel()  # noqa: PLW0108  # The handle of the time of the call.
