"""Servers of the platform killed, frozen and thawed on the real cluster: each comes back, and does its work again."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from started import until

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.errors import ClusterError, PortError
from chaoskit.objects import condition, name, ready, scheduled, terminating, uid
from chaoskit.ports import CONTROL_SERVERS, NODE_SERVERS

pytestmark = [
    pytest.mark.cluster,
    # urllib3 leaves the sockets on which an API server was killed in mid-answer to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
REPLICAS = 4


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What was left to the collector is collected here, where its warning is expected."""
    yield
    gc.collect()


def whole(api: KubeCluster, namespace: str) -> bool:
    try:
        pods = api.list("pod", namespace)
    except PortError:
        return False
    return len(pods) == REPLICAS and all(ready(p) and not terminating(p) for p in pods)


def lose_one(api: KubeCluster, namespace: str) -> str:
    victim = api.list("pod", namespace)[0]
    api.delete("pod", name(victim), namespace, uid=uid(victim), grace_s=0)
    return uid(victim)


def answers(api: KubeCluster) -> bool:
    try:
        return bool(api.version())
    except PortError:
        return False


@pytest.mark.parametrize("server", CONTROL_SERVERS)
def test_a_killed_server_of_the_control_side_is_started_again_and_does_its_work(
    embedded_cluster: EmbeddedCluster, api: KubeCluster, web: str, server: str
) -> None:
    embedded_cluster.server(server, "kill")
    until("the API server to answer", lambda: answers(api))
    until("etcd to take a change", lambda: _lost(api, web))
    until("the lost pod to be replaced", lambda: whole(api, web))


def _lost(api: KubeCluster, namespace: str) -> bool:
    try:
        lose_one(api, namespace)
    except PortError:
        return False
    return True


def test_a_frozen_scheduler_places_nothing_until_it_goes_on(
    embedded_cluster: EmbeddedCluster, api: KubeCluster, web: str
) -> None:
    embedded_cluster.server("kube-scheduler", "freeze")
    try:
        lose_one(api, web)
        until("a pod that waits for a node", lambda: any(not scheduled(p) for p in api.list("pod", web)))
    finally:
        embedded_cluster.server("kube-scheduler", "thaw")
    until("the pod to be placed", lambda: whole(api, web))


@pytest.mark.parametrize("server", NODE_SERVERS)
def test_containers_live_on_when_a_server_of_their_node_is_killed(
    embedded_cluster: EmbeddedCluster, api: KubeCluster, web: str, server: str
) -> None:
    before = {uid(p): p["status"]["containerStatuses"][0]["containerID"] for p in api.list("pod", web)}
    for node in embedded_cluster.nodes:
        embedded_cluster.server(f"{server}@{node}", "kill")
        until("another one", lambda node=node: _thaws(embedded_cluster, f"{server}@{node}"))  # type: ignore[misc]
    until("every node to be Ready", lambda: all(condition(n, "Ready") for n in api.list("node")))
    assert {uid(p): p["status"]["containerStatuses"][0]["containerID"] for p in api.list("pod", web)} == before
    lose_one(api, web)
    until("the lost pod to be replaced", lambda: whole(api, web))


def _thaws(cluster: EmbeddedCluster, server: str) -> bool:
    """Whether it runs: one that goes on already takes the order to go on."""
    try:
        cluster.server(server, "thaw")
    except ClusterError:
        return False
    return True
