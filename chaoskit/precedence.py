"""Who gets the processor first: what measures must not wait for what is measured.

A better nice value is given to those who may have it (root). Short turns take no right, so they also work in a pod:
who asks for them is given the processor sooner. Linux 6.12 and later heed that for ordinary threads, and let one with a
short turn interrupt one with a longer one; from 6.13 on also between control groups, and so between pods. Older kernels
do as before. Python's `os` does not offer the call.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NICE = -10
"""Weighs nine times as much as usual (the kernel's sched_prio_to_weight). On two cores that a whole cluster kept busy,
Locust waited for a processor for a third of the time without it, and users seemed to wait for answers that had come."""
TURN_S = 0.0001
USUAL_TURN_S = 0.0
"""What the kernel takes for its own default."""
ATTRIBUTES = struct.Struct("=IIQiIQQQ")
"""`struct sched_attr` (include/uapi/linux/sched/types.h), first version: size, policy, flags, nice, priority, runtime,
deadline, period."""
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
"""The system call's number."""


@contextmanager
def preferred() -> Iterator[None]:
    """This thread goes first, and the threads and processes that it starts meanwhile, as far as that is allowed."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    _be_nice(min(before, NICE))
    ask_for_turns(TURN_S)
    try:
        yield
    finally:
        _be_nice(before)
        ask_for_turns(USUAL_TURN_S)


def go_first() -> None:
    """This whole process goes first, for good. To the kernel each session may be a group (sched(7), autogroup), and a
    nice value counts within it: the session's own is set, too, so this is for a process that has one to itself."""
    _be_nice(min(os.getpriority(os.PRIO_PROCESS, 0), NICE))
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)), encoding="ascii")
    ask_for_turns(TURN_S)


def ask_for_turns(seconds: float) -> bool:
    """For this thread and those that it starts. Whether the kernel took it; an older one may, and ignore it."""
    number = SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = ATTRIBUTES.pack(ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, round(seconds * 1e9), 0, 0)
    # The kernel writes its own size into the structure where it knows a smaller one.
    place = ctypes.create_string_buffer(wanted, ATTRIBUTES.size)
    return bool(ctypes.CDLL(None, use_errno=True).syscall(number, 0, place, 0) == 0)


def _be_nice(value: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, value)
