"""chaoskit killed in the simulation: for each action at every line of a run's journal, and at random in other runs."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from chaoskit.simulation import Death, play, scenario
from chaoskit.simulation.recipes import RECIPES
from chaoskit.simulation.scenario import HEALERS

HOWS = ("before", "after", "torn")
MOST_SEEDS = 4000
"""Random deaths come after the end of some runs: so many are tried at the most, for each action."""


@dataclass(frozen=True)
class Swept:
    """What the kills of one action came to."""

    action: str
    at_lines: int
    """Kills at a line of the journal: before it, after it, or with half of it written."""
    elsewhere: int
    """Kills before or after a call, or at a moment."""
    failed: tuple[str, ...]
    """What was left, or which other rule was broken, with what plays it again."""

    @property
    def kills(self) -> int:
        return self.at_lines + self.elsewhere


def sweep(kills: int) -> Iterator[Swept]:
    """At least so many kills in all, in equal parts for all actions."""
    each = -(-kills // len(RECIPES))
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        yield from pool.imap(_sweep_one, [(verb, each) for verb in RECIPES])


def _sweep_one(order: tuple[str, int]) -> Swept:
    verb, kills = order
    at_lines, elsewhere, failed = 0, 0, list[str]()
    for seed, death in _deaths(verb):
        told = play(replace(scenario(seed, verb), death=death, healer=HEALERS[(at_lines + elsewhere) % len(HEALERS)]))
        if not told.killed:
            continue
        at_lines += death.at == "line"
        elsewhere += death.at != "line"
        failed += [f"{verb}, seed {seed}, killed {death}: {why}" for why in told.violations]
        if at_lines + elsewhere >= kills and elsewhere >= at_lines // 3:
            break
    return Swept(verb, at_lines, elsewhere, tuple(failed))


def _deaths(verb: str) -> Iterator[tuple[int, Death]]:
    """Every line of the first run, and then what the seeds make up."""
    lines = len(play(replace(scenario(0, verb), death=None)).entries)
    for number, how in itertools.product(range(lines), HOWS):
        yield 0, Death("line", number, how)
    for seed in range(1, MOST_SEEDS):
        if death := scenario(seed, verb).death:
            yield seed, death
