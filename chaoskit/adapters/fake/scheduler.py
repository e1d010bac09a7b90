"""The scheduler: which node a new pod goes to, and why to none."""

from __future__ import annotations

from collections.abc import Callable

from chaoskit import objects
from chaoskit.adapters.fake import status
from chaoskit.adapters.fake.chronicle import Chronicle
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.pace import Pace
from chaoskit.adapters.fake.settings import Timings
from chaoskit.adapters.fake.store import Object, Store
from chaoskit.model import GONE, Raw
from chaoskit.objects import ZONE_LABEL

BY = "default-scheduler"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


class Scheduler:
    """Places pods by schedulability, taints, node selectors and requested CPU; spreads the pods of one owner."""

    def __init__(self, clock: FakeClock, store: Store, timings: Timings, seed: int, chronicle: Chronicle) -> None:
        self._clock = clock
        self._store = store
        self._timings = timings
        self._chronicle = chronicle
        self._pace = Pace(clock, timings.jitter, f"scheduler {seed}")
        self._unplaced: dict[str, Raw] = {}
        store.listeners.append(self._heard)

    def _heard(self, change: str, kind: str, o: Raw, old: Raw | None) -> None:
        if kind == "pod" and change == GONE:
            self._unplaced.pop(objects.uid(o), None)
            self._try_unplaced()
        elif kind == "pod" and old is None:
            self._soon(o)
        elif kind == "node" and (old is None or o.get("spec") != old.get("spec")):
            self._try_unplaced()

    def _try_unplaced(self) -> None:
        for pod in self._unplaced.values():
            self._soon(pod)

    def _soon(self, pod: Raw) -> None:
        self._pace.after(self._timings.schedule, lambda: self._schedule(pod))

    def _schedule(self, pod: Raw) -> None:
        now = self._store.current(pod)
        if now is None or objects.node_of(now) or objects.terminating(now):
            return
        nodes = self._store.all("node")
        refusals = [self._refusal(node, now) for node in nodes]
        fits = [node for node, refusal in zip(nodes, refusals, strict=True) if not refusal]
        if fits:
            self._place(now, min(fits, key=self._preference(now)))
        else:
            self._refuse(now, refusals)

    def _refuse(self, pod: Raw, refusals: list[str]) -> None:
        self._unplaced[objects.uid(pod)] = pod
        why = self._unschedulable(refusals)
        old: Raw = next((c for c in pod["status"].get("conditions") or () if c["type"] == "PodScheduled"), {})
        if old.get("message") != why["message"]:
            self._store.change(pod, {"status": {"conditions": [why]}})
            self._chronicle.write(pod, "FailedScheduling", why["message"], by=BY, warning=True)

    def _place(self, pod: Raw, node: Raw) -> None:
        self._unplaced.pop(objects.uid(pod), None)
        placed = f"Successfully assigned {objects.namespace(pod)}/{objects.name(pod)} to {objects.name(node)}"
        self._chronicle.write(pod, "Scheduled", placed, by=BY)
        conditions = status.conditions(pod, {"PodScheduled": True}, self._clock.stamp())
        self._store.change(
            pod, {"spec": {"nodeName": objects.name(node)}, "status": {"phase": "Pending", "conditions": conditions}}
        )

    def _refusal(self, node: Raw, pod: Raw) -> str:
        """Why the pod cannot be placed there, in the scheduler's words, or empty."""
        spec = pod["spec"]
        if node["spec"].get("unschedulable") and not status.tolerates(spec, UNSCHEDULABLE_TAINT, "NoSchedule"):
            return "node(s) were unschedulable"
        for taint in node["spec"].get("taints") or ():
            if taint["key"] == UNSCHEDULABLE_TAINT:
                continue
            if taint["effect"] != "PreferNoSchedule" and not status.tolerates(spec, taint["key"], taint["effect"]):
                return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
        wanted = spec.get("nodeSelector") or {}
        if wanted and not objects.selects(wanted, objects.labels(node)):
            return "node(s) didn't match Pod's node affinity/selector"
        return self._shortage(node, pod)

    def _shortage(self, node: Raw, pod: Raw) -> str:
        pods = self._store.all("pod")
        there = [p for p in pods if objects.node_of(p) == objects.name(node) and not status.finished(p)]
        room = node["status"]["allocatable"]
        if len(there) >= int(room["pods"]):
            return "Too many pods"
        if sum(map(status.cpu, there)) + status.cpu(pod) > status.cores(room["cpu"]):
            return "Insufficient cpu"
        return ""

    def _unschedulable(self, refusals: list[str]) -> Object:
        why = ", ".join(f"{refusals.count(text)} {text}" for text in sorted(set(refusals)))
        return {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": f"0/{len(refusals)} nodes are available: {why}.",
            "lastTransitionTime": self._clock.stamp(),
        }

    def _preference(self, pod: Raw) -> Callable[[Raw], tuple[int, int, int, str]]:
        """Spreads the pods of one owner over zones, then nodes, as the scheduler's default constraints do."""
        owner = objects.controller(pod)[1]
        zone_of = {objects.name(node): _zone(node) for node in self._store.all("node")}
        there = [objects.node_of(p) for p in self._store.all("pod") if objects.node_of(p)]
        kin = [objects.node_of(p) for p in self._store.owned(owner, "pod") if not objects.terminating(p)]
        zones = [zone_of.get(node, "") for node in kin if node]

        def rank(node: Raw) -> tuple[int, int, int, str]:
            name = objects.name(node)
            return zones.count(_zone(node)), kin.count(name), there.count(name), name

        return rank


def _zone(node: Raw) -> str:
    return objects.labels(node).get(ZONE_LABEL, "")
