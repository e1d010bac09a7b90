"""The Cluster port over simulated controllers, scheduler and kubelets, with trouble on demand and a log of all acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from chaoskit import objects
from chaoskit.adapters.fake import budgets, selectors, status
from chaoskit.adapters.fake.chronicle import Chronicle
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.faults import Fault, Trouble
from chaoskit.adapters.fake.kubelets import Kubelets
from chaoskit.adapters.fake.network import Network, Reach
from chaoskit.adapters.fake.scheduler import Scheduler
from chaoskit.adapters.fake.settings import Behaviour, Timings
from chaoskit.adapters.fake.store import Object, Store, copied, describe, kind_of, merge
from chaoskit.adapters.fake.watches import FakeWatching
from chaoskit.adapters.fake.workloads import Workloads
from chaoskit.errors import BudgetError, ConflictError, ForbiddenError, NotFoundError, PortError, UnreachableError
from chaoskit.model import ClusterInfo, Raw, Reached, Right
from chaoskit.ports import LONGEST_FREEZE_S, MachineOrder, Post, ServerOrder

T = TypeVar("T")

SERVER = "https://fake.invalid:6443"
VERSION = "v1.37.2"


@dataclass(frozen=True, slots=True)
class Acted:
    """A call that changed the cluster, whether or not its caller got the answer."""

    at: float
    verb: str
    """create, apply, patch, delete, evict, signal, ask, or what befell a machine."""
    kind: str
    namespace: str
    name: str
    uid: str
    body: Raw = field(default_factory=dict)
    """The manifest, the patch, or the signal and its container."""


class FakeCluster:
    """A Kubernetes cluster in memory. It lives in its clock's time; see Timings for how long things take."""

    def __init__(
        self,
        clock: FakeClock,
        seed: int = 0,
        *,
        nodes: Sequence[str] = ("node1", "node2", "node3"),
        timings: Timings | None = None,
        provider: str = "embedded",
        context: str = "fake",
    ) -> None:
        self.clock = clock
        self.timings = timings or Timings()
        self.trouble = Trouble(seed)
        self.acts: list[Acted] = []
        self.used: set[Right] = set()
        """The rights that calls and watches took so far."""
        self._store = Store(clock.stamp, seed)
        chronicle = Chronicle(clock, self._store)
        self._kubelets = Kubelets(clock, self._store, self.timings, seed, chronicle)
        self.network = Network(clock, self._store, self.timings, self._kubelets)
        Scheduler(clock, self._store, self.timings, seed, chronicle)
        Workloads(clock, self._store, self.timings, seed, self._end)
        self._identity = (provider, context)
        self._denied: list[Right] = []
        self._replies: dict[str, Callable[[Raw], tuple[int, str]]] = {}
        self._watches: list[FakeWatching] = []
        self._addresses = 0
        self._away_until = 0.0
        self._frozen_until: dict[str, float] = {}
        self._over: tuple[str, str] | None = None
        for number, node in enumerate(nodes, 1):
            self._store.create(_node(node, f"zone{number}"))
        for namespace in ("default", "kube-system"):
            self._store.create(_with_defaults({"kind": "Namespace", "metadata": {"name": namespace}}))

    def close(self) -> None:
        """There is no connection to end."""

    # ── the port: reading ────────────────────────────────────────────────────────────────────────────────────────────

    def info(self) -> ClusterInfo:
        provider, context = self._identity
        timings = {
            "node-monitor-grace-period": self.timings.node_grace,
            "default-unreachable-toleration-seconds": self.timings.toleration,
            "max-container-restart-period": self.timings.back_off_most,
        }
        nodes = tuple(objects.name(node) for node in self._store.all("node"))
        return ClusterInfo(provider, context, SERVER, VERSION, nodes=nodes, timings=timings)

    def get(self, kind: str, name: str, namespace: str = "") -> Raw:
        return self._call("get", kind, name, namespace, lambda: self._find(kind, name, namespace))

    def list(self, kind: str, namespace: str = "", selector: str = "") -> Sequence[Raw]:
        fits = selectors.parse(selector)

        def effect() -> list[Object]:
            found = [o for o in self._store.all(kind, namespace) if fits(objects.labels(o))]
            return sorted(found, key=lambda o: (objects.namespace(o), objects.name(o)))

        return self._call("list", kind, "", namespace, effect)

    def machine(self, node: str, order: MachineOrder) -> None:
        """A machine that is frozen or unplugged answers and reports no more than one without power; but its processes
        are there again when it is thawed or plugged in."""
        self._pass_time()
        found = self._find("node", node, "")
        self._log(order, found)
        if order == "power_off":
            self.power_off(node)
        elif order in ("freeze", "unplug"):
            self._kubelets.silence(node)
        else:
            self.power_on(node)

    def server(self, name: str, order: ServerOrder, for_s: float = LONGEST_FREEZE_S) -> None:
        """Of what comes of it only this is played: an API server that is killed or frozen is away for a while. The
        order itself needs no API."""
        self.clock.advance(self.timings.call)
        self.acts.append(Acted(self.clock.now(), order, objects.SERVER, "", name, name))
        self._frozen_until[name] = self.clock.now() + for_s if order == "freeze" else 0.0
        if name == "kube-apiserver" and order != "thaw":
            self.away(self.timings.api_start if order == "kill" else for_s)

    def ask(self, pod: str, namespace: str, path: str, port: int, method: str = "GET") -> tuple[int, str]:
        def effect() -> tuple[int, str]:
            found = self._find("pod", pod, namespace)
            if self.network.reach(objects.uid(found)) is not Reach.SERVES:
                raise PortError(f"pod {pod} does not answer", where=namespace)
            self._log("ask", found, {"path": path, "port": port, "method": method})
            reply = self._replies.get(path.partition("?")[0])
            return reply(found) if reply else (200, "{}")

        return self._call("ask", "pod", pod, namespace, effect)

    def reach(self, url: str, times: int, timeout_s: float, pod: Raw | None = None) -> Sequence[Reached]:
        self._pass_time()
        host = urlsplit(url).hostname or ""
        found = [self.network.connect(host, inside=pod is not None) for _ in range(times)]
        self.clock.advance(times * self.timings.call)
        return found

    def allowed(self, right: Right) -> bool:
        self._pass_time()
        return not any(_covers(denied, right) for denied in self._denied)

    def logs(self, pod: str, namespace: str, container: str = "", *, previous: bool = False, lines: int = 20) -> str:
        return self._call("logs", "pod", pod, namespace, lambda: self._logs(pod, namespace, container, previous, lines))

    def watch(self, kinds: Sequence[str], namespace: str, post: Post) -> FakeWatching:
        self.used.update(
            right for kind in kinds for verb in ("list", "watch") for right in _needed(verb, kind, namespace)
        )
        watching = FakeWatching(self.clock, self._store, kinds, namespace, post, self.timings.watch)
        self._watches.append(watching)
        watching.begin(self._away_until)
        return watching

    # ── the port: changing ───────────────────────────────────────────────────────────────────────────────────────────

    def create(self, manifest: Raw, namespace: str = "") -> Raw:
        wanted = self._complete(manifest, namespace)
        return self._call("create", *_address(wanted), lambda: self._create(wanted))

    def apply(self, manifest: Raw, namespace: str = "") -> Raw:
        wanted = self._complete(manifest, namespace)
        return self._call("apply", *_address(wanted), lambda: self._apply(wanted))

    def patch(self, kind: str, name: str, patch: Raw, namespace: str = "", *, uid: str = "") -> Raw:
        return self._call("patch", kind, name, namespace, lambda: self._patch(kind, name, patch, namespace, uid))

    def delete(self, kind: str, name: str, namespace: str = "", *, uid: str = "", grace_s: int | None = None) -> None:
        def effect() -> None:
            o = self._find(kind, name, namespace, uid)
            self._log("delete", o)
            self._end(o, grace_s)

        self._call("delete", kind, name, namespace, effect)

    def evict(self, name: str, namespace: str, *, uid: str, grace_s: int | None = None) -> None:
        self._call("evict", "pod", name, namespace, lambda: self._evict(name, namespace, uid, grace_s))

    def signal(self, pod: Raw, container: str, signal: str) -> None:
        name, namespace = objects.name(pod), objects.namespace(pod)

        def effect() -> None:
            o = self._find("pod", name, namespace, objects.uid(pod))
            if not self._kubelets.signal(objects.uid(o), container, signal):
                raise NotFoundError(f"container {container} of pod {name} does not run", where=namespace)
            self._log("signal", o, {"container": container, "signal": signal})

        self._call("signal", "pod", name, namespace, effect)

    def ended(self) -> tuple[str, str] | None:
        return self._over

    # ── for whoever tells the story ──────────────────────────────────────────────────────────────────────────────────

    def behave(self, selector: str, behaviour: Behaviour) -> None:
        """How the processes of pods with these labels behave from their next start on; what is said later counts."""
        fits = selectors.parse(selector)
        self._kubelets.behaviours.append((lambda pod: fits(objects.labels(pod)), behaviour))

    def reply(self, path: str, answer: Callable[[Raw], tuple[int, str]]) -> None:
        """What a pod that is asked for a path through the API does and answers; it may raise a PortError."""
        self._replies[path] = answer

    def end(self, pod: Raw, code: int, reason: str = "") -> None:
        """The pod's processes end by themselves, with an exit code; `reason` as in OOMKilled."""
        self._kubelets.end(objects.uid(pod), code, reason)

    def deny(self, right: Right) -> None:
        """Takes a right away; a denial without a namespace holds in all of them."""
        self._denied.append(right)

    def allow(self, right: Right) -> None:
        """Gives a right back that was taken away."""
        self._denied.remove(right)

    def power_off(self, node: str) -> None:
        """The node dies: nothing on it answers or reports until `power_on`."""
        self._kubelets.power_off(node)

    def power_on(self, node: str) -> None:
        self._kubelets.power_on(node)

    def gap(self, for_s: float = 0.0, kinds: Sequence[str] = ()) -> None:
        """Every watch (of these kinds, or of all) breaks now, and lists again after `for_s`."""
        self._watches = [watching for watching in self._watches if not watching.closed]
        for watching in self._watches:
            watching.interrupt(self.clock.now() + for_s, kinds)

    def away(self, for_s: float) -> None:
        """The API does not answer from now on for `for_s`; the cluster itself works on."""
        self._away_until = max(self._away_until, self.clock.now() + for_s)
        self.trouble.away(self.clock.now(), self._away_until)
        self.gap(self._away_until - self.clock.now())

    def cease(self) -> None:
        """The cluster ends, with all that is on it."""
        self._over = ("the cluster has ended, and all that was on it", "chaoskit cluster up")

    def frozen(self) -> Sequence[str]:
        """The servers of the platform that stand still now."""
        return [name for name, until in self._frozen_until.items() if until > self.clock.now()]

    def there(self, kind: str, namespace: str = "") -> Sequence[Raw]:
        """What is really there, without a call: for assertions. In order of creation."""
        return self._store.all(kind, namespace)

    # ── what a call goes through ─────────────────────────────────────────────────────────────────────────────────────

    def _call(self, verb: str, kind: str, name: str, namespace: str, effect: Callable[[], T]) -> T:
        self._pass_time()
        what = f"{verb} {kind} {name}".rstrip()
        for right in _needed(verb, kind, namespace):
            self.used.add(right)
            if any(_covers(denied, right) for denied in self._denied):
                raise ForbiddenError(f"may not {right}", where=what)
        fault = self.trouble.strike(verb, kind, name)
        self._fail_before(fault, what)
        result = effect()
        if fault is Fault.LOST:
            self.clock.advance(self.timings.call_deadline)
            raise UnreachableError("no answer came", where=what, why="whether it took effect is unknown")
        return result

    def _pass_time(self) -> None:
        if self._over:
            raise NotFoundError("the API server does not answer", where=SERVER, why=self._over[0], fix=self._over[1])
        if self.trouble.is_away(self.clock.now()):
            self.clock.advance(self.timings.refused)
            raise UnreachableError("the API server does not answer", where=SERVER, why="connection refused")
        self.clock.advance(self.timings.call)

    def _fail_before(self, fault: Fault | None, what: str) -> None:
        if fault is Fault.RESET:
            raise UnreachableError("the connection was reset", where=what, why="whether it took effect is unknown")
        if fault is Fault.CONFLICT:
            raise ConflictError("the object has been modified", where=what)
        if fault is Fault.BUDGET:
            raise BudgetError("a disruption budget refuses it for now", where=what)
        if fault is Fault.ERROR:
            raise PortError("the API server answered 500", where=what)
        if fault is Fault.AWAY:
            self.away(self.trouble.away_s)
            self._pass_time()
        if fault is Fault.GAP:
            self.gap(self.trouble.gap_s)

    def _log(self, verb: str, o: Raw, body: Raw | None = None) -> None:
        kind, name, namespace = _address(o)
        self.acts.append(Acted(self.clock.now(), verb, kind, namespace, name, objects.uid(o), body or {}))

    # ── effects ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, kind: str, name: str, namespace: str, uid: str = "") -> Object:
        found = self._store.find(kind, namespace if describe(kind).namespaced else "", name)
        if found is None:
            raise NotFoundError(f"there is no {kind} {name}", where=namespace)
        if uid and objects.uid(found) != uid:
            raise ConflictError(f"{kind} {name} is another object now", why=f"UID {objects.uid(found)}, not {uid}")
        return found

    def _complete(self, manifest: Raw, namespace: str) -> Object:
        """A copy of the manifest, with its namespace and name filled in."""
        o: Object = copied(manifest)
        kind = describe(kind_of(o))
        metadata = o.setdefault("metadata", {})
        if kind.namespaced:
            metadata.setdefault("namespace", namespace or "default")
        else:
            metadata.pop("namespace", None)
        if "name" not in metadata:
            self._addresses += 1
            metadata["name"] = f"{metadata['generateName']}{self._addresses:05d}"
        o.setdefault("apiVersion", kind.api_version)
        return o

    def _create(self, wanted: Object) -> Object:
        kind, name, namespace = _address(wanted)
        if self._store.find(kind, namespace, name) is not None:
            raise ConflictError(f"{kind} {name} already exists", where=namespace)
        self._admit(wanted, namespace)
        created = self._store.create(_with_defaults(wanted))
        self._log("create", created, wanted)
        return created

    def _admit(self, wanted: Object, namespace: str) -> None:
        if namespace:
            holder = self._find("namespace", namespace, "")
            if objects.terminating(holder):
                raise ForbiddenError(f"namespace {namespace} is being terminated", where=namespace)
        if kind_of(wanted) == "service" and "clusterIP" not in wanted["spec"]:
            self._addresses += 1
            wanted["spec"]["clusterIP"] = f"10.96.{self._addresses // 250}.{self._addresses % 250 + 1}"

    def _apply(self, wanted: Object) -> Object:
        kind, name, namespace = _address(wanted)
        there = self._store.find(kind, namespace, name)
        if there is None:
            self._admit(wanted, namespace)
            after = self._store.create(_with_defaults(wanted))
        else:
            after = self._store.change(there, wanted) or there
        self._log("apply", after, wanted)
        return after

    def _patch(self, kind: str, name: str, patch: Raw, namespace: str, uid: str) -> Object:
        there = self._find(kind, name, namespace, uid)
        body: Object = copied(patch)
        known = body.get("metadata", {}).pop("resourceVersion", "")
        if known and known != there["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified", where=f"{kind} {name}")
        if kind == "deployment" and body.get("metadata", {}).get("annotations"):
            # Of Deployments, a change of annotations counts as well (pkg/registry/apps/deployment/strategy.go).
            body["metadata"]["generation"] = there["metadata"]["generation"] + 1
        after = self._store.change(there, body) or merge(there, body)
        self._log("patch", after, body)
        if objects.terminating(after) and not after["metadata"].get("finalizers") and kind not in ("pod", "namespace"):
            self._store.remove(after)
        return after

    def _evict(self, name: str, namespace: str, uid: str, grace_s: int | None) -> None:
        pod = self._find("pod", name, namespace, uid)
        if not objects.terminating(pod) and (why := budgets.refusal(self._store, pod)):
            raise BudgetError("Cannot evict pod as it would violate the pod's disruption budget.", where=name, why=why)
        self._log("evict", pod)
        self._end(pod, grace_s)

    def _end(self, o: Raw, grace_s: int | None = None) -> None:
        """Deletes an object as the API does: at once, or marked, for its kubelet or controller to finish."""
        kind = kind_of(o)
        if kind == "pod":
            self._end_pod(o, grace_s)
        elif kind == "namespace":
            self._mark(o, {"status": {"phase": "Terminating"}})
        elif o["metadata"].get("finalizers"):
            self._mark(o, {})
        else:
            self._store.remove(o)

    def _end_pod(self, pod: Raw, grace_s: int | None) -> None:
        grace = int(pod["spec"].get("terminationGracePeriodSeconds", 30)) if grace_s is None else grace_s
        if grace <= 0 or not objects.node_of(pod) or status.finished(pod):
            self._store.remove(pod)
            return
        if objects.terminating(pod) and grace >= pod["metadata"]["deletionGracePeriodSeconds"]:
            return
        ends = self.clock.stamp(grace)
        self._store.change(pod, {"metadata": {"deletionTimestamp": ends, "deletionGracePeriodSeconds": grace}})

    def _mark(self, o: Raw, patch: Raw) -> None:
        if not objects.terminating(o):
            self._store.change(o, merge(patch, {"metadata": {"deletionTimestamp": self.clock.stamp()}}))

    def _logs(self, pod: str, namespace: str, container: str, previous: bool, lines: int) -> str:
        place = self._kubelets.place(objects.uid(self._find("pod", pod, namespace)))
        if place and self._kubelets.silent(place.node):
            self.clock.advance(self.timings.call_deadline)
            raise PortError(f"the kubelet of {place.node} does not answer", where=f"pod {pod}")
        processes = list(place.processes.values()) if place else []
        process = next((p for p in processes if not container or p.name == container), None)
        if process is None:
            raise NotFoundError(f"pod {pod} has no container {container}".rstrip(), where=namespace)
        wanted = 2 if previous else 1
        if len(process.logs) < wanted:
            raise PortError(f"container {process.name} of pod {pod} has no such log yet", where=namespace)
        return "".join(f"{line}\n" for line in process.logs[-wanted][-lines:])


def _address(o: Raw) -> tuple[str, str, str]:
    return kind_of(o), objects.name(o), objects.namespace(o)


def _node(name: str, zone: str) -> Object:
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    labels = {objects.HOSTNAME_LABEL: name, objects.ZONE_LABEL: zone}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": room, "capacity": room, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def _with_defaults(o: Object) -> Object:
    """What the API server fills in, as far as anything here reads it."""
    kind, spec = kind_of(o), o.get("spec") or {}
    o = {"apiVersion": describe(kind).api_version, **o}
    if kind == "pod":
        defaults = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30}
        return {**o, "spec": {**defaults, **spec}, "status": {"phase": "Pending"}}
    if kind == "namespace":
        labels = {**objects.labels(o), "kubernetes.io/metadata.name": objects.name(o)}
        return {**o, "metadata": {**o["metadata"], "labels": labels}, "status": {"phase": "Active"}}
    if kind in ("deployment", "statefulset", "replicaset"):
        return {**o, "spec": {"replicas": 1, **spec}}
    if kind == "node":
        return merge(_node(objects.name(o), ""), o)  # type: ignore[no-any-return]
    return o


def _needed(verb: str, kind: str, namespace: str) -> tuple[Right, ...]:
    """The rights that a call takes."""
    known = describe(kind)
    within = namespace if known.namespaced else ""
    if verb == "evict":  # The real adapter looks at the UID first.
        return (Right("get", "", "pods", within), Right("create", "", "pods", within, "eviction"))
    if verb == "signal":
        return (Right("get", "", "pods", within, "exec"), Right("create", "", "pods", within, "exec"))
    if verb == "ask":
        return (Right("get", "", "pods", within, "proxy"),)
    if verb == "logs":
        return (Right("get", "", "pods", within, "log"),)
    # A server-side apply is a patch, and creates what is not there.
    verbs = ("patch", "create") if verb == "apply" else (verb,)
    return tuple(Right(each, known.group, known.plural, within) for each in verbs)


def _covers(denied: Right, right: Right) -> bool:
    same = (denied.verb, denied.group, denied.resource, denied.subresource)
    return same == (right.verb, right.group, right.resource, right.subresource) and (
        not denied.namespace or denied.namespace == right.namespace
    )
