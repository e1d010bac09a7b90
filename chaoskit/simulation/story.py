"""Plays a scenario to its end: the run, its death, the healing, and what must hold of all of it."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoskit import heal, janitor, journal, lease
from chaoskit.adapters.fake import Acted
from chaoskit.contracts import Intent
from chaoskit.engine import Ending, Engine, Live, Ports
from chaoskit.errors import ChaoskitError
from chaoskit.janitor import Janitor, Outcomes
from chaoskit.journal import Entry
from chaoskit.lease import Time
from chaoskit.model import Raw
from chaoskit.plan import Plan
from chaoskit.ports import Cluster
from chaoskit.silence import LOOK_EVERY_S
from chaoskit.simulation import rules, world
from chaoskit.simulation.bystanders import Bystander
from chaoskit.simulation.death import DeadlyCall, Hook, Killed, Life, Mortal, MortalJournal, unheard
from chaoskit.simulation.leases import Leases, time_of
from chaoskit.simulation.rules import Watcher
from chaoskit.simulation.scenario import Death, Scenario
from chaoskit.simulation.snapshot import Key, differences, everything, shorn, snapshot

RUN = "20270115-080000-simulated-0001"
AT_REST_WITHIN_S = 120.0
FROZEN_AT_MOST_S = 61.0
JANITOR_WITHIN_S = 150.0
MOST_HEALS = 3
"""So often somebody types `chaoskit heal` while the API is in trouble; after that it is not any more."""
MEMORY = Path("/dev/shm")  # noqa: S108 # nosec B108 - where there is one, fsync costs nothing; names are random
Finish = Callable[[Cluster, str, Sequence[Intent], Time], Outcomes]


@dataclass
class Story:
    """What happened in one run."""

    made: Scenario
    journal: bytes = b""
    entries: tuple[Entry, ...] = ()
    ending: Ending | None = None
    """None: it was killed."""
    healings: list[str] = field(default_factory=list)
    meddled: list[str] = field(default_factory=list)
    """What others did."""
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    """How long it took in the world's own time."""
    acts: list[tuple[int, Acted, str]] = field(default_factory=list)
    """(lines of the journal before it, the act, the act in words)."""

    @property
    def killed(self) -> bool:
        return self.ending is None


class _Player:
    """One run and its aftermath."""

    def __init__(self, made: Scenario, folder: Path, finish: Finish) -> None:
        self._made, self._folder, self._finish = made, folder, finish
        self._world = world.build(made)
        manifests = world.app(made.shop) if made.shop.fresh else ()
        self._plan = Plan(made.experiment, RUN, world.NAMESPACE, made.seed, manifests)
        self._watcher = Watcher(self._world, self._plan)
        self._watcher.forget()
        self._expected: dict[Key, Raw] = {}
        self.story = Story(made)

    def play(self) -> Story:
        self._expected, began = everything(self._world.cluster.there), self._world.clock.now()
        world.trouble(self._world, self._made.trouble)
        self._let_others_in()
        if self._made.healer == "janitor":
            self._employ_janitor()
        self._run()
        self._look_back()
        if self.story.ending is not None and not self.story.ending.unhealed:
            self._compare("it ended healed, as it says")
        else:
            self._heal_until_done()
            self._compare("it was healed")
        self._heal_again()
        self.story.seconds = self._world.clock.now() - began
        return self.story

    # ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        life = Life()
        with contextlib.suppress(Killed):
            self._go(life)
        life.end()
        self._watcher.call("", (), True)
        if self.story.killed:
            now = self._world.clock.now()
            self._world.load.die(now, "pulse")
            self._world.load.die(now, "locust")
            self._world.clock.advance(0.0)
        path = self._folder / journal.FILE
        self.story.journal = path.read_bytes() if path.exists() else b""

    def _go(self, life: Life) -> None:
        """As a session does it: Leases, the engine, and what follows from its end."""
        ports = self._ports(life, self._made.death)
        try:
            leases = Leases(ports.cluster, self._plan, self._world.clock, life)
        except ChaoskitError as error:
            self.story.ending = Ending("broken", error)
            return
        ending = Engine(ports, self._plan, self._folder, _unseen, self._journal(life)).run()
        if not ending.unhealed:
            leases.let_go()
        self.story.ending = ending

    def _ports(self, life: Life, death: Death | None) -> Ports:
        made = self._world
        if death and death.at == "moment":
            made.clock.at(made.clock.now() + death.number, life.kill)
        deadly, watch = _deadly(life, death), self._watcher.call

        def hook(name: str, given: tuple[Any, ...], over: bool) -> None:
            watch(name, given, over)
            deadly(name, given, over)

        cluster: Any = Mortal(made.cluster, life, hook)
        load: Any = Mortal(made.load, life)
        metrics: Any = Mortal(made.metrics, life)
        return Ports(cluster, load, metrics, made.clock)

    def _journal(self, life: Life) -> Callable[[Path], MortalJournal]:
        death = self._made.death
        line, how = (int(death.number), death.how) if death and death.at == "line" else (-1, "")
        note = self._watcher.note

        class Noted(MortalJournal):
            def write(self, kind: str, at: float, **data: Any) -> Entry:  # noqa: ANN401 - JSON values
                entry = super().write(kind, at, **data)
                note(entry)
                return entry

        return lambda path: Noted(path, life, line, how)

    def _look_back(self) -> None:
        """The journal and the acts, once the run is over."""
        path = self._folder / journal.FILE
        self.story.entries = journal.read(path) if path.exists() else ()
        self.story.violations += self._watcher.broken
        self.story.violations += rules.unaccounted(self.story.entries, self._watcher.deeds, self._plan)
        self.story.acts = [(d.lines, d.act, rules.told(d.act)) for d in self._watcher.deeds]

    # ── healing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _heal_until_done(self) -> None:
        """As people do: again and again, with the API as bad as it was during the run, and at last with a good one."""
        for attempt in range(MOST_HEALS):
            death = self._made.death_in_heal if attempt == 0 else None
            if attempt == MOST_HEALS - 1:
                world.calm(self._world)
            done = self._heal_once(death, self._made.healer)
            if done is not None and all(healed.done for _, healed in done):
                break
        else:
            self.story.violations.append(f"it could not be healed: {self.story.healings[-1]}")

    def _heal_once(self, death: Death | None, healer: str) -> Outcomes | None:
        """None if it was killed, or could not reach the cluster."""
        life = Life()
        told = f"heal ({healer}) at {self._world.clock.now():.3f}"
        cluster: Any = Mortal(self._world.cluster, life, _deadly(life, death))
        try:
            done = self._heal_by(healer, cluster)
            self.story.healings.append(f"{told}: {'; '.join(f'{i.verb} {i.target}: {h.how}' for i, h in done)}")
            return done
        except Killed:
            self.story.healings.append(f"{told}: killed {death}")
        except ChaoskitError as error:
            self.story.healings.append(f"{told}: {error}")
        finally:
            life.end()
        return None

    def _heal_by(self, healer: str, cluster: Cluster) -> Outcomes:
        """What `chaoskit heal` does. A janitor is there already, and needs nobody to call it, only time."""
        time = time_of(self._world.clock)
        if healer == "janitor":
            self._world.clock.advance_until(lambda: not self._leases(), JANITOR_WITHIN_S)
            return []
        if healer == "any":
            return janitor.finish_ended(cluster, time, self.story.healings.append)
        folder = self._folder if healer == "folder" and (self._folder / journal.FILE).exists() else None
        known = heal.open_intents(journal.read(folder / journal.FILE)) if folder else []
        done = self._finish(cluster, RUN, known, time)
        heal.note(folder, done)
        return done

    def _leases(self) -> Sequence[Raw]:
        return self._world.cluster.there(lease.KIND)

    def _employ_janitor(self) -> None:
        """It looks every two seconds, from its own place, for as long as the world exists."""
        cluster: Any = Mortal(self._world.cluster, Life(), self._watcher.others)
        told = Janitor(cluster, time_of(self._world.clock), self.story.healings.append)

        def look() -> None:
            try:
                told.look()
            finally:  # The run may be killed while the janitor waits for an answer: it looks again.
                self._world.clock.after(LOOK_EVERY_S, look)

        self._world.clock.after(LOOK_EVERY_S, look)

    def _let_others_in(self) -> None:
        cluster: Any = Mortal(self._world.cluster, Life(), self._watcher.others)
        other = Bystander(self._world, cluster, world.NAMESPACE, self._expected, self.story.meddled)
        now = self._world.clock.now()
        for each in self._made.trouble.meddling:
            self._world.clock.at(now + each.moment, functools.partial(other.meddle, each))

    def _heal_again(self) -> None:
        """Healing what is healed changes nothing."""
        acts = self._watcher.own_acts()
        done = self._heal_once(None, "cluster")
        if done:
            self.story.violations.append(f"something was left after healing: {self.story.healings[-1]}")
        elif self._watcher.own_acts() > acts:
            self.story.violations.append("healing what was healed changed something")

    # ── before and after ─────────────────────────────────────────────────────────────────────────────────────────────

    def _compare(self, when: str) -> None:
        """The cluster comes to rest, and is as it was, or as others made it."""
        world.calm(self._world)
        self._world.clock.advance_until(lambda: not self._left(), AT_REST_WITHIN_S)
        self.story.violations += [f"{when}, and {left}" for left in self._left()]

    def _left(self) -> list[str]:
        frozen = [f"server {name} stands still" for name in self._world.cluster.frozen()]
        return differences(shorn(self._expected), snapshot(self._world.cluster.there)) + frozen


def _unseen(_live: Live) -> None:
    """Nobody looks."""


def _deadly(life: Life, death: Death | None) -> Hook:
    return DeadlyCall(life, int(death.number), death.how) if death and death.at == "call" else unheard


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chaoskit-", dir=MEMORY if MEMORY.is_dir() else None) as made:
        yield Path(made)


def play(made: Scenario, finish: Finish = janitor.finish) -> Story:
    """The story of a scenario; `finish` heals one run: tests give a bad one, to see it caught."""
    with _folder() as folder:
        return _Player(made, folder, finish).play()
