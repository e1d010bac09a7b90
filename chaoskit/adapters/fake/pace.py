"""Delays with jitter, from a seed of one's own, so that a part's randomness does not hang on what others draw."""

from __future__ import annotations

import random
from collections.abc import Callable

from chaoskit.adapters.fake.clock import FakeClock


class Pace:
    """Puts calls on the agenda, each delay stretched at random by up to `jitter`."""

    def __init__(self, clock: FakeClock, jitter: float, seed: str) -> None:
        self._clock = clock
        self._jitter = jitter
        self.rng = random.Random(seed)  # noqa: S311 - a simulation, and it must be repeatable

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        self._clock.after(delay_s * (1 + self._jitter * self.rng.random()), call)
