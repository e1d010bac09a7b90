"""The controllers: Deployments, ReplicaSets, StatefulSets, DaemonSets, endpoints, budgets, claims and clean-up.

Each works as in Kubernetes: it is told that something of its object changed, looks a little later at what is there,
and does the next thing that brings it nearer to what is wanted. It knows the store and the clock, no kubelet.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping

from chaoskit import objects
from chaoskit.adapters.fake import budgets, endpoints, rollout
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.pace import Pace
from chaoskit.adapters.fake.settings import Timings
from chaoskit.adapters.fake.status import active, tolerates
from chaoskit.adapters.fake.store import Object, Store
from chaoskit.model import GONE, Raw

LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of which Kubernetes makes the random ends of names (apimachinery, util/rand)."""
HASH_LABEL = "pod-template-hash"
REVISION_LABEL = "controller-revision-hash"
REVISION = "deployment.kubernetes.io/revision"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


class Workloads:
    """All controllers of the controller manager that this double knows."""

    def __init__(
        self, clock: FakeClock, store: Store, timings: Timings, seed: int, delete: Callable[[Raw], None]
    ) -> None:
        """`delete` deletes an object as the API does, gracefully."""
        self._clock = clock
        self._store = store
        self._timings = timings
        self._delete = delete
        self._pace = Pace(clock, timings.jitter, f"workloads {seed}")
        self._due: set[tuple[str, str, str]] = set()
        self._addresses = 0
        self._reconcilers: dict[str, Callable[[Object], None]] = {
            "deployment": self._deployment,
            "replicaset": self._replicaset,
            "statefulset": self._statefulset,
            "daemonset": self._daemonset,
            "service": self._service,
            "poddisruptionbudget": self._budget,
            "persistentvolumeclaim": self._claim,
            "namespace": self._namespace,
            "node": self._node,
        }
        store.listeners.append(self._heard)

    # ── what is due ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _heard(self, change: str, kind: str, o: Raw, old: Raw | None) -> None:
        namespace = objects.namespace(o)
        if kind in self._reconcilers and change != GONE:
            self._soon(kind, namespace, objects.name(o))
        self._tell_owner(o, namespace)
        if kind == "pod":
            self._tell_all(("service", "poddisruptionbudget"), namespace)
        elif kind in ("deployment", "replicaset", "statefulset") and _scale(o) != (_scale(old) if old else None):
            self._tell_all(("poddisruptionbudget",), namespace)
        elif kind == "node":
            self._tell_all(("daemonset",), "")
        if change == GONE:
            self._heard_of_end(o, namespace)

    def _heard_of_end(self, o: Raw, namespace: str) -> None:
        if self._store.owned(objects.uid(o)):
            self._pace.after(self._timings.reconcile, lambda: self._collect(objects.uid(o)))
        holder = self._store.find("namespace", "", namespace)
        if holder is not None and objects.terminating(holder):
            self._soon("namespace", "", namespace)

    def _tell_owner(self, o: Raw, namespace: str) -> None:
        kind, _ = objects.controller(o)
        if kind in self._reconcilers:
            owner = next(r for r in o["metadata"]["ownerReferences"] if r.get("controller"))
            self._soon(kind, namespace, owner["name"])

    def _tell_all(self, kinds: tuple[str, ...], namespace: str) -> None:
        for kind in kinds:
            for o in self._store.all(kind, namespace):
                self._soon(kind, objects.namespace(o), objects.name(o))

    def _soon(self, kind: str, namespace: str, name: str) -> None:
        key = (kind, namespace, name)
        if key in self._due:
            return
        self._due.add(key)
        delay = self._timings.endpoints if kind == "service" else self._timings.reconcile
        self._pace.after(delay, lambda: self._reconcile(key))

    def _reconcile(self, key: tuple[str, str, str]) -> None:
        self._due.discard(key)
        o = self._store.find(*key)
        if o is not None and (key[0] == "namespace" or not objects.terminating(o)):
            self._reconcilers[key[0]](o)

    # ── deployments and their replica sets ───────────────────────────────────────────────────────────────────────────

    def _deployment(self, deployment: Object) -> None:
        sets = self._store.owned(objects.uid(deployment), "replicaset")
        wanted = _template_hash(deployment)
        new = next((s for s in sets if objects.labels(s).get(HASH_LABEL) == wanted), None)
        old = [s for s in sets if s is not new]
        if new is None and rollout.may_begin(deployment, old, self._left_of(old)):
            new = self._make_set(deployment, wanted)
        if new is not None:
            self._note_revision(deployment, new, old)
        if new is not None and not deployment["spec"].get("paused"):
            for replicaset, replicas in rollout.steps(deployment, new, old):
                self._store.change(replicaset, {"spec": {"replicas": replicas}})
        self._store.change(deployment, {"status": rollout.status(deployment, new, old, self._clock.stamp())})

    def _left_of(self, sets: list[Object]) -> int:
        return sum(len(self._store.owned(objects.uid(s), "pod")) for s in sets)

    def _note_revision(self, deployment: Object, new: Object, old: list[Object]) -> None:
        """A set that becomes the new one gets the next number, also when it had one before (deployment/sync.go)."""
        number = max(_revision(new), max(map(_revision, old), default=0) + 1)
        note = {"metadata": {"annotations": {REVISION: str(number)}}}
        self._store.change(new, note)
        self._store.change(deployment, note)

    def _make_set(self, deployment: Object, hash_: str) -> Object:
        spec = deployment["spec"]
        labels = {**_template_labels(deployment), HASH_LABEL: hash_}
        template = {**spec["template"], "metadata": {**spec["template"].get("metadata", {}), "labels": labels}}
        equal = {**(spec["selector"].get("matchLabels") or {}), HASH_LABEL: hash_}
        metadata = _child(deployment, f"{objects.name(deployment)}-{hash_}", labels)
        return self._store.create(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": metadata,
                "spec": {"replicas": 0, "selector": {**spec["selector"], "matchLabels": equal}, "template": template},
                "status": {"replicas": 0},
            }
        )

    def _replicaset(self, replicaset: Object) -> None:
        pods = [p for p in self._store.owned(objects.uid(replicaset), "pod") if active(p)]
        missing = int(replicaset["spec"].get("replicas", 1)) - len(pods)
        for _ in range(missing):
            self._make_pod(replicaset, f"{objects.name(replicaset)}-{self._random_end()}", {})
        for pod in sorted(pods, key=_dispensable)[: max(0, -missing)]:
            self._delete(pod)
        pods = [p for p in self._store.owned(objects.uid(replicaset), "pod") if active(p)]
        self._store.change(replicaset, {"status": _counts(replicaset, pods)})

    def _make_pod(self, owner: Object, name: str, labels: Mapping[str, str], node: str = "") -> None:
        if self._store.find("pod", objects.namespace(owner), name) is not None:
            return
        template = owner["spec"]["template"]
        metadata = _child(owner, name, {**_template_labels(owner), **labels})
        if template.get("metadata", {}).get("annotations"):
            metadata["annotations"] = template["metadata"]["annotations"]
        spec = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, **template["spec"]}
        if node:
            spec["nodeName"] = node
        self._store.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        )

    def _random_end(self) -> str:
        return "".join(self._pace.rng.choices(LETTERS, k=5))

    # ── stateful sets and daemon sets ────────────────────────────────────────────────────────────────────────────────

    def _statefulset(self, stateful: Object) -> None:
        """One pod for each ordinal: made in order, each when those before it are ready; ended from the last on."""
        wanted, parallel = _scale(stateful), stateful["spec"].get("podManagementPolicy") == "Parallel"
        pods = {objects.name(p): p for p in self._store.owned(objects.uid(stateful), "pod")}
        names = [f"{objects.name(stateful)}-{n}" for n in range(wanted)]
        for name in names:
            if name not in pods:
                self._make_member(stateful, name)
            if not parallel and not (name in pods and objects.ready(pods[name])):
                break
        surplus = sorted((p for name, p in pods.items() if name not in names), key=_ordinal, reverse=True)
        for pod in [p for p in surplus if not objects.terminating(p)][: None if parallel else 1]:
            self._delete(pod)
        if not surplus:
            self._replace_outdated(stateful, [pods[name] for name in names if name in pods])
        self._stateful_status(stateful)

    def _make_member(self, stateful: Object, name: str) -> None:
        for template in stateful["spec"].get("volumeClaimTemplates") or ():
            self._make_claim(stateful, template, f"{template['metadata']['name']}-{name}")
        ordinal = name.rsplit("-", 1)[1]
        labels = {
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": ordinal,
            REVISION_LABEL: f"{objects.name(stateful)}-{_template_hash(stateful)}",
        }
        self._make_pod(stateful, name, labels)

    def _make_claim(self, stateful: Object, template: Raw, name: str) -> None:
        namespace = objects.namespace(stateful)
        if self._store.find("persistentvolumeclaim", namespace, name) is None:
            metadata = {"name": name, "namespace": namespace, "labels": dict(_template_labels(stateful))}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
            self._store.create({**claim, "spec": template["spec"], "status": {"phase": "Pending"}})

    def _replace_outdated(self, stateful: Object, pods: list[Object]) -> None:
        """A rolling update: one pod at a time, the last ordinal first, while all the others are ready."""
        revision = f"{objects.name(stateful)}-{_template_hash(stateful)}"
        outdated = [p for p in pods if objects.labels(p).get(REVISION_LABEL) != revision]
        on_delete = stateful["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
        if outdated and not on_delete and len(pods) == _scale(stateful) and all(map(objects.ready, pods)):
            self._delete(outdated[-1])

    def _stateful_status(self, stateful: Object) -> None:
        revision = f"{objects.name(stateful)}-{_template_hash(stateful)}"
        pods = self._store.owned(objects.uid(stateful), "pod")
        updated = [p for p in pods if objects.labels(p).get(REVISION_LABEL) == revision]
        status = {
            **_counts(stateful, pods),
            "currentReplicas": len(updated),
            "updatedReplicas": len(updated),
            "updateRevision": revision,
        }
        if len(updated) == _scale(stateful):
            status["currentRevision"] = revision
        self._store.change(stateful, {"status": status})

    def _daemonset(self, daemon: Object) -> None:
        """One pod on each node whose taints it tolerates; it is placed on cordoned nodes as well."""
        pods = {objects.node_of(p): p for p in self._store.owned(objects.uid(daemon), "pod") if active(p)}
        nodes = [n for n in self._store.all("node") if _takes_daemon(n, daemon["spec"]["template"]["spec"])]
        for node in nodes:
            if objects.name(node) not in pods:
                self._make_pod(daemon, f"{objects.name(daemon)}-{self._random_end()}", {}, objects.name(node))
        ready = sum(1 for p in pods.values() if objects.ready(p))
        status = {"desiredNumberScheduled": len(nodes), "currentNumberScheduled": len(pods), "numberReady": ready}
        self._store.change(
            daemon,
            {"status": {**status, "numberAvailable": ready, "observedGeneration": daemon["metadata"]["generation"]}},
        )

    # ── services, budgets, claims, namespaces ────────────────────────────────────────────────────────────────────────

    def _service(self, service: Object) -> None:
        if service["spec"].get("type") == "LoadBalancer" and not service.get("status", {}).get("loadBalancer"):
            self._addresses += 1
            ingress = [{"ip": f"10.89.100.{self._addresses}"}]
            self._store.change(service, {"status": {"loadBalancer": {"ingress": ingress}}})
        selector = service["spec"].get("selector")
        if not selector:
            return
        namespace, name = objects.namespace(service), objects.name(service)
        pods = [p for p in self._store.all("pod", namespace) if objects.selects(selector, objects.labels(p))]
        zones = {objects.name(n): objects.labels(n).get(objects.ZONE_LABEL, "") for n in self._store.all("node")}
        found = {"endpoints": endpoints.endpoints(service, pods, zones), "ports": endpoints.ports(service, pods)}
        piece = next(iter(self._store.owned(objects.uid(service), "endpointslice")), None)
        if piece is not None:
            self._store.change(piece, found)
            return
        metadata = _child(service, f"{name}-{self._random_end()}", {endpoints.SERVICE_LABEL: name})
        self._store.create({**endpoints.slice_of(metadata), **found})

    def _budget(self, budget: Object) -> None:
        self._store.change(budget, {"status": budgets.status(self._store, budget)})

    def _node(self, node: Object) -> None:
        """A cordoned node carries the taint that says so (the node lifecycle controller's doing)."""
        others = [t for t in node["spec"].get("taints") or () if t["key"] != UNSCHEDULABLE_TAINT]
        ours = [{"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}] if node["spec"].get("unschedulable") else []
        self._store.change(node, {"spec": {"taints": [*others, *ours] or None}})

    def _claim(self, claim: Object) -> None:
        if claim.get("status", {}).get("phase") != "Bound":
            volume = f"pvc-{objects.uid(claim)}"
            self._store.change(claim, {"spec": {"volumeName": volume}, "status": {"phase": "Bound"}})

    def _namespace(self, namespace: Object) -> None:
        """Empties a namespace that was deleted, and takes it away once it is empty."""
        if not objects.terminating(namespace):
            return
        left = self._store.within(objects.name(namespace))
        for o in left:
            if not objects.terminating(o):
                self._delete(o)
        if not self._store.within(objects.name(namespace)):
            self._store.remove(namespace)

    def _collect(self, owner: str) -> None:
        """Garbage collection: what a deleted object owned is deleted."""
        for o in self._store.owned(owner):
            if not objects.terminating(o):
                self._delete(o)


def _child(owner: Raw, name: str, labels: Mapping[str, str]) -> Object:
    """The metadata of an object that `owner` controls."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": objects.name(owner),
        "uid": objects.uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "name": name,
        "namespace": objects.namespace(owner),
        "labels": dict(labels),
        "ownerReferences": [reference],
    }


def _scale(o: Raw) -> int:
    return int(o["spec"].get("replicas", 1))


def _template_labels(o: Raw) -> Mapping[str, str]:
    found: Mapping[str, str] = o["spec"]["template"].get("metadata", {}).get("labels") or {}
    return found


def _revision(o: Raw) -> int:
    return int(objects.annotation(o, REVISION) or 0)


def _template_hash(o: Raw) -> str:
    """Tells two pod templates apart, as `pod-template-hash` does (Kubernetes hashes Go's memory layout instead)."""
    number = zlib.crc32(json.dumps(o["spec"]["template"], sort_keys=True).encode())
    return "".join(LETTERS[number >> shift & 15] for shift in range(0, 32, 4))


def _counts(owner: Raw, pods: list[Object]) -> Object:
    ready = sum(1 for p in pods if objects.ready(p))
    return {
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": owner["metadata"]["generation"],
    }


def _dispensable(pod: Raw) -> tuple[bool, bool, int]:
    """Which pod a ReplicaSet ends first: without a node, not ready, youngest (controller_utils.go, ActivePods)."""
    return bool(objects.node_of(pod)), objects.ready(pod), -int(objects.uid(pod)[:8], 16)


def _ordinal(pod: Raw) -> int:
    return int(objects.name(pod).rsplit("-", 1)[1])


def _takes_daemon(node: Raw, spec: Raw) -> bool:
    taints = [t for t in node["spec"].get("taints") or () if not t["key"].startswith("node.kubernetes.io/")]
    return all(tolerates(spec, t["key"], t["effect"]) for t in taints)
