"""Whole runs on the public fake, made up from a seed: what is broken, what goes wrong, and when it dies.

A seed determines everything: the cluster and the app on it, the experiment, an API that loses answers or goes away, a
wall clock that jumps, signals, other people who change things, the death of chaoskit at any line of its journal, at any
call or in between, and how it is healed afterwards. Then the cluster has to be as it was before, or as others made it,
and nothing may have been hit beyond the limits.

    python -m chaoskit.simulation --seeds 20000     many runs
    python -m chaoskit.simulation --seed 123        one of them, told line by line
"""

from __future__ import annotations

from chaoskit.simulation.scenario import Death, Scenario, scenario
from chaoskit.simulation.story import Story, play

__all__ = ["Death", "Scenario", "Story", "play", "scenario"]
