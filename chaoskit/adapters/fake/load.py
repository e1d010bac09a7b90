"""The Load port: the pulse and Locust users against a Service of a FakeCluster.

Requests are made up lazily, whenever a status is due or somebody asks, from the states that the network went through:
where new connections went at each moment, and which of those processes served. A request that is under way when its
process dies is reset. What is under way at the present moment is held back until its end.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.cluster import FakeCluster
from chaoskit.adapters.fake.network import Reach
from chaoskit.errors import ChaoskitError, PortError
from chaoskit.model import LoadStatus
from chaoskit.ports import LoadPlan, Post
from chaoskit.samples import Outcome, Sample, SampleWriter, Stream

STATUS_EVERY_S = 0.25
REQUESTS_PER_USER = 5.0
"""A second, for each Locust user."""
SLOWEST_RATE = 0.1
STATUS_OF = {Outcome.OK: 200, Outcome.HTTP_ERROR: 500}
PULSE, LOCUST = "pulse", "locust"


@dataclass(frozen=True, slots=True)
class _State:
    """The network from `at` on, as the load's requests meet it."""

    at: float
    backends: tuple[str, ...]
    reach: dict[str, Reach]
    answerers: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Scripted:
    """An outage that the story asks for, whatever the cluster does."""

    begin: float
    end: float
    outcome: Outcome
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class _Users:
    """An order for so many users, given when there were `before`."""

    at: float
    before: float
    wanted: int
    rate: float

    def number(self, at: float) -> float:
        way = self.wanted - self.before
        return self.before + math.copysign(min(abs(way), self.rate * (at - self.at)), way)


@dataclass(slots=True)
class _Lane:
    """One stream of requests."""

    stream: Stream
    who: str
    rng: random.Random
    due: float
    latency: float
    sent: int = 0
    held: str = ""
    """The pod that a kept connection leads to."""
    debt: float = 0.0
    """Requests that should have been left out, so far, less those that were."""
    until: float = float("inf")


@dataclass(slots=True)
class _Counts:
    sent: int = 0
    ok: int = 0
    failed: int = 0
    not_sent: int = 0

    def take(self, outcome: Outcome) -> None:
        if outcome is Outcome.NOT_SENT:
            self.not_sent += 1
            return
        self.sent += 1
        if outcome is Outcome.OK:
            self.ok += 1
        else:
            self.failed += 1


@dataclass(slots=True)
class _Process:
    """One of the load's two processes: what it recorded, its counts, and whether it ended."""

    samples: list[Sample] = field(default_factory=list)
    counts: _Counts = field(default_factory=_Counts)
    over: bool = False


class FakeLoad:
    """Set its attributes before or during a run; a change holds for the requests from then on, to a quarter second."""

    def __init__(self, clock: FakeClock, cluster: FakeCluster, seed: int = 0, *, service: str = "front") -> None:
        """`service` is what the users talk to where the plan's target names none of the cluster's Services."""
        self._clock = clock
        self._cluster = cluster
        self._seed = seed
        self._service = service
        self._plan: LoadPlan | None = None
        self._post: Post = clock.post
        self._states: list[_State] = []
        self._lanes: list[_Lane] = []
        self._processes: dict[str, _Process] = {}
        self._scripted: list[_Scripted] = []
        self._ordered: list[_Users] = []
        self._under_way: list[tuple[float, int, Sample]] = []
        self._made = 0
        self._fresh: list[Sample] = []
        self._lost = ""
        self._began = 0.0
        self.capacity = float("inf")
        """Requests a second that Locust reaches at most, however many users there are."""
        self.latency_s = 0.004
        self.late_s = 0.0005
        """How late the pulse sends."""
        self.unsent = 0.0
        """Share of the pulse's requests that it cannot send."""
        self.cpu = 0.1
        self.start_error: ChaoskitError | None = None
        """Raised by start()."""
        self.told: list[tuple[str, float, Mapping[str, Any]]] = []
        """What tell() was told: (kind, time, data)."""
        cluster.network.listeners.append(self._look)

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, plan: LoadPlan, origin_ns: int, post: Post) -> None:
        if self.start_error is not None:
            raise self.start_error
        if (plan.folder / f"{PULSE}.bin").exists():
            raise PortError("the load did not start", where=str(plan.folder), why="it holds a recording already")
        self._plan, self._post, self._began = plan, post, self._clock.now()
        self._lanes = [self._lane(Stream.FRESH, PULSE), self._lane(Stream.KEPT, PULSE)]
        if plan.locustfile is not None:
            self._lanes.append(self._lane(Stream.LOCUST, LOCUST))
        whos = dict.fromkeys(lane.who for lane in self._lanes)
        self._processes = {who: _Process() for who in whos}
        self._ordered = [_Users(self._began, 0.0, plan.users, plan.spawn_rate)]
        self._look()
        self._clock.after(STATUS_EVERY_S, self._tick)
        self._clock.after(plan.stop_after_s, self._run_out)

    def recent(self) -> Sequence[Sample]:
        self._make_up_to(self._clock.now())
        found, self._fresh = self._fresh, []
        return found

    def set_users(self, users: int, spawn_rate: float) -> None:
        self._make_up_to(self._clock.now())
        self._ordered.append(_Users(self._clock.now(), self._users(self._clock.now()), users, spawn_rate))

    def tell(self, kind: str, at: float, data: Mapping[str, Any]) -> None:
        self.told.append((kind, at, data))

    def lost(self) -> str:
        return self._lost

    def stop(self) -> None:
        """Writes the recordings. What is under way is waited for: its end is known already."""
        self._make_up_to(self._clock.now())
        for _, _, sample in sorted(self._under_way):
            self._take(sample)
        self._under_way = []
        for who in list(self._processes):
            self._end(who, "")
        for who, process in self._processes.items():
            self._record(who, process.samples)
        self._processes = {}

    # ── for whoever tells the story ──────────────────────────────────────────────────────────────────────────────────

    def outage(
        self,
        begin: float,
        end: float,
        outcome: Outcome = Outcome.TIMEOUT,
        streams: Sequence[Stream] = (Stream.FRESH, Stream.KEPT, Stream.LOCUST),
    ) -> None:
        """Every request sent in [begin, end) ends with `outcome`, whatever the cluster does."""
        self._scripted.append(_Scripted(begin, end, outcome, tuple(streams)))

    def die(self, at: float, who: str = PULSE, why: str = "") -> None:
        """One of the load's processes (`pulse`, `locust`) dies at a moment of the run; what it has under way is never
        recorded."""
        self._clock.at(at, lambda: self._die(who, why or f"the {who} process died"))

    # ── the processes ────────────────────────────────────────────────────────────────────────────────────────────────

    def _lane(self, stream: Stream, who: str) -> _Lane:
        rng = random.Random(f"load {self._seed} {stream.name}")  # noqa: S311 - a simulation, and it must be repeatable
        return _Lane(stream, who, rng, self._clock.now(), self.latency_s)

    def _tick(self) -> None:
        self._make_up_to(self._clock.now())
        for who, process in self._processes.items():
            if not process.over:
                self._post(self._status(who, process))
        if not all(process.over for process in self._processes.values()):
            self._clock.after(STATUS_EVERY_S, self._tick)

    def _status(self, who: str, process: _Process, *, done: bool = False, error: str = "") -> LoadStatus:
        now, counts = self._clock.now(), process.counts
        users = int(self._users(now)) if who == LOCUST else 0
        late = self.late_s if who == PULSE else 0.0
        return LoadStatus(
            now, who, users, counts.sent, counts.ok, counts.failed, counts.not_sent, self.cpu, late, done, error
        )

    def _end(self, who: str, error: str) -> None:
        process = self._processes[who]
        if process.over:
            return
        process.over = True
        for lane in self._lanes:
            if lane.who == who:
                lane.until = self._clock.now()
        self._post(self._status(who, process, done=True, error=error))

    def _die(self, who: str, why: str) -> None:
        if who in self._processes and not self._processes[who].over:
            self._make_up_to(self._clock.now())
            self._lost = self._lost or why
            self._under_way = [entry for entry in self._under_way if _who(entry[2]) != who]
            heapq.heapify(self._under_way)
            self._end(who, why)

    def _run_out(self) -> None:
        """The load's own limit, which holds whatever becomes of its parent."""
        for who in list(self._processes):
            self._die(who, f"the {who} process ended by itself, as it was to do after its longest time")
        self.stop()

    def _record(self, who: str, samples: Sequence[Sample]) -> None:
        if self._plan is None:
            return
        self._plan.folder.mkdir(parents=True, exist_ok=True)
        writer = SampleWriter(self._plan.folder / who)
        for s in samples:
            name, answerer = writer.name(s.name), writer.name(s.answerer)
            writer.write(s.intended, s.sent, s.end, s.status, s.outcome, s.stream, name, answerer)
        writer.close()

    # ── what the network looks like ──────────────────────────────────────────────────────────────────────────────────

    def _look(self) -> None:
        """Notes the state of the network, if it is another one than before."""
        if not self._processes:
            return
        network, last = self._cluster.network, self._states[-1] if self._states else None
        service = self._target()
        backends = network.backends(*service) if service else ()
        known = dict.fromkeys([*(last.answerers if last else ()), *backends])
        reach = {uid: network.reach(uid) for uid in known}
        kept = [uid for uid in known if uid in backends or reach[uid] is not Reach.SILENT]
        said = {uid: network.answerer(uid) or (last.answerers.get(uid, "") if last else "") for uid in kept}
        if last is None or (backends, reach, said) != (last.backends, last.reach, last.answerers):
            self._states.append(_State(self._clock.now(), backends, reach, said))

    def _target(self) -> tuple[str, str] | None:
        host = urlsplit(self._plan.target).hostname if self._plan else None
        return self._cluster.network.service_at(host or "") or self._cluster.network.service_at(self._service)

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _make_up_to(self, now: float) -> None:
        """Makes every request that has ended by now, in the order of their ends."""
        made = [sample for lane in self._lanes for sample in self._make(lane, now)]
        while self._under_way and self._under_way[0][0] <= now:
            made.append(heapq.heappop(self._under_way)[2])
        made.sort(key=lambda sample: sample.end)
        for sample in made:
            self._take(sample)
        self._forget()

    def _make(self, lane: _Lane, now: float) -> Iterator[Sample]:
        index = 0
        while lane.due + lane.latency <= min(now, lane.until):
            while index + 1 < len(self._states) and self._states[index + 1].at <= lane.due:
                index += 1
            sample = self._request(lane, index)
            if sample.end <= now:
                yield sample
            else:
                self._made += 1
                heapq.heappush(self._under_way, (sample.end, self._made, sample))
            self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        lane.sent += 1
        if lane.stream is Stream.LOCUST:
            lane.due += 1 / max(SLOWEST_RATE, min(self.capacity, REQUESTS_PER_USER * self._users(lane.due)))
        elif self._plan is not None:
            lane.due = self._began + lane.sent * self._plan.pulse_period_s
        lane.latency = self.latency_s * (0.75 + 0.5 * lane.rng.random())

    def _users(self, at: float) -> float:
        """What was ordered last is reached at its rate, from what there was then."""
        held = [order for order in self._ordered if order.at <= at]
        return max(1.0, held[-1].number(at)) if held else 0.0

    def _request(self, lane: _Lane, index: int) -> Sample:
        at = lane.due
        if lane.who == PULSE and self._leaves_out(lane):
            return self._sample(lane, at + self.late_s, Outcome.NOT_SENT, "")
        scripted = next((s for s in self._scripted if s.begin <= at < s.end and lane.stream in s.streams), None)
        if scripted is not None:
            return self._sample(lane, self._ending(lane, scripted.outcome), scripted.outcome, "")
        return self._meet(lane, index)

    def _meet(self, lane: _Lane, index: int) -> Sample:
        """The request as the cluster treats it."""
        state = self._states[index]
        uid = self._choose(lane, state)
        if not uid:
            return self._sample(lane, self._ending(lane, Outcome.REFUSED), Outcome.REFUSED, "")
        reach = state.reach[uid]
        if reach is Reach.SERVES:
            death = self._death(uid, index, lane.due + lane.latency)
            if death is None:
                return self._sample(lane, lane.due + lane.latency, Outcome.OK, state.answerers[uid])
            lane.held = ""
            return self._sample(lane, death, Outcome.RESET, "")
        lane.held = ""
        outcome = Outcome.REFUSED if reach is Reach.REFUSES else Outcome.TIMEOUT
        return self._sample(lane, self._ending(lane, outcome), outcome, "")

    def _choose(self, lane: _Lane, state: _State) -> str:
        """The pod that the request goes to. A kept connection stays where it is until its other end closes it, as the
        kernel does for a process that dies; a new one goes anywhere."""
        if lane.held and state.reach.get(lane.held) in (Reach.SERVES, Reach.SILENT):
            return lane.held
        if not state.backends:
            lane.held = ""
            return ""
        uid = state.backends[int(lane.rng.random() * len(state.backends))]
        lane.held = uid if lane.stream is Stream.KEPT else ""
        return uid

    def _death(self, uid: str, index: int, end: float) -> float | None:
        """When the process stopped serving between the sending in state `index` and `end`; None: it did not."""
        for state in self._states[index + 1 :]:
            if state.at > end:
                return None
            if state.reach.get(uid) is not Reach.SERVES:
                return state.at
        return None

    def _leaves_out(self, lane: _Lane) -> bool:
        lane.debt += self.unsent
        if lane.debt < 1 - 1e-9:
            return False
        lane.debt -= 1
        return True

    def _ending(self, lane: _Lane, outcome: Outcome) -> float:
        patient = outcome is Outcome.TIMEOUT and self._plan is not None
        return lane.due + (self._plan.pulse_timeout_s if patient and self._plan else lane.latency)

    def _sample(self, lane: _Lane, end: float, outcome: Outcome, answerer: str) -> Sample:
        late = 0.0 if lane.stream is Stream.LOCUST else min(self.late_s, lane.latency / 2)
        name = "GET /" if lane.stream is Stream.LOCUST else PULSE
        status = STATUS_OF.get(outcome, 0)
        return Sample(lane.due, lane.due + late, end, status, outcome, lane.stream, name, answerer)

    def _take(self, sample: Sample) -> None:
        """A request has ended: it is counted, recorded, and handed out."""
        process = self._processes[_who(sample)]
        process.counts.take(sample.outcome)
        process.samples.append(sample)
        self._fresh.append(sample)

    def _forget(self) -> None:
        """Drops the states that no request will meet any more."""
        open_ = [lane.due for lane in self._lanes if lane.due < lane.until]
        oldest = min(open_, default=self._clock.now())
        while len(self._states) > 1 and self._states[1].at <= oldest:
            self._states.pop(0)


def _who(sample: Sample) -> str:
    return LOCUST if sample.stream is Stream.LOCUST else PULSE
