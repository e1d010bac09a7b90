"""The Cluster port on the real API server: what unit tests can only assume about it is seen here."""

from __future__ import annotations

import base64
import contextlib
import queue
import re
import select
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from chaoskit.adapters.clock import SystemClock
from chaoskit.adapters.kube import KubeCluster
from chaoskit.adapters.prometheus import PrometheusMetrics
from chaoskit.adapters.reflector import Patience
from chaoskit.errors import BudgetError, ConflictError, ForbiddenError, NotFoundError, PortError
from chaoskit.model import GAP, GONE, SEEN, Right
from chaoskit.objects import ready, restarts

pytestmark = pytest.mark.cluster

IMAGE = "localhost/chaoskit/python:1"
OTHER_UID = "11111111-1111-1111-1111-111111111111"
SERVE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("started", flush=True)
while True:
    time.sleep(1)
"""
KILL = """#!/usr/bin/python3
import os, signal, sys
os.kill(int(sys.argv[2]), getattr(signal, "SIG" + sys.argv[1][1:]))
"""


def until(what, condition, within_s=30.0):
    """The first true answer of `condition`, which is asked again and again until the deadline."""
    deadline = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="module")
def cluster(embedded_cluster):
    found = KubeCluster.connect(embedded_cluster.kubeconfig, None)
    yield found
    found.close()


@pytest.fixture
def namespace(cluster):
    name = f"adapter-{uuid.uuid4().hex[:8]}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    until("the default service account", lambda: cluster.list("serviceaccount", name))
    yield name
    cluster.delete("namespace", name)


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(replicas, **container):
    labels = {"app": "web"}
    web = {"name": "web", "image": IMAGE, "command": ["/usr/bin/python3", "-c", SERVE], **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [web], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def ready_pods(cluster, namespace, count):
    def pods():
        found = [p for p in cluster.list("pod", namespace, "app=web") if ready(p)]
        return found if len(found) == count else None

    return until(f"{count} ready pods", pods, 60)


# Objects


def test_info_names_the_cluster(cluster):
    info = cluster.info()
    assert info.version.startswith("v1.")
    assert info.nodes == tuple(sorted(n["metadata"]["name"] for n in cluster.list("node")))
    assert len(info.nodes) >= 1
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+", info.server)


def test_create_apply_get_and_delete(cluster, namespace):
    made = cluster.create(config_map("c", a="1"), namespace)
    with pytest.raises(ConflictError, match="already exists"):
        cluster.create(config_map("c"), namespace)
    applied = cluster.apply(config_map("c", b="2"), namespace)
    assert applied["metadata"]["uid"] == made["metadata"]["uid"]
    found = cluster.get("configmap", "c", namespace)
    assert (found["kind"], found["data"]["b"]) == ("ConfigMap", "2")
    assert "managedFields" not in found["metadata"]
    cluster.delete("configmap", "c", namespace)
    with pytest.raises(NotFoundError, match='configmaps "c" not found'):
        cluster.get("configmap", "c", namespace)


def test_a_uid_guards_against_a_namesake(cluster, namespace):
    uid = cluster.create(config_map("c", a="1"), namespace)["metadata"]["uid"]
    with pytest.raises(ConflictError):
        cluster.delete("configmap", "c", namespace, uid=OTHER_UID)
    with pytest.raises(ConflictError, match="another object now"):
        cluster.patch("configmap", "c", {"data": {"a": "2"}}, namespace, uid=OTHER_UID)
    assert cluster.get("configmap", "c", namespace)["data"] == {"a": "1"}
    assert cluster.patch("configmap", "c", {"data": {"a": None, "b": "2"}}, namespace, uid=uid)["data"] == {"b": "2"}
    cluster.delete("configmap", "c", namespace, uid=uid)


def test_lists_longer_than_a_page_are_whole(cluster, namespace):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: cluster.create(config_map(f"c{n}"), namespace), range(505)))
    names = {o["metadata"]["name"] for o in cluster.list("configmap", namespace)}
    assert {f"c{n}" for n in range(505)} <= names


def test_a_custom_kind_can_be_applied_right_after_its_definition(cluster, namespace):
    group = f"g{uuid.uuid4().hex[:6]}.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"gadgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    cluster.apply(crd)
    gadget = {"apiVersion": f"{group}/v1", "kind": "Gadget", "metadata": {"name": "g"}, "size": 3}
    assert cluster.apply(gadget, namespace)["size"] == 3
    assert cluster.get("gadget", "g", namespace)["size"] == 3
    cluster.delete("customresourcedefinition", f"gadgets.{group}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"replicaz": 1}, "replicaz"),
        ({"replicas": "many"}, "replicas"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "selector"),
    ],
)
@pytest.mark.parametrize("verb", ["create", "apply"])
def test_a_wrong_manifest_is_told_by_its_field(cluster, namespace, verb, change, told):
    manifest = deployment(1)
    manifest["spec"].update(change)
    with pytest.raises(PortError, match=told) as raised:
        getattr(cluster, verb)(manifest, namespace)
    assert type(raised.value) is PortError


def test_an_unknown_kind_is_told(cluster, namespace):
    with pytest.raises(NotFoundError, match="knows no kind Deploymint in apps/v1"):
        cluster.apply({**deployment(1), "kind": "Deploymint"}, namespace)


# Rights


@pytest.fixture
def powerless(cluster, namespace, embedded_cluster, tmp_path):
    """The same cluster through a service account that may only read config maps."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}
    rbac = "rbac.authorization.k8s.io"
    cluster.apply(account, namespace)
    cluster.apply(
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "reader"}, "rules": rules}, namespace
    )
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    cluster.apply(binding, namespace)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "token", "annotations": {"kubernetes.io/service-account.name": "reader"}},
    }
    cluster.apply(secret, namespace)
    token = until("the token", lambda: cluster.get("secret", "token", namespace).get("data", {}).get("token"))
    content = yaml.safe_load(Path(embedded_cluster.kubeconfig).read_text())
    content["users"][0]["user"] = {"token": base64.b64decode(token).decode()}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    found = KubeCluster.connect(path, None)
    yield found
    found.close()


def test_missing_rights_are_named(powerless, namespace):
    assert powerless.list("configmap", namespace)
    assert powerless.allowed(Right("list", "", "configmaps", namespace))
    assert not powerless.allowed(Right("delete", "", "pods", namespace))
    assert not powerless.allowed(Right("create", "", "pods", namespace, "eviction"))
    with pytest.raises(ForbiddenError, match=f"missing the right to delete pods in {namespace}"):
        powerless.delete("pod", "p", namespace)
    with pytest.raises(ForbiddenError, match=rf"missing the right to list deployments\.apps in {namespace}"):
        powerless.list("deployment", namespace)
    assert powerless.info().nodes == ()


def test_a_watch_without_rights_says_so_at_once(powerless, namespace):
    watching = powerless.watch(["configmap", "pod"], namespace, lambda event: None)
    with pytest.raises(ForbiddenError, match=f"missing the right to list pods in {namespace}"):
        watching.wait_synced(10)
    watching.close()


# Pods


def test_a_pod_is_deleted_by_uid_and_its_successor_is_seen(cluster, namespace, embedded_cluster):
    clock = SystemClock()
    with contextlib.closing(KubeCluster.connect(embedded_cluster.kubeconfig, None, now=clock.now)) as watcher:
        watching = watcher.watch(["pod", "node", "event"], namespace, clock.post)
        assert watching.wait_synced(10)
        cluster.apply(deployment(2), namespace)
        pod = ready_pods(cluster, namespace, 2)[0]
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        before = clock.now()
        cluster.delete("pod", name, namespace, uid=uid, grace_s=0)
        gone = until("the pod's end", lambda: _next(clock, GONE, uid))
        assert before < gone.at < clock.now()
        ready_pods(cluster, namespace, 2)
        with pytest.raises(NotFoundError):
            cluster.delete("pod", name, namespace, uid=uid, grace_s=0)
        watching.close()


def _next(clock, change, uid):
    while event := clock.wait(0.05):
        if event.change == change and event.object["metadata"]["uid"] == uid:
            return event
    return None


def test_a_budget_refuses_an_eviction(cluster, namespace):
    cluster.apply(deployment(2), namespace)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }
    cluster.apply(budget, namespace)
    name, uid = (ready_pods(cluster, namespace, 2)[0]["metadata"][key] for key in ("name", "uid"))
    until("the budget's count", lambda: _healthy(cluster, namespace) == 2)
    with pytest.raises(BudgetError, match=f"(?s)cannot evict pod/{name}.*The disruption budget web needs 2"):
        cluster.evict(name, namespace, uid=uid)

    cluster.apply({**budget, "metadata": {"name": "other"}}, namespace)
    with pytest.raises(PortError, match="more than one PodDisruptionBudget") as raised:
        cluster.evict(name, namespace, uid=uid)
    assert type(raised.value) is PortError

    cluster.delete("poddisruptionbudget", "other", namespace)
    cluster.patch("poddisruptionbudget", "web", {"spec": {"minAvailable": 1}}, namespace)
    # Refused, and without using up the one disruption that the budget allows.
    with pytest.raises(ConflictError):
        cluster.evict(name, namespace, uid=OTHER_UID)
    until("the eviction", lambda: _evicted(cluster, name, namespace, uid))
    until("the end of the pod", lambda: uid not in {p["metadata"]["uid"] for p in cluster.list("pod", namespace)})


def _healthy(cluster, namespace):
    return cluster.get("poddisruptionbudget", "web", namespace).get("status", {}).get("currentHealthy")


def _evicted(cluster, name, namespace, uid):
    try:
        cluster.evict(name, namespace, uid=uid, grace_s=1)
    except BudgetError:
        return False
    return True


def test_logs_and_a_signal_from_inside(cluster, namespace):
    manifest = deployment(1, volumeMounts=[{"name": "bin", "mountPath": "/usr/bin/kill", "subPath": "kill"}])
    volume = {"name": "bin", "configMap": {"name": "bin", "defaultMode": 0o755}}
    manifest["spec"]["template"]["spec"]["volumes"] = [volume]
    cluster.apply(config_map("bin", kill=KILL), namespace)
    cluster.apply(manifest, namespace)
    pod = ready_pods(cluster, namespace, 1)[0]
    name = pod["metadata"]["name"]
    until("the first line", lambda: cluster.logs(name, namespace) == "started\n")
    cluster.signal(pod, "web", "TERM")
    until("the restart", lambda: restarts(cluster.get("pod", name, namespace)) == 1)
    last = cluster.get("pod", name, namespace)["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert last["exitCode"] == 7
    assert cluster.logs(name, namespace, "web", previous=True) == "started\n"


def test_an_image_without_kill_is_told(cluster, namespace):
    cluster.apply(deployment(1), namespace)
    pod = ready_pods(cluster, namespace, 1)[0]
    with pytest.raises(PortError, match="has neither kill nor busybox"):
        cluster.signal(pod, "web", "TERM")
    with pytest.raises(PortError, match="container nosuch is not valid"):
        cluster.signal(pod, "nosuch", "TERM")
    with pytest.raises(NotFoundError, match='pods "nosuch" not found'):
        cluster.signal({"metadata": {"name": "nosuch", "namespace": namespace}}, "web", "TERM")


def test_a_service_is_reached_through_the_api_server(cluster, namespace):
    served = {"command": ["/usr/bin/python3", "-m", "http.server", "8000"], "workingDir": "/etc"}
    ports = [{"port": 80, "targetPort": 8000}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    cluster.apply({**service, "spec": {"selector": {"app": "web"}, "ports": ports}}, namespace)
    cluster.apply(deployment(1, **served), namespace)
    ready_pods(cluster, namespace, 1)
    status, _, body = until("an answer", lambda: _page(cluster, namespace, "web:80", "hostname"))
    assert status == 200
    assert body.decode().strip().startswith("web-")
    trouble = PrometheusMetrics.through(cluster, namespace, "web:80").trouble()
    assert f"not the address of a Prometheus at service/web:80 in {namespace}" in trouble


def _page(cluster, namespace, service, path):
    try:
        return cluster.through_service(namespace, service, path, {})
    except PortError:
        return None


# Connections


class Relay:
    """A loopback port that leads to the API server, until it is cut or falls silent."""

    def __init__(self, host, port):
        self._to = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs = []
        self._flowing = threading.Event()
        self._flowing.set()
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Ends every connection, and each new one at once."""
        self._cut = True
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self._cut = False
        self._flowing.set()

    def stall(self):
        """Nothing is passed on, and nobody is told."""
        self._flowing.clear()

    def close(self):
        self._flowing.set()
        self._listener.close()
        self.cut()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._pairs.append((near, far))
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    def _pass_on(self, near, far):
        with near, far, contextlib.suppress(OSError):
            while True:
                for end in select.select([near, far], [], [])[0]:
                    data = end.recv(65536)
                    self._flowing.wait()
                    if not data:
                        return
                    (far if end is near else near).sendall(data)


@pytest.fixture
def relayed(embedded_cluster, tmp_path):
    """A relay, and a kubeconfig that leads through it."""
    content = yaml.safe_load(Path(embedded_cluster.kubeconfig).read_text())
    host, port = content["clusters"][0]["cluster"]["server"].removeprefix("https://").split(":")
    relay = Relay(host, int(port))
    content["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{relay.port}"
    path = tmp_path / "relayed"
    path.write_text(yaml.safe_dump(content))
    yield relay, path
    relay.close()


class Events:
    """What a watch of config maps delivers."""

    def __init__(self, cluster, namespace):
        self.queue = queue.Queue()
        self.watching = cluster.watch(["configmap"], namespace, self.queue.put)
        assert self.watching.wait_synced(10)

    def wait(self, change, name="", within_s=20.0):
        deadline = time.monotonic() + within_s
        while True:
            event = self.queue.get(timeout=max(0.01, deadline - time.monotonic()))
            if event.change == change and (not name or event.object["metadata"]["name"] == name):
                return event


def test_what_happens_while_the_connection_is_cut_is_told_after_a_gap(cluster, namespace, relayed):
    relay, path = relayed
    cluster.create(config_map("stays"), namespace)
    cluster.create(config_map("goes"), namespace)
    with contextlib.closing(KubeCluster.connect(path, None)) as watcher:
        events = Events(watcher, namespace)
        relay.cut()
        gap = events.wait(GAP)
        cluster.delete("configmap", "goes", namespace)
        cluster.create(config_map("comes"), namespace)
        relay.mend()
        gone = events.wait(GONE, "goes")
        assert events.wait(SEEN, "stays").first
        assert gone.first
        assert gap.at < gone.at
        cluster.create(config_map("news"), namespace)
        assert not events.wait(SEEN, "news").first
        events.watching.close()


def test_a_connection_that_falls_silent_is_noticed(cluster, namespace, relayed):
    relay, path = relayed
    patience = Patience(watch_s=20, silence_s=3)
    with contextlib.closing(KubeCluster.connect(path, None, patience=patience)) as watcher:
        events = Events(watcher, namespace)
        cluster.create(config_map("before"), namespace)
        before = events.wait(SEEN, "before")
        relay.stall()
        cluster.create(config_map("missed"), namespace)
        gap = events.wait(GAP)
        assert gap.at == pytest.approx(before.at, abs=1.0)
        relay.mend()
        assert events.wait(SEEN, "missed").first
        events.watching.close()


def test_many_watches_end_within_a_second(cluster, namespace):
    watching = cluster.watch(["configmap", "pod", "node", "event", "deployment"], namespace, lambda event: None)
    assert watching.wait_synced(10)
    began = time.monotonic()
    watching.close()
    assert time.monotonic() - began < 1.0
    assert not [t.name for t in threading.enumerate() if t.name.startswith("watch ")]
