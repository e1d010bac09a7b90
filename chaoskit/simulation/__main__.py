"""Many runs, or one that is told line by line."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from chaoskit import spec
from chaoskit.simulation.scenario import scenario
from chaoskit.simulation.story import Story, play

AT_ONCE = 100
AGAIN_EVERY = 20
"""One run of so many is played twice: the same seed has to give the same journal."""
MOST_SHOWN = 10
LONGEST_LINE = 240


@dataclass(frozen=True, slots=True)
class Tried:
    """What one run came to."""

    seed: int
    how: str
    acts: int
    violations: tuple[str, ...]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many runs, from the first on."
)
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Only this one, told line by line.")
@click.option("--processes", type=click.IntRange(1), default=os.cpu_count(), help="How many at once.")
def main(seeds: int, first: int, seed: int | None, processes: int) -> None:
    """Simulate whole runs of chaoskit: made up from a seed, with trouble, killed, healed, and compared."""
    if seed is not None:
        raise SystemExit(_tell_one(seed))
    began = time.monotonic()
    found = list(_try_all(range(first, first + seeds), processes))
    bad = [tried for tried in found if tried.violations]
    for tried in bad[:MOST_SHOWN]:
        click.echo(f"seed {tried.seed} ({tried.how}): {tried.violations[0][:LONGEST_LINE]}")
    ends = ", ".join(f"{count} {how}" for how, count in sorted(Counter(t.how for t in found).items()))
    acts = sum(t.acts for t in found)
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = f"{time.monotonic() - began:.0f} s ({cpu.ru_utime + cpu.ru_stime:.0f} s of CPU)"
    click.echo(f"{len(found)} runs ({ends}) with {acts} acts in {took}: {len(bad)} broke a rule")
    if bad:
        click.echo(f"make simulate SEED={bad[0].seed} tells the first of them")
    raise SystemExit(1 if bad else 0)


def _try_all(seeds: Sequence[int], processes: int) -> Iterator[Tried]:
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap(attempt, seeds, chunksize=AT_ONCE)


def attempt(seed: int) -> Tried:
    """One run, and some of them twice."""
    told = play(scenario(seed))
    violations = list(told.violations)
    if seed % AGAIN_EVERY == 0 and play(scenario(seed)).journal != told.journal:
        violations.append("the same seed gave another journal")
    return Tried(seed, how(told), len(told.acts), tuple(violations))


def how(told: Story) -> str:
    return told.ending.how if told.ending else "killed"


def _tell_one(seed: int) -> int:
    told = play(scenario(seed))
    for line in lines(told):
        click.echo(line[:LONGEST_LINE])
    return 1 if told.violations else 0


def lines(told: Story) -> Iterator[str]:
    """The whole story."""
    made = told.made
    yield spec.dumps(made.experiment)
    yield f"the shop: {made.shop}"
    yield f"the trouble: {made.trouble}"
    yield f"death: {made.death or 'none'}"
    acts = list(told.acts)
    for number, entry in enumerate(told.entries):
        yield f"{entry.at:9.3f}  {entry.kind}  {dict(entry.data)}"
        while acts and acts[0][0] <= number + 1:
            yield f"{acts[0][1].at:9.3f}      act: {acts.pop(0)[2]}"
    yield f"it ended: {told.ending or f'killed {made.death}'}"
    yield from told.meddled
    yield from told.healings
    yield from (f"BROKEN: {why}" for why in told.violations)
    if not told.violations:
        yield "every rule held"


if __name__ == "__main__":
    main()
