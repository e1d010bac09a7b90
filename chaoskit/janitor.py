"""Finishes what runs left: by name, of all that have ended (`chaoskit heal`), or as soon as one ends (the janitor).

A janitor knows nothing but the cluster, and keeps nothing: any number of them may look at once, healing twice is
healing once, and whichever comes first leaves the others nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from chaoskit import heal, lease
from chaoskit.contracts import Healed, Intent
from chaoskit.errors import PortError
from chaoskit.lease import Time
from chaoskit.ports import Cluster
from chaoskit.silence import AGAIN_AFTER_S, LOOK_EVERY_S, Life, Silence

Outcomes = list[tuple[Intent, Healed]]
Say = Callable[[str], None]


def finish(cluster: Cluster, run: str, known: Sequence[Intent], time: Time, within: str = "") -> Outcomes:
    """Heals one run, whether or not it is under way: by what its journal tells (`known`) and what the cluster shows.
    Once all is put back its Leases go, which ends a run that is under way all the same."""
    seen = {(i.run, i.n, i.target.uid) for i in known}
    found = [i for i in heal.found_in(cluster, run, within) if (i.run, i.n, i.target.uid) not in seen]
    done = heal.heal(cluster, [*known, *found], time.sleep)
    if all(healed.done for _, healed in done):
        lease.drop(cluster, run, time.sleep, within)
    return done


def finish_ended(cluster: Cluster, time: Time, say: Say, within: str = "") -> Outcomes:
    """Heals every run that is not under way. It takes up to 15 s to know that of one that holds a Lease."""
    left = heal.found_in(cluster, within=within)
    if left or lease.found_in(cluster, within=within):
        say("· looking whether runs are under way: 15 s at the most")
    lives = lease.lives(cluster, time, within)
    under_way = [run for run, life in lives.items() if life is Life.UNDER_WAY]
    for run in under_way:
        say(f"· {run} is under way and left alone; chaoskit heal {run} would undo what it does, and end it")
    ended = dict.fromkeys(run for run in (*(i.run for i in left), *lives) if run not in under_way)
    return [outcome for run in ended for outcome in finish(cluster, run, (), time, within)]


class Janitor:
    """Heals each run whose Leases have been silent for 15 s."""

    def __init__(self, cluster: Cluster, time: Time, say: Say) -> None:
        self._cluster, self._time, self._say = cluster, time, say
        self._silence = Silence()
        self._not_before: dict[str, float] = {}

    def watch(self) -> None:
        """For ever. Whoever ends it leaves nothing half done that the next one would not finish."""
        while True:
            self.look()
            self._time.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """One look, and the healing that follows from it."""
        try:
            lives = self._silence.look(lease.found_in(self._cluster), self._time.now())
        except PortError as error:
            self._say(f"cannot look: {error}")
            self._silence.missed()
            return
        for run in (run for run, life in lives.items() if life is Life.SILENT):
            if self._time.now() >= self._not_before.get(run, 0.0):
                self._heal(run)

    def _heal(self, run: str) -> None:
        self._say(f"{run} is silent: healing it")
        try:
            done = finish(self._cluster, run, (), self._time)
        except PortError as error:
            self._say(f"{run}: {error}")
            return
        for line in lines(done):
            self._say(line)
        if not all(healed.done for _, healed in done):
            self._not_before[run] = self._time.now() + AGAIN_AFTER_S


def lines(done: Iterable[tuple[Intent, Healed]]) -> Iterable[str]:
    """What became of each intent, and what to type for what is left."""
    for intent, healed in done:
        yield f"{'✓' if healed.done else '✗'} {intent.run}: {intent.verb} {intent.target}: {healed.how}"
        if healed.fix and not healed.done:
            yield f"  next: {healed.fix}"
