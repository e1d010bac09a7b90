"""Who gets the processor first, where we may say so: what measures must not wait for what is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

NICE = -10
"""Weighs nine times as much as usual (the kernel's sched_prio_to_weight). On two cores that a whole cluster kept busy,
Locust waited for a processor for a third of the time without it, and users seemed to wait for answers that had come."""


@contextmanager
def preferred() -> Iterator[None]:
    """A better nice value for this thread, and for the threads and processes that it starts meanwhile. Where that is
    not allowed, all stays as it is."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, min(before, NICE))
    try:
        yield
    finally:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
