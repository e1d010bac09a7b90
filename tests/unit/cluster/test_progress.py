"""Long work says how far it is, and its estimate gets better as it goes."""

from __future__ import annotations

import pytest

from chaoskit.cluster.progress import LOG_PERIOD_S, Progress, duration


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_starts_with_an_estimate_and_ends_with_the_time_taken() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "compiling", 600, clock)
    clock.now += 480
    progress.done()
    assert said == ["compiling: about 10 min", "compiling: done in 8 min"]


def test_it_speaks_at_least_every_30_seconds_and_not_at_each_tick() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "compiling", 600, clock)
    for _ in range(120):
        clock.now += 1
        progress.tick("busy")
    assert LOG_PERIOD_S <= 30
    assert 120 // 30 <= len(said) - 1 <= 120 // 5


def test_what_was_measured_replaces_what_was_guessed() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "compiling", 100, clock)
    clock.now += 300
    progress.tick("500 of 1000 packages", 0.5)
    assert said[-1] == "compiling: 500 of 1000 packages, about 5 min left"


def test_a_step_that_cannot_be_counted_keeps_to_its_guess() -> None:
    said: list[str] = []
    clock = Clock()
    progress = Progress(said.append, "installing", 60, clock)
    clock.now += 40
    progress.tick()
    clock.now += 40
    progress.tick()
    assert said[1:] == ["installing: about 20 s left", "installing: nearly done"]


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59.6, "60 s"), (90, "2 min"), (610, "10 min")])
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert duration(seconds) == text
