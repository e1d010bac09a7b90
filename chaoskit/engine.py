"""The only loop, and the only place that waits for the system under test.

Single-threaded: everything that happens elsewhere comes through `Clock.wait`. It deploys, loads, waits for the steady
state, takes the steps, watches, asks Prometheus, and heals: at the end, on any error, and when it is told to stop.
It judges nothing: what it saw is in the run's folder.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaoskit import buckets, conditions, heal, journal, loadpods, notices, plan, record, scrapes, units
from chaoskit.conditions import MEASURES, Condition
from chaoskit.contracts import Action, Healed, Intent
from chaoskit.errors import (
    BudgetError,
    ChaoskitError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PortError,
    RefusedError,
    ToolError,
    UnreachableError,
)
from chaoskit.journal import Journal
from chaoskit.model import IN_CLUSTER, RUN_LABEL, ClusterInfo, LoadStatus, Raw, Target, WatchEvent
from chaoskit.objects import (
    LOAD,
    SERVER,
    WATCHED,
    Objects,
    hopeless,
    labels,
    name,
    namespace,
    node_of,
    ready,
    restarts,
    terminating,
)
from chaoskit.objects import condition as has_condition
from chaoskit.plan import Plan
from chaoskit.ports import Clock, Cluster, Happening, LeaseLost, Load, LoadPlan, Metrics, Signalled, Watching
from chaoskit.readiness import address_of, unready
from chaoskit.samples import Sample
from chaoskit.spec import Experiment, Step

TICK_S = 0.1
"""How often samples are taken in and the view refreshed while nothing happens."""
LOOK_S = 1.0
"""How often the steady state's conditions are looked at."""
LONGEST_LOOK_S = 10.0
"""A look at a measure covers as much time as the steady state is to last, within a second and this."""
LAND_WITHIN_S = 10.0
SLACK_S = 120.0
"""For what a run does beside waiting and acting: its calls, and Prometheus' last answers."""
MOST_LOGS = 20
LOGS_WITHIN_S = 5.0
"""A node that has just gone away is not known to be; the API server waits ten seconds for its kubelet."""
MOST_LAST_WORDS = 5
LONGEST_FILE = 200
SYNC_WITHIN_S = 15.0
LOAD_WITHIN_S = 15.0
LONGEST_MEMORY_S = 60.0
STOP_WINDOW_S = 2.0
ARRIVAL_S = 1.0
"""Samples of two recordings that end at about the same time are taken in within this."""
OWN_IMAGE = "chaoskit cluster image builds chaoskit's own image; name one that your nodes can have with --load-image"
UNKNOWN = ClusterInfo("", "", "", "")


@dataclass(frozen=True, slots=True)
class Ports:
    cluster: Cluster
    load: Load
    metrics: Metrics
    clock: Clock


@dataclass(frozen=True, slots=True)
class Live:
    """What a live view shows."""

    phase: str
    since: float
    now: float
    waiting_for: str = ""
    users: int = 0
    rate: float | None = None
    failures: float | None = None
    pulse_failures: float | None = None
    pods_ready: int = 0
    pods: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: `complete`, `interrupted`, `stopped` (by a safety limit) or `broken`; and what is not healed."""

    how: str
    error: ChaoskitError | None = None
    unhealed: tuple[tuple[str, str], ...] = ()
    """(what is left, what to type)."""


class Interrupted(Exception):
    """The user or the system asked to stop."""


class Stopped(Exception):
    """A condition of safety.stop_if holds."""


def namespace_taken(named: str) -> ClusterError:
    return ClusterError(
        f"namespace {named} is there already",
        why="chaoskit deploys only into a namespace that it made itself",
        fix=f"choose another with --namespace, or kubectl delete namespace {named}",
    )


def check_metrics(metrics: Metrics, at_unix: float) -> None:
    answer = metrics.instant("vector(1)", at_unix)
    if answer.error:
        raise ClusterError(
            "Prometheus does not answer",
            why=answer.error,
            fix="check the address given with --prometheus, or leave the metrics out of the experiment",
        )


class Engine:
    """Runs one plan once."""

    def __init__(
        self,
        ports: Ports,
        planned: Plan,
        folder: Path,
        show: Callable[[Live], None],
        writing: Callable[[Path], Journal] = Journal,
    ) -> None:
        self._ports, self._plan, self._folder, self._show = ports, planned, folder, show
        self._clock, self._cluster = ports.clock, ports.cluster
        self._journal = writing(folder / journal.FILE)
        self._events = record.EventLog(folder / record.EVENTS)
        self._objects = Objects()
        self._samples: deque[Sample] = deque()
        self._statuses: dict[str, LoadStatus] = {}
        self._watching: list[Watching] = []
        self._info = UNKNOWN
        self._live = Live("", 0.0, 0.0)
        self._load_pods: Mapping[str, Raw] = {}
        self._notices: deque[Raw] = deque()
        self._intents = 0
        self._loading = self._armed = self._healing = False
        self._missed_from = float("inf") if planned.fresh else float("-inf")
        """From when on the app is one that somebody may miss. A fresh one is not, until its steady state: its first
        requests may meet a Service that no node knows yet."""
        self._loaded = float("-inf")
        """When the load had begun; with none, no look at it sees anything anyhow."""
        self._last_tick = self._last_log = -1.0

    @property
    def _experiment(self) -> Experiment:
        return self._plan.experiment

    def run(self) -> Ending:
        """Runs to an end of some kind; always heals. Raises nothing but what is a defect of chaoskit itself."""
        try:
            try:
                how, error = self._go_as_far_as_it_goes()
            finally:
                unhealed = self._wind_down()
            self._write("ended", how=how, error=str(error) if error else "")
        finally:
            self._close()
        return Ending(how, error, unhealed)

    def _go_as_far_as_it_goes(self) -> tuple[str, ChaoskitError | None]:
        """(how it ended, why)."""
        try:
            self._go()
        except Interrupted as reason:
            return "interrupted", ChaoskitError(str(reason))
        except Stopped as reason:
            return "stopped", RefusedError(str(reason))
        except RefusedError as reason:
            return "stopped", reason
        except ChaoskitError as reason:
            return self._asked_to_stop() or ("broken", reason)
        return "complete", None

    def _asked_to_stop(self) -> tuple[str, ChaoskitError] | None:
        """A signal that waits to be heard explains what broke: a terminal's Ctrl-C reaches whatever has just begun."""
        with contextlib.suppress(ChaoskitError):
            try:
                while (happening := self._clock.wait(0.0)) is not None:
                    self._take(happening)
            except Interrupted as reason:
                return "interrupted", ChaoskitError(str(reason))
        return None

    def _go(self) -> None:
        self._phase("deploy")
        interval = self._ports.metrics.scrape_interval()
        queries = plan.queries(self._experiment, self._plan.namespace, interval)
        self._plan = replace(self._plan, queries=queries)
        # First without the cluster's answer: a run against a cluster that is away can be judged too.
        self._write_start(UNKNOWN, interval)
        self._info = self._cluster.info()
        self._write_start(self._info, interval)
        if self._plan.queries:
            check_metrics(self._ports.metrics, self._clock.unix(self._clock.now()))
        if self._plan.fresh:
            self._create_namespace()
        self._watch()
        if self._plan.fresh:
            for manifest in self._plan.manifests:
                self._deploy(plan.labelled(manifest, self._plan.run))
        self._await_ready()
        if self._experiment.load:
            self._start_load(self._experiment)
        self._armed = True
        self._await_steady("steady")
        self._missed_from = min(self._missed_from, self._clock.now())
        self._take_steps()
        self._await_steady("after")
        self._look_for_namespace()
        self._ask_metrics()

    def _write_start(self, info: ClusterInfo, interval: float) -> None:
        record.write_start(self._folder, self._plan, info, self._clock.unix(0.0), interval)

    # ── taking things in ─────────────────────────────────────────────────────────────────────────────────────────────

    def _pump(self, timeout_s: float) -> None:
        """Takes in what has happened, waiting up to `timeout_s` for the first of it."""
        happening = self._clock.wait(timeout_s)
        while happening is not None:
            self._take(happening)
            happening = self._clock.wait(0.0)
        self._tick()

    def _take(self, happening: Happening) -> None:
        if isinstance(happening, WatchEvent):
            with self._healing_first():
                self._events.write(happening)
            self._objects.take(happening)
        elif isinstance(happening, LoadStatus):
            self._statuses[happening.who] = happening
            self._objects.put(LOAD, map(_as_object, self._statuses.values()))
        elif not self._healing:
            raise _end_by(happening)

    def _tick(self) -> None:
        now = self._clock.now()
        if now - self._last_tick < TICK_S:
            return
        self._last_tick = now
        self._samples.extend(self._ports.load.recent())
        while self._samples and self._samples[0].intended < now - LONGEST_MEMORY_S:
            self._samples.popleft()
        if now - self._last_log >= LOOK_S:
            self._last_log = now
            self._log_load()
            if self._armed and not self._healing:
                self._check_cluster()
                self._check_stop(now, queried=True)
        self._refresh(now)
        if self._armed and not self._healing:
            self._check_load()
            self._check_stop(now, queried=False)

    def _log_load(self) -> None:
        with self._healing_first():
            self._events.flush()
        for status in self._statuses.values():
            self._write(
                "load",
                who=status.who,
                users=status.users,
                cpu=round(status.cpu, 3),
                late_p99_s=status.late_p99_s,
                clock_s=status.clock_s,
                sent=status.sent,
                not_sent=status.not_sent,
            )

    def _refresh(self, now: float) -> None:
        pods = self._own_pods()
        locust = self._statuses.get("locust")
        measured = self._measures(("rate", "failures", "pulse_failures"), now)
        self._live = replace(
            self._live,
            now=now,
            users=locust.users if locust else 0,
            rate=measured["rate"],
            failures=measured["failures"],
            pulse_failures=measured["pulse_failures"],
            pods=len(pods),
            pods_ready=sum(map(ready, pods)),
        )
        self._show(self._live)

    def _measure(self, named: str, now: float, window_s: float) -> float | None:
        return self._measures((named,), now, window_s)[named]

    def _measures(self, named: Iterable[str], now: float, window_s: float = STOP_WINDOW_S) -> dict[str, float | None]:
        """Samples arrive about in the order of their ends, so those of a window are among the last."""
        since = now - window_s
        recent = tuple(itertools.takewhile(lambda s: s.end >= since - ARRIVAL_S, reversed(self._samples)))
        return {name: conditions.measure(name, recent, since, now) for name in named}

    def _check_cluster(self) -> None:
        """With the cluster gone, whatever its users meet from then on says nothing about the app."""
        if ended := self._cluster.ended():
            raise ClusterError("the cluster ended before the run did", why=ended[0], fix=ended[1])

    def _check_load(self) -> None:
        """A load whose process died proves nothing any more, so nothing more is broken."""
        if not self._loading:
            return
        ended = [s for s in self._statuses.values() if s.error or s.done]
        if lost := self._ports.load.lost() or "; ".join(f"{s.who}: {s.error or 'it ended by itself'}" for s in ended):
            self._check_cluster()
            self._loading = False
            self._pump(TICK_S)  # The watch may tell more by then.
            why = "; ".join((lost, *loadpods.troubles(self._load_pods, self._objects)))
            fix = "see the load's own logs (pulse.log, locust*.log) in the run's folder"
            raise PortError("the load ended before the run did", why=why, fix=fix)

    def _check_stop(self, now: float, *, queried: bool) -> None:
        """`queried`: the conditions on PromQL, rather than those on the load's measures."""
        window = min(STOP_WINDOW_S, now - self._missed_from)
        if window <= 0:
            return
        for condition in self._experiment.safety.stop_if:
            if queried != (condition.name in MEASURES) and condition.holds(self._value(condition, now, window)[0]):
                raise Stopped(f"safety.stop_if: {condition.text}")

    def wait_until(self, true: Callable[[], bool], within_s: float, what: str) -> bool:
        deadline = self._clock.now() + within_s
        self._live = replace(self._live, waiting_for=what)
        while not true():
            left = deadline - self._clock.now()
            if left <= 0:
                return False
            self._pump(min(TICK_S, left))
        return True

    def _write(self, kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON values
        now = self._clock.now()
        with self._healing_first():
            self._journal.write(kind, now, **data)
        self._ports.load.tell(kind, now, data)

    @contextlib.contextmanager
    def _healing_first(self) -> Iterator[None]:
        """A record that cannot be written (a full disk) ends the run; it must not keep it from healing."""
        try:
            yield
        except ToolError:
            if not self._healing:
                raise

    def _phase(self, named: str) -> None:
        self._write("phase", name=named)
        self._live = replace(self._live, phase=named, since=self._clock.now(), waiting_for="")
        self._show(self._live)

    # ── deploying ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _deploy(self, manifest: Raw) -> None:
        """It goes with its namespace, so nothing of it is to be undone."""
        self._write("deploying", what=f"{manifest['kind'].lower()}/{name(manifest)}")
        self._cluster.apply(manifest, self._plan.namespace)
        self._pump(0.0)

    def _create_namespace(self) -> None:
        """Intent first, but the UID is known only afterwards: healing knows the namespace by the run's label."""
        named, marks = self._plan.namespace, plan.run_labels(self._plan.run)
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": named, "labels": marks}}
        intent = self._intend(
            "create the namespace", Target("namespace", named, "", ""), heal.NAMESPACE, "", {"created": True}
        )
        try:
            self._create(manifest, intent)
        except ConflictError as error:
            self._write("healed", n=intent.n, done=True, how="it was there before")
            raise namespace_taken(named) from error

    def _create(self, manifest: Raw, intent: Intent) -> None:
        """What carries the run's label. ConflictError if such a thing is there already, and is none of the run's own:
        that happens where an answer was lost, and the call was made again."""
        try:
            self._cluster.create(manifest, intent.target.namespace)
        except ConflictError:
            if not self._is_ours(intent.target):
                raise
        self._write("outcome", n=intent.n, step="", outcome="done")

    def _is_ours(self, made: Target) -> bool:
        with contextlib.suppress(NotFoundError):
            return labels(self._cluster.get(made.kind, made.name, made.namespace)).get(RUN_LABEL) == self._plan.run
        return False

    def _watch(self) -> None:
        self._watching.append(self._cluster.watch(WATCHED, self._plan.namespace, self._clock.post))
        for place in plan.places(self._experiment):
            self._watching.append(self._cluster.watch(plan.WATCHED_ELSEWHERE, place, self._clock.post))
        if not self.wait_until(self._synced, SYNC_WITHIN_S, "the first listing of the cluster"):
            raise UnreachableError(
                f"the cluster could not be watched within {SYNC_WITHIN_S:.0f} s",
                fix="kubectl get pods,endpointslices -A",
            )

    def _synced(self) -> bool:
        return all(watching.wait_synced(0.0) for watching in self._watching)

    def _own_pods(self) -> list[Raw]:
        """The app's, whatever else is watched."""
        pods = (pod for pod in self._objects.all("pod") if namespace(pod) == self._plan.namespace)
        return [pod for pod in pods if loadpods.ROLE_LABEL not in labels(pod)]

    def _await_ready(self) -> None:
        app, within = self._experiment.app, self._plan.namespace
        if self.wait_until(lambda: not self._unready(), app.ready_within, "the app to become ready"):
            return
        why, _ = unready(self._objects, within)
        raise ClusterError(
            f"the app was not ready within {app.ready_within:.0f} s",
            where=f"namespace {within}",
            why=why,
            fix="look at its events and logs in the report, or raise app.ready_within",
        )

    def _unready(self) -> str:
        """Why the app is not ready yet; raises at once for what waiting does not mend."""
        why, hopeless = unready(self._objects, self._plan.namespace)
        if hopeless:
            raise ClusterError(
                "the app cannot start",
                where=f"namespace {self._plan.namespace}",
                why=why,
                fix="correct the manifests' image or configuration",
            )
        self._live = replace(self._live, waiting_for=f"the app to become ready: {why}")
        return why

    # ── load ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start_load(self, experiment: Experiment) -> None:
        self._phase("load")
        load, app = experiment.load, experiment.app
        assert load is not None  # noqa: S101 - the caller looked
        longest = self._longest_run()
        pods = self._load_pods = self._start_pods(longest)
        service = self._objects.named("service", app.service, self._plan.namespace)
        target = app.url or address_of(service, app, inside=bool(pods) or self._info.context == IN_CLUSTER)
        self._ports.load.start(
            LoadPlan(
                target=target,
                folder=self._folder,
                locustfile=experiment.locustfile,
                users=load.users,
                spawn_rate=load.spawn_rate,
                pulse_path=load.pulse.path,
                pulse_period_s=load.pulse.period,
                pulse_timeout_s=load.pulse.timeout,
                stop_after_s=longest,
                experiment=experiment.name,
                run=self._plan.run,
                seed=self._plan.seed,
                namespace=self._plan.namespace,
                cluster=self._info.context,
                metrics_address=loadpods.metrics_address(self._plan) if pods else self._plan.metrics_address,
                pods={who: name(pod) for who, pod in pods.items()},
                master_host=loadpods.ip(pods[loadpods.MASTER]) if loadpods.MASTER in pods else "",
            ),
            self._clock.origin_ns,
            self._clock.post,
        )
        self._loading = True
        wanted = {"pulse", "locust"} if experiment.locustfile else {"pulse"}
        if not self.wait_until(lambda: self._sending(wanted), LOAD_WITHIN_S, "the load's first requests"):
            raise PortError("the load sent nothing", where=target, why=self._ports.load.lost() or "no request went out")
        self._loaded = self._clock.now()

    def _start_pods(self, longest_s: float) -> Mapping[str, Raw]:
        """The pods that carry the load, running, by whose process each is for; none where the load is not in pods."""
        wanted = loadpods.manifests(self._plan, longest_s)
        for manifest in wanted.values():
            target = Target("pod", name(manifest), self._plan.namespace, "")
            intent = self._intend("start a pod of the load", target, heal.LOAD_POD, "", {"created": True})
            self._create(manifest, intent)
        within = self._experiment.app.ready_within
        if not self.wait_until(lambda: not self._late(wanted), within, "the pods of the load"):
            raise ClusterError(
                f"the load's pods did not run within {within:.0f} s",
                why=self._late(wanted),
                fix="lower load.workers, or give the cluster's nodes more room",
            )
        return loadpods.found(wanted, self._objects)

    def _late(self, wanted: Mapping[str, Raw]) -> str:
        """Which of the load's pods does not run yet, and why; raises at once for what waiting does not mend."""
        for pod in loadpods.found(wanted, self._objects).values():
            if why := hopeless(pod):
                raise ClusterError("the load's pods cannot start", where=f"pod/{name(pod)}", why=why, fix=OWN_IMAGE)
        return loadpods.late(wanted, self._objects)

    def _sending(self, wanted: set[str]) -> bool:
        for who in wanted:
            status = self._statuses.get(who)
            if status and status.error:
                raise ClusterError(
                    "the load did not start", why=status.error, fix="chaoskit validate FILE imports it alone"
                )
        if lost := self._ports.load.lost():
            raise PortError("the load did not start", why=lost)
        return all(self._statuses[who].sent > 0 if who in self._statuses else False for who in wanted)

    def _longest_run(self) -> float:
        """The load ends by itself after this, should nobody be left to end it; never while the run needs it."""
        steady = self._experiment.steady_state
        waits = 2 * (steady.within + steady.for_) if steady else 0.0
        return SLACK_S + waits + sum(map(self._longest_step, self._experiment.steps))

    def _longest_step(self, step: Step) -> float:
        """By the action's own deadlines, if it hits as many as it may want of all that there is."""
        most = max(len(self._objects.all(kind)) for kind in ("pod", "node"))
        return step.watch_s + LAND_WITHIN_S + step.action.longest_s(step.action.number(most))

    # ── steady state ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _await_steady(self, phase: str) -> None:
        """Until all conditions held for as long as asked. Before the steps, never is an inconclusive end; after them it
        is for the judge."""
        self._phase(phase)
        steady = self._experiment.steady_state
        if steady is None:
            return
        held_since: float | None = None
        deadline = self._clock.now() + steady.within + steady.for_
        broken = "nothing was looked at"
        while self._clock.now() < deadline:
            broken = self._look(steady.hold, phase, self._looked_back(steady.for_))
            held_since = None if broken else self._clock.now() if held_since is None else held_since
            if held_since is not None and self._clock.now() - held_since >= steady.for_:
                if phase == "after":
                    self._phase("steady again")
                return
            self.wait_until(lambda: False, LOOK_S, f"the steady state: {broken or 'holds so far'}")
        if phase == "steady":
            raise PortError("the steady state was never reached", why=broken, fix="see the conditions in the report")

    def _looked_back(self, for_s: float) -> float:
        """How far back a look at a measure of the load goes: as long as the steady state is to last, but not to before
        there was a load. Once the conditions held for so long, the last look has covered all of it."""
        return min(max(min(for_s, self._clock.now() - self._loaded), LOOK_S), LONGEST_LOOK_S)

    def _look(self, hold: Sequence[Condition], phase: str, window_s: float) -> str:
        """Looks at each condition and journals it; says which does not hold."""
        now, broken = self._clock.now(), list[str]()
        for condition in hold:
            value, reason = self._value(condition, now, window_s)
            holds = condition.holds(value)
            self._journal.write(
                "condition",
                now,
                phase=phase,
                condition=condition.text,
                value=_finite(value),
                holds=holds,
                reason=reason,
            )
            if not holds:
                shown = "no data" if value is None else conditions.shown(condition.text, value)
                broken.append(f"{condition.text} ({reason or shown})")
        return ", ".join(broken)

    def _value(self, condition: Condition, now: float, window_s: float) -> tuple[float | None, str]:
        if condition.name in MEASURES:
            value = self._measure(condition.name, now, window_s)
            return value, "" if value is not None else "no requests yet"
        at = self._clock.unix(now)
        answer = self._ports.metrics.instant(self._plan.queries[condition.name], at)
        values = [points[-1][1] for points in (s.points for s in answer.series) if points]
        if why := answer.error or "; ".join(answer.warnings) or conditions.undecidable(values):
            return None, why
        about = {**buckets.queries(answer.query), **scrapes.queries(answer.query)}
        asked = {named: self._ports.metrics.instant(query, at) for named, query in about.items()}
        scraped = [t for s in scrapes.retimed(answer.query, answer.series, asked) for t, _ in s.points]
        if (age := at - max(scraped)) > scrapes.LATE * self._ports.metrics.scrape_interval():
            return None, f"it was scraped {units.show(age, 's')} ago"
        value, doubt = buckets.decisive(condition, values, buckets.read(answer.query, asked))
        return (None, doubt) if doubt else (value, scrapes.lacking(answer.query, asked))

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_steps(self) -> None:
        self._phase("watched")
        for number, step in enumerate(self._experiment.steps):
            self._live = replace(self._live, phase=f"step: {step.name}", since=self._clock.now())
            self._write("step began", step=step.name)
            began = self._clock.now()
            _Scene(self, step, number).play()
            self._tell_owners()
            self.wait_until(
                lambda: False, max(0.0, began + step.watch_s - self._clock.now()), f"what follows from {step.name}"
            )
            self._write("step ended", step=step.name)

    def _note_hit(self, intent: Intent, hit: Raw, what: str) -> None:
        event = notices.event(self._plan, intent, hit, what, self._clock.unix(self._clock.now()))
        if namespace(event) in notices.spaces(self._plan):
            self._notices.append(event)

    def _tell_owners(self) -> None:
        """Best effort: whoever may not write Events, or meets an API that is away, leaves them out."""
        while self._notices:
            try:
                self._cluster.create(self._notices.popleft())
            except (UnreachableError, ForbiddenError):
                self._notices.clear()
            except PortError:
                continue

    def _intend(self, what: str, target: Target, verb: str, step: str, change: Mapping[str, Any] | None) -> Intent:
        intent = Intent(self._plan.run, self._intents, step, verb, target, change or {})
        self._intents += 1
        self._write("intent", what=what, **heal.as_data(intent))
        return intent

    # ── ending ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _look_for_namespace(self) -> None:
        """A namespace, or a whole cluster, that went away half-way is told as that, not as all that is missing then."""
        with contextlib.suppress(UnreachableError, ForbiddenError):
            self._cluster.get("namespace", self._plan.namespace)

    def _ask_metrics(self) -> None:
        """Range answers over the run, once its last moment has been scraped."""
        self._phase("metrics")
        interval = self._ports.metrics.scrape_interval()
        if self._plan.queries:
            self.wait_until(lambda: False, 2 * interval + 0.5, "the last scrapes")
        start, end = self._clock.unix(0.0), self._clock.unix(self._clock.now())
        answers = {
            named: self._ports.metrics.range(query, start, end, max(1.0, interval))
            for named, query in self._plan.queries.items()
        }
        record.write_answers(self._folder, answers)

    def _wind_down(self) -> tuple[tuple[str, str], ...]:
        """Stops the load and heals. From here on, signals are heard but change nothing: healing goes on."""
        self._healing = True
        self._phase("heal")
        told = self._ports.load.lost()
        self._ports.load.stop()
        if self._loading and not told and (lost := self._ports.load.lost()):
            self._write("note", text=f"the load did not end in order: {lost}")
        self._keep_logs(self._own_pods()[:MOST_LOGS])
        intents = heal.open_intents(journal.read(self._folder / journal.FILE))
        left = []
        for intent, healed in self._heal(intents):
            if not healed.done:
                left.append((f"{intent.verb} {intent.target}: {healed.how}", healed.fix))
        self._tell_owners()
        return tuple(left)

    def undo(self, step: str) -> Sequence[str]:
        """Heals what one step did, before the end; what could not be is tried again then."""
        intents = [i for i in heal.open_intents(journal.read(self._folder / journal.FILE)) if i.step == step]
        return [f"{intent.verb} {intent.target}: {healed.how}" for intent, healed in self._heal(intents)]

    def _heal(self, intents: Sequence[Intent]) -> Iterator[tuple[Intent, Healed]]:
        for intent, healed in heal.healing(self._cluster, intents, self._sleep):
            self._write("healed", n=intent.n, done=healed.done, how=healed.how, fix=healed.fix)
            yield intent, healed

    def _keep_logs(self, pods: Sequence[Raw]) -> None:
        """The last lines of pods, and of what ran before in restarted ones, while they can still be had. Healing waits
        behind this: an API that does not answer is not asked for each of them, no node that is away is, and nobody when
        it took long."""
        until = self._clock.now() + LOGS_WITHIN_S
        with contextlib.suppress(UnreachableError):
            for pod in itertools.takewhile(lambda _: self._clock.now() < until, filter(self._can_be_asked, pods)):
                for before in (False, True) if restarts(pod) else (False,):
                    self._keep_log(pod, before)

    def _can_be_asked(self, pod: Raw) -> bool:
        node = self._objects.named("node", node_of(pod))
        return node is None or has_condition(node, "Ready")

    def _keep_log(self, pod: Raw, before: bool) -> None:
        try:
            text = self._cluster.logs(name(pod), namespace(pod), previous=before)
            path = self._folder / "logs" / f"{_as_file(name(pod))}{'.before' if before else ''}.log"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except UnreachableError:
            raise
        except (PortError, OSError):
            return

    def _sleep(self, seconds: float) -> None:
        self.wait_until(lambda: False, seconds, "healing")

    def _close(self) -> None:
        for watching in self._watching:
            watching.close()
        with self._healing_first():
            self._events.close()
        self._journal.close()


class _Scene:
    """One step being played: the Stage that its action acts on."""

    def __init__(self, engine: Engine, step: Step, number: int) -> None:
        self._engine, self._step = engine, step
        self._rng = engine._plan.rng(number)
        self._pending: list[tuple[Intent, Target]] = []
        self._hit: set[str] = set()
        self.targets: tuple[Target, ...] = ()

    @property
    def cluster(self) -> Cluster:
        return self._engine._cluster

    @property
    def objects(self) -> Objects:
        return self._engine._objects

    @property
    def namespace(self) -> str:
        return self._engine._plan.namespace

    def now(self) -> float:
        return self._engine._clock.now()

    def wait_until(self, true: Callable[[], bool], within_s: float, what: str) -> bool:
        return self._engine.wait_until(true, within_s, what)

    def set_users(self, users: int, spawn_rate: float) -> None:
        self._engine._ports.load.set_users(users, spawn_rate)

    def undo(self, step: str) -> Sequence[str]:
        return self._engine.undo(step)

    def saw(self, kind: str, data: Mapping[str, Any]) -> None:
        self._engine._write("saw", step=self._step.name, what=kind, data=dict(data))

    def note(self, text: str) -> None:
        self._engine._write("note", text=f"{self._step.name}: {text}")

    def play(self) -> None:
        """Chooses, acts, and waits until every accepted act is seen to have landed."""
        action, safety = self._step.action, self._engine._experiment.safety
        try:
            self.targets = plan.choose(action, self.objects, self.namespace, safety, self._rng)
            self._hit = {target.uid for target in self.targets}
            action.perform(self)
            self._await_landing(action)
            self._keep_last_words()
        except RefusedError as error:
            self._engine._write("refused", step=self._step.name, why=error.what)
            raise
        except (ChaoskitError, Interrupted, Stopped):
            raise
        except Exception as error:  # the border around a step: an action of somebody's may raise anything
            raise PortError(
                f"the action {action.verb} crashed", where=self._step.name, why=f"{type(error).__name__}: {error}"
            ) from error

    def _keep_last_words(self) -> None:
        """What pods say that were hit and are ending: when they are gone nobody can be asked. Not before the act, which
        nothing may delay."""
        pods = (self.objects.by_uid("pod", target.uid) for target in self.targets if target.kind == "pod")
        ending = [pod for pod in pods if pod and terminating(pod)]
        self._engine._keep_logs(ending[:MOST_LAST_WORDS])

    def act(
        self, what: str, target: Target, call: Callable[[], object], change: Mapping[str, Any] | None = None
    ) -> bool:
        engine = self._engine
        engine._pump(0.0)
        why = plan.refusal(target, self._hit, self.objects, self.namespace, engine._experiment.safety)
        if why:
            raise RefusedError(why, fix="see the limits under safety in the experiment")
        hit = self.objects.by_uid(target.kind, target.uid)
        intent = engine._intend(what, target, self._step.action.verb, self._step.name, change)
        if change and not self._annotated(intent):
            return False
        try:
            call()
        except PortError as error:
            return self._failed(intent, target, error)
        self._outcome(intent, "done")
        self._taken(intent, target)
        if hit is not None and "kind" in hit:  # Neither the load nor a server of the platform: an object of the API.
            engine._note_hit(intent, hit, what)
        return True

    def _taken(self, intent: Intent, target: Target) -> None:
        self._hit.add(target.uid)
        self._pending.append((intent, target))

    def _annotated(self, intent: Intent) -> bool:
        """Writes the intent on its target. Where that fails the act is not made: nobody else could undo it. A server of
        the platform carries no mark, and may be the one that would keep it: it goes on by itself after a minute."""
        if intent.target.kind == SERVER:
            return True
        try:
            heal.annotate(self.cluster, intent, lambda o: self._step.action.as_chosen(intent.target, o))
        except PortError as error:
            self._outcome(intent, "failed", f"the intent could not be written on {intent.target}: {error}")
            return False
        return True

    def _failed(self, intent: Intent, target: Target, error: PortError) -> bool:
        """What an error says of the act: not done, refused for now, or unknown, in which case landing will tell."""
        if isinstance(error, BudgetError):
            self._outcome(intent, "refused", str(error))
            raise error
        if isinstance(error, NotFoundError | ConflictError):
            self._outcome(intent, "gone", str(error))
            return False
        if isinstance(error, UnreachableError):
            self._outcome(intent, "unknown", str(error))
            self._taken(intent, target)
            return True
        self._outcome(intent, "failed", str(error))
        return False

    def _outcome(self, intent: Intent, outcome: str, error: str = "") -> None:
        self._engine._write("outcome", n=intent.n, step=intent.step, outcome=outcome, error=error)

    def _await_landing(self, action: Action) -> None:
        self.wait_until(lambda: self._all_landed(action), LAND_WITHIN_S, "the fault to land")

    def _all_landed(self, action: Action) -> bool:
        for intent, target in list(self._pending):
            how = action.landed(target, self.objects)
            if how:
                self._engine._write("landed", n=intent.n, step=intent.step, how=how)
                self._pending.remove((intent, target))
        return not self._pending


def _end_by(happening: Signalled | LeaseLost) -> Exception:
    """What ends a run from outside."""
    if isinstance(happening, Signalled):
        return Interrupted(f"stopped by {happening.name}")
    return ClusterError(
        "the run lost its Lease, and ends",
        why=happening.why,
        fix="see whether it was healed by hand, or could not reach the API for 15 s; then run it again",
    )


def _as_file(named: str) -> str:
    """A name that leads nowhere else, whatever a server calls its pods; one that Kubernetes allows is kept as it is."""
    return re.sub(r"[^a-zA-Z0-9.-]", "_", named).lstrip(".")[:LONGEST_FILE]


def _as_object(status: LoadStatus) -> Raw:
    """A part of the load as an action sees it among the objects."""
    return {"metadata": {"name": status.who, "uid": status.who}, "status": {"users": status.users}}


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN and no infinity."""
    return value if value is not None and abs(value) < float("inf") else None
