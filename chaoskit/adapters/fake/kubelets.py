"""The kubelets: they start, probe, restart and end the containers of the pods on their nodes, and report.

It knows the store and the clock, and tells its listeners whenever a process begins or ceases to serve.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chaoskit import objects
from chaoskit.adapters.fake.chronicle import Chronicle
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.pace import Pace
from chaoskit.adapters.fake.settings import NEVER, Behaviour, Timings
from chaoskit.adapters.fake.status import conditions, patience, readiness_probe
from chaoskit.adapters.fake.store import Object, Store
from chaoskit.model import GONE, Raw

FORGET_AFTER_S = 600.0
"""The back-off is forgotten when a container ran for longer than this (pkg/kubelet/kubelet.go, HasExpiredFunc)."""
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"


@dataclass(slots=True)
class Process:
    """A container of a pod, and the process that runs in it."""

    name: str
    image: str
    id: str = ""
    """Of the container; empty until the first one was made."""
    runs: bool = False
    serves: bool = False
    probed: bool = False
    """The readiness probe passed."""
    restarts: int = 0
    began: str = ""
    end: Object | None = None
    """How the last one ended: the API's `terminated`."""
    waiting: Object | None = None
    back_off_s: float = 0.0
    back_off_set: float = 0.0
    ended_at: float = 0.0
    logs: list[list[str]] = field(default_factory=list)
    """The lines of each container, the present one last."""


@dataclass(slots=True)
class Place:
    """A pod on a node, as its kubelet knows it."""

    pod: Raw
    node: str
    ip: str
    processes: dict[str, Process]

    @property
    def serves(self) -> bool:
        return all(p.serves for p in self.processes.values())


class Kubelets:
    """The kubelets of all nodes."""

    def __init__(self, clock: FakeClock, store: Store, timings: Timings, seed: int, chronicle: Chronicle) -> None:
        self._clock = clock
        self._store = store
        self._timings = timings
        self._chronicle = chronicle
        self._pace = Pace(clock, timings.jitter, f"kubelets {seed}")
        self._places: dict[str, Place] = {}
        self._off: dict[str, int] = {}
        """Nodes without power, and a number for each time that it went."""
        self._made = 0
        self.behaviours: list[tuple[Callable[[Raw], bool], Behaviour]] = []
        """Whose pods behave how; the last that fits counts."""
        self.listeners: list[Callable[[], None]] = []
        """Called whenever a process began or ceased to serve."""
        store.listeners.append(self._heard)

    # ── what others ask ──────────────────────────────────────────────────────────────────────────────────────────────

    def place(self, uid: str) -> Place | None:
        """The pod on its node; also after the object is gone, as long as its processes live."""
        return self._places.get(uid)

    def silent(self, node: str) -> bool:
        """Whether the node gives no answer at all."""
        return node in self._off

    def behaviour(self, pod: Raw) -> Behaviour:
        return next((b for fits, b in reversed(self.behaviours) if fits(pod)), Behaviour())

    def _traffic(self) -> None:
        for listener in self.listeners:
            listener()

    def _heard(self, change: str, kind: str, pod: Raw, old: Raw | None) -> None:
        if kind != "pod":
            return
        uid = objects.uid(pod)
        if change == GONE:
            self._pace.after(self._timings.kill, lambda: self._clear(uid))
        elif uid not in self._places:
            self._admit(pod)
        elif _ends(pod) != (_ends(old) if old else None):
            self._terminate(pod)

    # ── starting ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _admit(self, pod: Raw) -> None:
        uid, node = objects.uid(pod), objects.node_of(pod)
        if self._store.find("node", "", node) is None:
            return
        processes = {c["name"]: Process(c["name"], c.get("image", "")) for c in pod["spec"]["containers"]}
        self._places[uid] = Place(pod, node, self._address(node), processes)
        if node not in self._off:
            self._begin(uid)

    def _begin(self, uid: str) -> None:
        place = self._places[uid]
        for process in place.processes.values():
            process.waiting = {"reason": "ContainerCreating"}
        self._report(uid)
        self._pace.after(self._timings.start, lambda: self._start_all(uid))

    def _start_all(self, uid: str) -> None:
        place = self._places.get(uid)
        if place is None or place.node in self._off or objects.terminating(self._pod(uid) or place.pod):
            return
        why = self.behaviour(place.pod).image
        for process in place.processes.values():
            if why:
                message = f'Back-off pulling image "{process.image}"'
                process.waiting = {"reason": why, "message": message}
                self._chronicle.write(place.pod, "Failed", message, warning=True)
            elif not process.runs:
                self._start(uid, process)
        self._report(uid)

    def _start(self, uid: str, process: Process) -> None:
        self._made += 1
        place = self._places[uid]
        process.id = f"containerd://{zlib.crc32(uid.encode()):08x}{self._made:056x}"
        process.runs, process.waiting, process.began = True, None, self._clock.stamp()
        self._chronicle.write(place.pod, "Started", f"Started container {process.name}")
        process.logs.append([f"{process.began} started"])
        behaviour = self.behaviour(place.pod)
        process.probed = behaviour.ready and not readiness_probe(place.pod, process.name)
        boot = self._timings.boot if behaviour.boot_s is None else behaviour.boot_s
        this = process.id
        self._pace.after(boot, lambda: self._boot(uid, process, this))
        if behaviour.crash_after_s is not None:
            self._clock.after(behaviour.crash_after_s, lambda: self._exit(uid, process, this, 1))

    def _boot(self, uid: str, process: Process, this: str) -> None:
        if process.id != this or not process.runs or uid not in self._places:
            return
        process.serves = True
        process.logs[-1].append(f"{self._clock.stamp()} serving")
        self._traffic()
        probe = readiness_probe(self._places[uid].pod, process.name)
        if probe is not None and self.behaviour(self._places[uid].pod).ready:
            period = float(probe.get("periodSeconds") or self._timings.probe)
            self._clock.after(self._pace.rng.random() * period, lambda: self._pass_probe(uid, process, this))

    def _pass_probe(self, uid: str, process: Process, this: str) -> None:
        if process.id == this and process.serves:
            process.probed = True
            self._report(uid)

    # ── ends and restarts ─────────────────────────────────────────────────────────────────────────────────────

    def signal(self, uid: str, container: str, signal: str) -> bool:
        """Sends a signal to a container's process; False if none runs."""
        place = self._places.get(uid)
        process = place.processes.get(container) if place else None
        if place is None or process is None or not process.runs or place.node in self._off:
            return False
        this = process.id
        if signal == "KILL":
            self._exit(uid, process, this, 137)
            return True
        takes = self._stop_s(place.pod)
        if takes != NEVER:
            self._pace.after(takes, lambda: self._exit(uid, process, this, 0))
        return True

    def end(self, uid: str, code: int, reason: str = "") -> None:
        """Every process of the pod ends by itself."""
        place = self._places.get(uid)
        for process in place.processes.values() if place else ():
            self._exit(uid, process, process.id, code, reason)

    def _exit(self, uid: str, process: Process, this: str, code: int, reason: str = "") -> None:
        """The process ends; the kubelet notices later."""
        if process.id != this or not process.runs:
            return
        process.runs = process.serves = process.probed = False
        process.ended_at = self._clock.now()
        process.logs[-1].append(f"{self._clock.stamp()} ended with exit code {code}")
        process.end = {
            "exitCode": code,
            "reason": reason or ("Completed" if code == 0 else "Error"),
            "startedAt": process.began,
            "finishedAt": self._clock.stamp(),
            "containerID": this,
        }
        self._traffic()
        self._pace.after(self._timings.notice, lambda: self._notice(uid, process, this))

    def _notice(self, uid: str, process: Process, this: str) -> None:
        pod = self._pod(uid)
        if pod is None or process.id != this or process.runs or self._places[uid].node in self._off:
            return
        if objects.terminating(pod):
            self._finish_early(uid)
        elif _restarts(pod, process):
            delay = self._back_off(process)
            if delay > 0:
                why = f"back-off {delay:.0f}s restarting failed container={process.name} pod={objects.name(pod)}"
                process.waiting = {"reason": "CrashLoopBackOff", "message": why}
                self._chronicle.write(pod, "BackOff", why, warning=True)
            self._pace.after(
                self._timings.restart, lambda: self._clock.after(delay, lambda: self._restart(uid, process, this))
            )
        self._report(uid)

    def _back_off(self, process: Process) -> float:
        """How long the restart waits from now: nothing at first, then 10, 20, 40 s … since the container's end
        (pkg/kubelet/kuberuntime/kuberuntime_manager.go, doBackOff)."""
        now, most = self._clock.now(), self._timings.back_off_most
        if process.ended_at - process.back_off_set > FORGET_AFTER_S:
            process.back_off_s = 0.0
        wait = max(0.0, process.back_off_s - (now - process.ended_at))
        doubled = min(2 * process.back_off_s or self._timings.back_off, most)
        process.back_off_s, process.back_off_set = doubled, now + wait
        return wait

    def _restart(self, uid: str, process: Process, this: str) -> None:
        pod = self._pod(uid)
        if pod is None or process.id != this or process.runs or self._places[uid].node in self._off:
            return
        if objects.terminating(pod):
            return
        process.restarts += 1
        self._start(uid, process)
        self._report(uid)

    def _terminate(self, pod: Raw) -> None:
        """TERM now, KILL when the grace is over; then the object goes."""
        uid, place = objects.uid(pod), self._places[objects.uid(pod)]
        if place.node in self._off or not objects.terminating(pod):
            return
        for process in place.processes.values():
            self._chronicle.write(pod, "Killing", f"Stopping container {process.name}")
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds", 30))
        takes = min(self._stop_s(pod), grace) if any(p.runs for p in place.processes.values()) else self._timings.kill
        self._pace.after(takes, lambda: self._finish(uid, 0 if takes < grace else 137))

    def _finish(self, uid: str, code: int) -> None:
        place = self._places.get(uid)
        if place is None or place.node in self._off:
            return
        for process in place.processes.values():
            self._exit(uid, process, process.id, code)
        self._pace.after(self._timings.kill, lambda: self._store.remove(place.pod))

    def _finish_early(self, uid: str) -> None:
        """Nothing of the pod runs any more: its grace need not be waited for."""
        if not any(p.runs for p in self._places[uid].processes.values()):
            self._finish(uid, 0)

    def _clear(self, uid: str) -> None:
        """The object is gone: what still runs is killed, and its place is free."""
        place = self._places.get(uid)
        if place is None or place.node in self._off:
            return
        del self._places[uid]
        for process in place.processes.values():
            process.runs = process.serves = False
        self._traffic()

    # ── power ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def power_off(self, node: str) -> None:
        """Everything on the node dies, and nothing of it answers any more."""
        for place in self._on(node):
            for process in place.processes.values():
                process.runs = process.serves = process.probed = False
        self.silence(node)

    def silence(self, node: str) -> None:
        """Nothing of the node answers or reports any more; its processes are as they are."""
        self._made += 1
        self._off[node] = this = self._made
        self._traffic()
        self._clock.after(self._timings.node_grace, lambda: self._lose(node, this))

    def power_on(self, node: str) -> None:
        this = self._off.get(node)
        if this is not None:
            self._pace.after(self._timings.node_start, lambda: self._return(node, this))

    def _lose(self, name: str, this: int) -> None:
        node = self._store.find("node", "", name)
        if self._off.get(name) != this or node is None:
            return
        taints = [{"key": UNREACHABLE_TAINT, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        self._store.change(node, {"status": {"conditions": self._node_conditions("Unknown")}})
        self._taint(node, taints)
        for place in self._on(name):
            self._lose_pod(place.pod, this)

    def _lose_pod(self, pod: Raw, this: int) -> None:
        now = self._store.current(pod)
        if now is None:
            return
        found = conditions(now, {"Ready": False}, self._clock.stamp())
        self._store.change(now, {"status": {"conditions": found}})
        waits = patience(now, UNREACHABLE_TAINT, self._timings.toleration)
        if waits != math.inf:
            self._clock.after(waits, lambda: self._give_up(now, this))

    def _give_up(self, pod: Raw, this: int) -> None:
        """The pod's patience with its silent node is over: it is deleted, and stays so until the node tells its end."""
        now = self._store.current(pod)
        if now is not None and self._off.get(objects.node_of(pod)) == this and not objects.terminating(now):
            self._store.change(
                now, {"metadata": {"deletionTimestamp": self._clock.stamp(30), "deletionGracePeriodSeconds": 30}}
            )

    def _return(self, name: str, this: int) -> None:
        node = self._store.find("node", "", name)
        if self._off.get(name) != this or node is None:
            return
        del self._off[name]
        self._traffic()
        self._store.change(node, {"status": {"conditions": self._node_conditions("True")}})
        self._taint(node, [])
        for place in self._on(name):
            self._resume(objects.uid(place.pod))

    def _resume(self, uid: str) -> None:
        """What a kubelet does with the pods it finds after its start, or after a silence: it ends, forgets or restarts
        them, or finds them as they were."""
        pod = self._pod(uid)
        if pod is None:
            self._clear(uid)
        elif objects.terminating(pod):
            self._terminate(pod)
        elif all(process.runs for process in self._places[uid].processes.values()):
            self._report(uid)
        else:
            for process in self._places[uid].processes.values():
                process.restarts += 1 if process.id else 0
            self._begin(uid)

    def _taint(self, node: Raw, ours: Iterable[Object]) -> None:
        now = self._store.current(node)
        if now is not None:
            others = [t for t in now["spec"].get("taints") or () if t["key"] != UNREACHABLE_TAINT]
            self._store.change(now, {"spec": {"taints": [*others, *ours] or None}})

    def _node_conditions(self, status: str) -> list[Object]:
        return [{"type": "Ready", "status": status, "lastTransitionTime": self._clock.stamp()}]

    def _on(self, node: str) -> list[Place]:
        return [place for place in self._places.values() if place.node == node]

    # ── reports ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _report(self, uid: str) -> None:
        """The pod's status, as its kubelet sees it."""
        place, pod = self._places.get(uid), self._pod(uid)
        if place is None or pod is None or place.node in self._off:
            return
        processes = list(place.processes.values())
        ready = all(p.runs and p.probed for p in processes)
        wanted = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        status: Object = {
            "phase": _phase(processes, str(pod["spec"].get("restartPolicy", "Always"))),
            "conditions": conditions(pod, wanted, self._clock.stamp()),
            "containerStatuses": [_container_status(p) for p in processes],
        }
        if any(p.id for p in processes):
            status |= {"podIP": place.ip, "podIPs": [{"ip": place.ip}], "startTime": processes[0].began}
        self._store.change(pod, {"status": status})

    def _pod(self, uid: str) -> Object | None:
        place = self._places.get(uid)
        return self._store.current(place.pod) if place else None

    def _stop_s(self, pod: Raw) -> float:
        stop = self.behaviour(pod).stop_s
        return self._timings.stop if stop is None else stop

    def _address(self, node: str) -> str:
        self._made += 1
        number = [objects.name(n) for n in self._store.all("node")].index(node) + 1
        return f"10.244.{number}.{self._made % 250 + 2}"


def _ends(pod: Raw) -> tuple[str, int]:
    """When the pod is to end, as far as the API server knows."""
    metadata = pod["metadata"]
    return str(metadata.get("deletionTimestamp", "")), int(metadata.get("deletionGracePeriodSeconds", -1))


def _restarts(pod: Raw, process: Process) -> bool:
    """Whether the restart policy asks for a new container."""
    policy = pod["spec"].get("restartPolicy", "Always")
    failed = process.end is not None and process.end["exitCode"] != 0
    return bool(policy == "Always" or (policy == "OnFailure" and failed))


def _phase(processes: list[Process], policy: str) -> str:
    if not any(p.id for p in processes):
        return "Pending"
    over = [p.end for p in processes if p.end is not None and not p.runs and p.waiting is None]
    if policy == "Always" or len(over) < len(processes):
        return "Running"
    failed = any(end["exitCode"] != 0 for end in over)
    return "Running" if failed and policy == "OnFailure" else "Failed" if failed else "Succeeded"


def _container_status(process: Process) -> Object:
    found: Object = {
        "name": process.name,
        "image": process.image,
        "ready": process.runs and process.probed,
        "started": process.runs,
        "restartCount": process.restarts,
        "state": _state(process),
    }
    if process.id:
        found["containerID"] = process.id
        found["imageID"] = process.image
    if process.end is not None and (process.runs or process.waiting is not None):
        found["lastState"] = {"terminated": process.end}
    return found


def _state(process: Process) -> Object:
    if process.runs:
        return {"running": {"startedAt": process.began}}
    if process.waiting is not None or process.end is None:
        return {"waiting": process.waiting or {"reason": "ContainerCreating"}}
    return {"terminated": process.end}
