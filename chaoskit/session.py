"""Where everything is put together: a cluster from a provider, the adapters on it, an engine, a judge, and reports.

The command line and the pytest plugin both use it; nothing else does.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import re
import secrets
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from chaoskit import heal as healing
from chaoskit import janitor, journal, lease, notices, record, repetitions, result
from chaoskit import judge as judging
from chaoskit import plan as planning
from chaoskit.adapters import git, manifests
from chaoskit.adapters.clock import SystemClock
from chaoskit.adapters.locust import LocustLoad
from chaoskit.adapters.renewal import renewing
from chaoskit.contracts import Healed, Intent, Record
from chaoskit.doctor import Clock as OtherClock
from chaoskit.doctor import Doctor, Look
from chaoskit.engine import Engine, Live, Ports, check_metrics, namespace_taken
from chaoskit.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    PortError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from chaoskit.model import OPT_IN_LABEL, Answer, ClusterInfo, Raw, Right, Target
from chaoskit.objects import WATCHED, WORKLOADS, Objects, labels
from chaoskit.plan import Plan
from chaoskit.ports import LONGEST_FREEZE_S, Clock, Cluster, Load, MachineOrder, Metrics, ServerOrder, Signalled
from chaoskit.precedence import preferred
from chaoskit.report import html, junit, markdown
from chaoskit.result import Result
from chaoskit.spec import REFAPP, Experiment

if TYPE_CHECKING:
    from chaoskit.adapters.grafana import Grafana
    from chaoskit.adapters.kube import KubeCluster
    from chaoskit.adapters.prometheus import PrometheusMetrics
    from chaoskit.adapters.pushgateway import PushGateway
    from chaoskit.cluster.embedded import EmbeddedCluster

METRICS_PORT = 9464
TIME = lease.Time(time.monotonic, time.sleep, time.time)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Say = Callable[[str], None]
Show = Callable[[Live], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose. With no `context`, the embedded cluster called `cluster` is used, and started if need be."""

    context: str = ""
    kubeconfig: Path | None = None
    """With a `context`: where it is. On the embedded cluster: an account's, instead of the administrator's."""
    prometheus: str = ""
    cluster: str = "chaoskit"
    nodes: int = 3
    namespace: str = ""
    seed: int | None = None
    out: Path | None = None
    """The run's folder; where not given, one in `runs` named by time and experiment."""
    runs: Path = Path("runs")
    inside: bool = False
    """Whether this is within the embedded cluster's network, where its API has another address than outside."""
    push_gateway: str = ""
    """Where each run's metrics are pushed at its end; nowhere if empty."""
    metrics_address: str = ""
    """With a `context`: host:port where the pulse serves chaoskit's own metrics; nowhere if empty."""
    load_image: str = ""
    """Of the pods that carry the load of experiments with `load.workers`; on the embedded cluster it is made if need
    be."""
    grafana: str = ""
    """Whose annotations show the steps; nobody's if empty."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder and what was judged from it."""

    folder: Path
    result: Result
    record: Record
    experiment: Experiment
    interrupted: bool = False
    """A signal came. One that comes once the run is healing or over changes nothing in its result, but its user wants
    to stop all the same."""

    @property
    def report(self) -> Path:
        return self.folder / "report.html"


@dataclass
class Session:
    """A cluster that experiments can run on. Use it in a `with`: an embedded cluster that it started ends with it."""

    options: Options
    say: Say
    start: bool = True
    """Whether an embedded cluster that is not up is started."""
    _embedded: EmbeddedCluster | None = field(default=None, init=False)
    _started: bool = field(default=False, init=False)
    _gateway: PushGateway | None = field(default=None, init=False)
    _grafana: Grafana | None = field(default=None, init=False)

    def __enter__(self) -> Session:
        self._name_who_is_told()
        if not self.options.context:
            from chaoskit.cluster import embedded

            self._embedded = embedded.find(self.options.cluster)
            if self._embedded is None:
                if not self.start:
                    raise ClusterError(
                        f"the embedded cluster {self.options.cluster!r} is not up",
                        why="what runs did to it is gone with it",
                        fix="name another with --cluster NAME, or one of your own with --context NAME",
                    )
                self._started = True
                self._embedded = embedded.up(self.options.cluster, nodes=self.options.nodes, say=self.say)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._started and self._embedded:
            from chaoskit.cluster import embedded

            embedded.down(self._embedded.name)

    @property
    def started(self) -> bool:
        """Whether this started the embedded cluster, and so ends it."""
        return self._started

    # ── what a run stands on ─────────────────────────────────────────────────────────────────────────────────────────

    def connect(self, clock: Clock | None = None) -> KubeCluster:
        from chaoskit.adapters.kube import KubeCluster

        now = clock.now if clock else time.monotonic
        own = self._embedded
        if own is None:
            return KubeCluster.connect(self.options.kubeconfig, self.options.context, now=now)
        info = ClusterInfo(
            "embedded", own.name, "", "", profile=own.profile, nodes=tuple(own.nodes), timings=dict(own.timings)
        )
        administrator = own.kubeconfig_inside if self.options.inside else own.kubeconfig
        return KubeCluster.connect(
            self.options.kubeconfig or administrator, None, provider=_Machines(own), info=info, now=now
        )

    def clock(self) -> Clock:
        return SystemClock()

    def metrics(self) -> Metrics:
        from chaoskit.adapters.prometheus import NoMetrics

        return self._prometheus() or NoMetrics()

    def _prometheus(self) -> PrometheusMetrics | None:
        """None where none is named."""
        from chaoskit.adapters.prometheus import PrometheusMetrics

        url = self._embedded.prometheus_url if self._embedded else self.options.prometheus
        return PrometheusMetrics(url) if url else None

    def load(self, cluster: KubeCluster) -> Load:
        return LocustLoad(self._embedded.inside if self._embedded else list, cluster.talk)

    # ── planning ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def plan(self, experiment: Experiment) -> Plan:
        """Decides run, namespace, seed and manifests. UsageError where the experiment does not fit the cluster."""
        if not self._embedded:
            planning.check_possible(experiment)
        if planning.asks_prometheus(experiment) and not self._embedded and not self.options.prometheus:
            raise UsageError("the experiment asks Prometheus, and none is named", fix="give --prometheus URL")
        if experiment.from_inside and self.options.context and not self.options.load_image:
            raise UsageError(
                "load.workers needs an image of chaoskit's that the cluster's nodes can have",
                fix="chaoskit cluster image builds it; push it to your registry, and name it with --load-image",
            )
        return self.plan_anywhere(experiment)

    def plan_anywhere(self, experiment: Experiment) -> Plan:
        """A plan that needs no cluster yet, nor fits any for certain."""
        app = experiment.app
        seed = self.options.seed if self.options.seed is not None else secrets.randbelow(2**31)
        name = slug(experiment.name)
        run = f"{time.strftime('%Y%m%d-%H%M%S')}-{name[:40]}-{random.SystemRandom().randrange(16**4):04x}"
        return Plan(
            experiment=experiment,
            run=run,
            namespace=app.namespace or self.options.namespace or f"chaoskit-{name[:30]}-{run[-4:]}",
            seed=seed,
            manifests=() if app.namespace else manifests.read(self._manifests(experiment), self._kubectl()),
            metrics_address=self._metrics_address(),
            load_image=self._load_image(experiment),
            who=_who(),
            commit=git.commit_of(experiment.folder),
        )

    def _metrics_address(self) -> str:
        """The embedded cluster's Prometheus knows where to look."""
        return f"{self._embedded.gateway}:{METRICS_PORT}" if self._embedded else self.options.metrics_address

    def _load_image(self, experiment: Experiment) -> str:
        """Of the load's pods; empty where there are none."""
        if not experiment.from_inside:
            return ""
        from chaoskit.cluster import ownimage

        return self.options.load_image or ownimage.tag()

    def _bring_image(self, plan: Plan) -> None:
        """Chaoskit's own image, made if need be, on the embedded cluster's nodes."""
        if plan.load_image and self._embedded and not self.options.load_image:
            from chaoskit.cluster import ownimage

            archive = ownimage.ensure(self.say)
            if not self._embedded.has(archive):
                self.say("putting chaoskit's own image on the nodes: about 10 s")
                self._embedded.load(archive)

    def _manifests(self, experiment: Experiment) -> Path:
        if experiment.app.manifests == REFAPP:
            return Path(__file__).parent / "refapp" / "manifests"
        return experiment.folder / experiment.app.manifests

    def _kubectl(self) -> Path | None:
        from chaoskit.cluster import toolset

        found = toolset.find()
        return found.bin / "kubectl" if found else None

    # ── running ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, experiment: Experiment, show: Show) -> Run:
        """Runs, judges and reports, once. The run's folder is there from the first moment on."""
        plan = self.plan(experiment)
        return self._run(plan, self.options.out or self.options.runs / plan.run, show)

    def runs(self, experiment: Experiment, show: Show) -> Iterator[Run]:
        """Runs it as often as it says. Several runs share a folder, with a summary that grows (`repetitions.py`), and
        each has the next seed; whoever interrupts one ends them all."""
        if experiment.repeat == 1:
            yield self.run(experiment, show)
            return
        first = self.plan(experiment)
        folder = make_folder(self.options.out or self.options.runs / f"{first.run}-x{experiment.repeat}")
        results = list[Result]()
        for number in range(experiment.repeat):
            plan = replace(self.plan(replace(experiment, repeat=1)), seed=first.seed + number)
            done = self._run(plan, folder / f"{number + 1:02}", show)
            results.append(done.result)
            found = repetitions.summarise(results)
            (folder / repetitions.FILE).write_text(repetitions.to_json(found), encoding="utf-8")
            (folder / repetitions.PAGE).write_text(repetitions.to_markdown(found), encoding="utf-8")
            yield done
            if done.interrupted:
                return

    def _run(self, plan: Plan, folder: Path, show: Show) -> Run:
        self._bring_image(plan)
        clock = self.clock()
        cluster = self.connect(clock)
        try:
            check_opt_in(cluster, plan, own=self._embedded is not None)
            ports = Ports(cluster, self.load(cluster), self.metrics(), clock)
            check_rights(cluster, plan)
            check_usable(cluster, ports.metrics, plan)
            held = take_leases(cluster, plan, folder)
            with (
                preferred(),
                renewing(cluster, held, clock) as renewal,
                listening(clock) as heard,
                self._shown(plan, folder, clock),
            ):
                if not Engine(ports, plan, folder, show).run().unhealed:
                    renewal.let_go()
                done = judge(folder)
        finally:
            cluster.close()
        if self._gateway:
            push(done, self._gateway, self.say)
        return replace(done, interrupted=bool(heard))

    def _name_who_is_told(self) -> None:
        """A URL that is none, or a token that is missing, is told before a cluster is started, not after the run."""
        if self.options.push_gateway:
            from chaoskit.adapters.pushgateway import PushGateway

            self._gateway = PushGateway(self.options.push_gateway)
        if self.options.grafana:
            from chaoskit.adapters.grafana import Grafana

            self._grafana = Grafana.at(self.options.grafana)

    def _shown(self, plan: Plan, folder: Path, clock: Clock) -> AbstractContextManager[None]:
        if self._grafana is None:
            return contextlib.nullcontext()
        from chaoskit.adapters.grafana import following

        return following(self._grafana, plan, folder, clock.unix, self.say)

    def preview(self, experiment: Experiment) -> Preview:
        """What a run would do, without touching anything."""
        plan = self.plan(experiment)
        cluster = self.connect()
        try:
            return preview(plan, cluster, self.metrics())
        finally:
            cluster.close()

    def examine(self, experiments: Sequence[Experiment]) -> Iterator[Look]:
        """Whether these could be run here, and judged."""
        cluster = self.connect()
        try:
            plans = list[Plan]()
            for experiment in experiments:
                try:
                    plans.append(plan := self.plan(experiment))
                    check_opt_in(cluster, plan, own=self._embedded is not None)
                except (UsageError, ClusterError) as error:
                    why = f": {error.why}" if error.why else ""
                    yield Look(f"“{experiment.name}”", False, f"{error.what}{why}", error.fix)
            metrics = self._prometheus()
            kubectl = f"kubectl --context {cluster.info().context}"
            clocks = OtherClock(cluster.clock_unix, 1.0), OtherClock(metrics.clock_unix, 0.001) if metrics else None
            yield from Doctor(cluster, metrics, plans, *clocks, kubectl=kubectl).looks()
        finally:
            cluster.close()

    def heal(self, run: str, folder: Path | None) -> list[tuple[Intent, Healed]]:
        """Finishes what a run left: from its journal where there is one, and from the cluster in any case; with neither
        named, what all runs left that have ended."""
        known = healing.open_intents(journal.read(folder / journal.FILE)) if folder else []
        run = run or (known[0].run if known else record.run_of(folder) if folder else "")
        within = self.options.namespace or next((i.target.namespace for i in known if i.target.namespace), "")
        cluster = self.connect()
        try:
            if not run:
                return janitor.finish_ended(cluster, TIME, self.say, within)
            done = janitor.finish(cluster, run, known, TIME, within)
        finally:
            cluster.close()
        healing.note(folder, done)
        return done

    def watch(self) -> None:
        """A janitor, until it is ended."""
        cluster = self.connect()
        try:
            janitor.Janitor(cluster, TIME, self.say).watch()
        finally:
            cluster.close()


@dataclass(frozen=True, slots=True)
class _Machines:
    """The Provider of an embedded cluster."""

    own: EmbeddedCluster

    def signal(self, pod: Raw, container: str, name: str) -> None:
        for status in pod["status"].get("containerStatuses") or ():
            if status["name"] == container:
                number = signal.Signals[f"SIG{name}"]
                self.own.kill_container(pod["spec"]["nodeName"], str(status["containerID"]).rpartition("/")[2], number)
                return
        raise UsageError(f"pod/{pod['metadata']['name']} has no container called {container}")

    def inside(self, argv: Sequence[str]) -> Sequence[str]:
        return self.own.inside(argv)

    def server(self, name: str, order: ServerOrder, for_s: float = LONGEST_FREEZE_S) -> None:
        self.own.server(name, order, for_s)

    def machine(self, node: str, order: MachineOrder) -> None:
        orders: dict[MachineOrder, Callable[[str], None]] = {
            "power_off": self.own.power_off,
            "power_on": self.own.power_on,
            "freeze": self.own.freeze,
            "thaw": self.own.thaw,
            "unplug": self.own.unplug,
            "plug": self.own.plug,
        }
        orders[order](node)

    def ended(self) -> tuple[str, str] | None:
        from chaoskit.cluster import embedded

        name = self.own.name
        if embedded.find(name) is not None:
            return None
        return f"the embedded cluster {name!r} has ended, and all that was on it", f"chaoskit cluster up --name {name}"


def _who() -> str:
    """The user and the machine, for whoever finds them named on the cluster."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A user without a name, as in a container.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "run"


def make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise UsageError(
            "the run's folder is there already", where=str(path), fix="choose another with --out"
        ) from error
    except OSError as error:
        raise UsageError("the run's folder cannot be made", where=str(path), why=str(error.strerror)) from error
    return path


def _left_something(cluster: Cluster, run: str, plan: Plan) -> bool:
    try:
        return bool(healing.found_in(cluster, run))
    except ForbiddenError:  # Who may look into one namespace only asks for what was left there, and on nodes.
        return bool(healing.found_in(cluster, run, plan.namespace))


def take_leases(cluster: Cluster, plan: Plan, folder: Path) -> Sequence[lease.Held]:
    """Takes the run's Leases, and makes its folder: both, or neither."""
    held = lease.take(cluster, plan, TIME, lambda run: _left_something(cluster, run, plan))
    try:
        make_folder(folder)
    except BaseException:
        lease.release(cluster, held, TIME.sleep)
        raise
    return held


def check_opt_in(cluster: Cluster, plan: Plan, *, own: bool) -> None:
    """A namespace that chaoskit did not make must have opted in, unless the whole cluster is chaoskit's own."""
    if plan.namespace in planning.SYSTEM_NAMESPACES:
        raise UsageError(f"namespace {plan.namespace} belongs to the system", fix="choose another")
    if plan.experiment.safety.platform and not own:
        raise UsageError(
            "safety.platform is true, and chaoskit did not make this cluster",
            why="faults of the platform itself hit everybody on it",
            fix="run this experiment on the embedded cluster: leave --context out",
        )
    if plan.fresh or own:
        return
    try:
        space = cluster.get("namespace", plan.namespace)
    except NotFoundError as error:
        raise UsageError(f"there is no namespace {plan.namespace}", fix="kubectl get namespaces") from error
    if labels(space).get(OPT_IN_LABEL) != "true":
        raise UsageError(
            f"namespace {plan.namespace} has not opted in",
            why="chaoskit breaks only what its owner allowed to be broken",
            fix=f"kubectl label namespace {plan.namespace} {OPT_IN_LABEL}=true",
        )


def check_rights(cluster: Cluster, plan: Plan) -> None:
    """A run that lacks a right would break off half-way, or could not put back what it broke. Only the Events that tell
    owners of a run can be done without."""
    optional = notices.rights(plan)
    needed = (right for right in healing.rights(plan) if right not in optional)
    missing = [str(right) for right in needed if _is_refused(cluster, right)]
    if missing:
        raise UsageError(
            f"this account lacks {'a right' if len(missing) == 1 else f'{len(missing)} rights'} that the run or its "
            f"healing needs: {', '.join(missing)}",
            fix="an administrator can grant all of them: chaoskit rbac FILE | kubectl apply -f -",
        )


def _is_refused(cluster: Cluster, right: Right) -> bool:
    try:
        return not cluster.allowed(right)
    except UnreachableError:
        raise
    except PortError:  # It is not known, and the run will tell.
        return False


def check_usable(cluster: Cluster, metrics: Metrics, plan: Plan) -> None:
    """What the run would stumble over at once is told before it has a folder, and before anything is made."""
    if plan.fresh and _is_there(cluster, plan.namespace):
        raise namespace_taken(plan.namespace)
    if planning.asks_prometheus(plan.experiment):
        check_metrics(metrics, time.time())


def _is_there(cluster: Cluster, namespace: str) -> bool:
    try:
        cluster.get("namespace", namespace)
    except (NotFoundError, ForbiddenError):
        return False
    return True


@contextlib.contextmanager
def listening(clock: Clock) -> Iterator[list[str]]:
    """Signals become happenings: the engine stops at its next breath, and heals. A second one changes nothing. Yields
    the names of those that came."""
    heard = list[str]()

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(signal.Signals(number).name)
        clock.post(Signalled(heard[-1]))

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def judge(folder: Path) -> Run:
    """Judges a run's folder, offline, and writes its reports."""
    experiment, seen, seed = record.read(folder)
    entries = journal.read(folder / journal.FILE)
    journal.check_end(folder / journal.FILE, result.judged_journal(folder))
    found = judging.judge(experiment, seen, entries, seed)
    found = replace(found, journal=journal.end(folder / journal.FILE))
    result.write(found, folder)
    logs = {p.stem: p.read_text(encoding="utf-8", errors="replace") for p in sorted((folder / "logs").glob("*.log"))}
    (folder / "junit.xml").write_text(junit.render(found), encoding="utf-8")
    (folder / "summary.md").write_text(markdown.render(found), encoding="utf-8")
    (folder / "report.html").write_text(html.render(found, seen, experiment, logs), encoding="utf-8")
    return Run(folder, found, seen, experiment)


def push(run: Run, gateway: PushGateway, say: Say) -> None:
    """A result that cannot be pushed is still one: that it was not pushed is told, and how to push it later."""
    from chaoskit.report import exposition

    try:
        gateway.push(exposition.registry(run.result, run.record), run.result.experiment)
    except PortError as error:
        say(f"warning: the result was not pushed: {error}")
        say(f"  next: {shlex.join(['chaoskit', 'judge', str(run.folder), '--push-gateway', gateway.shown])}")


def read(folder: Path) -> Run:
    """A run that was judged, as its folder tells it. Nothing is judged anew or written."""
    experiment, seen, _ = record.read(folder)
    try:
        found = result.from_json((folder / result.FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "the run has no result that can be read", where=str(folder), fix=f"chaoskit judge {folder}"
        ) from error
    return Run(folder, found, seen, experiment)


# ── previewing ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PlannedStep:
    name: str
    verb: str
    targets: tuple[Target, ...]
    undo: tuple[str, ...]
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do: who would be hit, by which rights, and what Prometheus says now."""

    plan: Plan
    steps: tuple[PlannedStep, ...]
    rights: Mapping[Right, bool | None]
    answers: Mapping[str, Answer]
    warnings: tuple[str, ...] = ()
    """What Prometheus' scrapes and buckets make of the experiment's queries and limits."""


def preview(plan: Plan, cluster: Cluster, metrics: Metrics) -> Preview:
    objects = _present(plan, cluster)
    interval = metrics.scrape_interval()
    queries = planning.queries(plan.experiment, plan.namespace, interval)
    answers = {name: metrics.instant(query, time.time()) for name, query in queries.items()}
    return Preview(
        plan=plan,
        steps=tuple(_planned(plan, i, objects) for i in range(len(plan.experiment.steps))),
        rights={right: cluster.allowed(right) for right in healing.rights(plan)},
        answers=answers,
        warnings=tuple(planning.doubts(plan.experiment, queries, answers, interval)),
    )


def _present(plan: Plan, cluster: Cluster) -> Objects:
    """The objects that a step would choose among: those that are there, or the ones that the manifests will make."""
    objects = Objects()
    for kind in ("node",) if plan.fresh else WATCHED:
        if kind != "event":
            with contextlib.suppress(ForbiddenError):
                objects.put(kind, cluster.list(kind, "" if kind == "node" else plan.namespace))
    for kind, found in foreseen(plan).items():
        objects.put(kind, found)
    for place in planning.places(plan.experiment):
        for kind in ("pod", *WORKLOADS, "service"):
            objects.put(kind, [*objects.all(kind), *cluster.list(kind, place)])
    return objects


def foreseen(plan: Plan) -> dict[str, list[Raw]]:
    """The workloads that the manifests describe, with as many pods as they ask for, under names that say so."""
    found: dict[str, list[Raw]] = {"pod": []}
    for manifest in plan.manifests:
        kind, name = str(manifest["kind"]).lower(), str(manifest["metadata"]["name"])
        meta = {**manifest["metadata"], "namespace": plan.namespace, "uid": f"{kind}/{name}"}
        found.setdefault(kind, []).append({**manifest, "metadata": meta})
        if kind in ("deployment", "statefulset"):
            replicas = int(manifest["spec"].get("replicas", 1))
            found["pod"] += [_foreseen_pod(manifest, plan.namespace, i + 1, replicas) for i in range(replicas)]
    return found if plan.fresh else {}


def _foreseen_pod(manifest: Raw, namespace: str, number: int, of: int) -> Raw:
    name = f"{manifest['metadata']['name']} ({number} of {of})"
    template = manifest["spec"]["template"]
    statuses = [{"name": c["name"], "containerID": "none yet"} for c in template["spec"]["containers"]]
    meta = {
        "name": name,
        "namespace": namespace,
        "uid": f"pod/{name}",
        "labels": template["metadata"].get("labels") or {},
    }
    return {"metadata": meta, "spec": template["spec"], "status": {"containerStatuses": statuses}}


def _planned(plan: Plan, number: int, objects: Objects) -> PlannedStep:
    step = plan.experiment.steps[number]
    try:
        chosen = planning.choose(step.action, objects, plan.namespace, plan.experiment.safety, plan.rng(number))
    except (UsageError, ClusterError, RefusedError) as error:
        return PlannedStep(step.name, step.action.verb, (), (), error.what)
    return PlannedStep(step.name, step.action.verb, chosen, tuple(step.action.undo(t) for t in chosen))
