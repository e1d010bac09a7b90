"""The embedded cluster is a real one: its nodes, network, volumes, metrics and faults, seen from outside and inside.

These tests switch nodes off, so they have a cluster of their own; that it may run beside another is part of the test.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaoskit.cluster import embedded, network
from chaoskit.cluster.cgroups import is_version_2, own_group
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.cluster.nodes import program
from chaoskit.errors import ClusterError, ToolError, UsageError

pytestmark = pytest.mark.cluster

NAME = "cluster-tests"
# With the accelerated profile a silent node is NotReady after 12 s; the machine may be busy with other tests.
NOT_READY_WITHIN_S = 40.0
SHOP = Path(__file__).with_name("shop.yaml")


@dataclass(frozen=True)
class Kube:
    """kubectl on one cluster."""

    cluster: EmbeddedCluster

    def __call__(self, *arguments: str) -> str:
        argv = [str(self.cluster.programs / "kubectl"), *arguments]
        environment = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self("get", "-o", "json", *arguments))

    def ready(self, node: str) -> bool:
        conditions = self.get("node", node)["status"]["conditions"]
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


@pytest.fixture(scope="module")
def cluster(no_dead_clusters: None) -> Iterator[EmbeddedCluster]:
    yield embedded.up(NAME, say=print)
    embedded.down(NAME)


@pytest.fixture(scope="module")
def kube(cluster: EmbeddedCluster) -> Kube:
    return Kube(cluster)


@pytest.fixture(scope="module")
def shop(kube: Kube) -> str:
    """Three servers, one on each node, behind a LoadBalancer; the address."""
    kube("apply", "-f", str(SHOP))
    kube("rollout", "status", "deployment/web", "--timeout=90s")
    return wait_for(lambda: address_of(kube), "the Service's address")


@pytest.mark.skipif(is_version_2(), reason="version 2 has no process beside groups")
def test_no_thread_of_a_server_weighs_as_much_as_all_pods(cluster: EmbeddedCluster) -> None:
    """Of cgroup v1: a process in no group of the processor's weighs what a whole group does."""
    found = set()
    for process in Path("/proc").iterdir():
        server = program(int(process.name)) if process.name.isdigit() else ""
        if server in ("kube-apiserver", "etcd", "kubelet", "containerd"):
            group = own_group((process / "cgroup").read_text(), "cpu")
            found.add((server, group.rpartition(f"/chaoskit/{NAME}/")[2]))
    nodes = {(server, f"{node}/system") for server in ("kubelet", "containerd") for node in cluster.nodes}
    assert found >= nodes | {("kube-apiserver", "control"), ("etcd", "control")}


def test_nodes_are_ready_in_three_zones(kube: Kube) -> None:
    nodes = kube.get("nodes")["items"]
    assert all(kube.ready(node["metadata"]["name"]) for node in nodes)
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert (len(nodes), len(zones)) == (3, 3)
    assert all(node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.37.") for node in nodes)


def test_a_pod_reaches_every_endpoint_by_name_its_own_node_s_too(kube: Kube, shop: str) -> None:
    url = "http://web.default.svc.cluster.local"
    ask = f"""if True:
        import urllib.request
        try:
            print([urllib.request.urlopen({url!r}, timeout=5).read() for _ in range(40)])
        except OSError as error:
            print(error)
    """
    names = [pod["metadata"]["name"] for pod in kube.get("pods", "-l", "app=web")["items"]]

    def reached(asker: str) -> bool:
        answers = kube("exec", asker, "--", "python3", "-c", ask)
        return all(name in answers for name in names)

    # kube-proxy writes its rules at most once a second: until then some are not reached, or the Service is refused.
    for name in names:
        wait_for(lambda name=name: reached(name), f"{name} to reach all of {names}", 10.0)


def test_a_node_s_address_among_its_pods_does_not_change_with_them(cluster: EmbeddedCluster, shop: str) -> None:
    """Else those that stay would send to the one that they know, and be away for half a minute."""
    for number, node in enumerate(cluster.nodes, 1):
        argv = cluster.enter(node, ["ip", "-json", "link", "show", "cni0"])
        (bridge,) = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
        assert bridge["address"] == network.hardware_address(network.pod_gateway(number))


def test_metrics_are_served_for_nodes_and_pods(kube: Kube, shop: str) -> None:
    assert len(json.loads(kube("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))["items"]) == 3
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods"
    wait_for(lambda: len(json.loads(kube("get", "--raw", path))["items"]) >= 3, "metrics of the pods")


def test_prometheus_reaches_every_job_and_knows_the_cluster_s_state(cluster: EmbeddedCluster) -> None:
    expected = {"apiserver": 1, "cadvisor": 3, "coredns": 2, "kube-state-metrics": 1, "kubelet": 3}
    counted = 'count by (job) (up{job!="chaoskit",job!="pods"} == 1)'
    wait_for(
        lambda: {row["metric"]["job"]: int(row["value"][1]) for row in query(cluster, counted)} == expected, "targets"
    )
    assert query(cluster, 'kube_node_status_condition{condition="Ready",status="true"} == 1')
    assert query(cluster, 'kube_pod_status_ready{namespace="kube-system",condition="true"} == 1')
    # What verdicts rest on is scraped once a second: within ten seconds there are about ten samples.
    for job in ("cadvisor", "kube-state-metrics", "coredns"):
        samples = f'min(count_over_time(up{{job="{job}"}}[10s]))'
        wait_for(lambda asked=samples: float(query(cluster, asked)[0]["value"][1]) >= 8, f"samples of {job}")


def test_the_load_balancer_spreads_over_nodes_and_is_reached_from_inside_only(
    cluster: EmbeddedCluster, shop: str
) -> None:
    wait_for(lambda: len(set(ask_inside(cluster, shop, 60))) == 3, "all three servers to answer", 10.0)
    assert subprocess.run(["ip", "route", "show", shop], capture_output=True, text=True, check=True).stdout == ""


def test_a_service_can_be_opened_on_the_host_s_loopback_and_closed_again(cluster: EmbeddedCluster, shop: str) -> None:
    port = cluster.expose(shop, 80)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
        assert answer.read().startswith(b"web-")
    cluster.unexpose(port)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_leaves_the_cluster(cluster: EmbeddedCluster) -> None:
    attempt = "import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('192.0.2.1', 80)))"
    said = subprocess.run(cluster.inside([sys.executable, "-c", attempt]), capture_output=True, text=True, check=True)
    assert int(said.stdout) != 0
    routes = subprocess.run(cluster.inside(["ip", "route"]), capture_output=True, text=True, check=True).stdout
    assert "default" not in routes


def test_a_container_s_first_process_can_be_killed_and_comes_back(
    cluster: EmbeddedCluster, kube: Kube, shop: str
) -> None:
    pod = kube.get("pods", "-l", "app=web")["items"][0]
    status = pod["status"]["containerStatuses"][0]
    cluster.kill_container(pod["spec"]["nodeName"], status["containerID"].removeprefix("containerd://"))

    def restarted() -> bool:
        now = kube.get("pod", pod["metadata"]["name"])["status"]["containerStatuses"][0]
        return bool(now["ready"] and now["restartCount"] == status["restartCount"] + 1)

    wait_for(restarted, "the container's restart")
    again = kube.get("pod", pod["metadata"]["name"])["status"]["containerStatuses"][0]
    assert again["lastState"]["terminated"]["exitCode"] == 137


def test_killing_what_is_not_there_says_so(cluster: EmbeddedCluster) -> None:
    with pytest.raises(ClusterError, match="no container"):
        cluster.kill_container("node1", "0123456789abcdef")
    with pytest.raises(ClusterError, match="no node 'node9'"):
        cluster.power_off("node9")


def test_servers_have_their_own_rights_and_no_more(cluster: EmbeddedCluster, kube: Kube) -> None:
    for user in ("chaoskit:prometheus", "chaoskit:state-metrics", "system:kube-proxy"):
        allowed = subprocess.run(
            [str(cluster.programs / "kubectl"), "auth", "can-i", "list", "secrets", "-A", f"--as={user}"],
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert allowed.stdout.strip() == "no", user


def test_a_dead_node_leaves_the_path_within_two_seconds_and_its_volume_moves_on(
    cluster: EmbeddedCluster, kube: Kube, shop: str
) -> None:
    kube("apply", "-f", str(SHOP.with_name("writer.yaml")))
    kube("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    node = kube.get("pod", "writer")["spec"]["nodeName"]
    addresses = kube.get("node", node)["status"]["addresses"]
    address = next(item["address"] for item in addresses if item["type"] == "InternalIP")
    hop = int(address.rpartition(".")[2])
    cluster.power_off(node)
    assert not cluster.nodes_on()[node]
    wait_for(lambda: not kube.ready(node), f"{node} to be NotReady", NOT_READY_WITHIN_S)
    wait_for(lambda: hop not in path_to(cluster, shop), "the path to lose the dead node", 2.0)
    assert len(set(ask_inside(cluster, shop, 30))) == 2
    kube("delete", "pod", "writer", "--force", "--grace-period=0")
    kube("apply", "-f", str(SHOP.with_name("writer.yaml")))
    kube("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    assert kube.get("pod", "writer")["spec"]["nodeName"] != node
    assert kube("exec", "writer", "--", "python3", "-c", "print(open('/data/log').read())").split() == ["here", "here"]
    cluster.power_on(node)
    wait_for(lambda: kube.ready(node), f"{node} to be Ready again", 60.0)
    wait_for(lambda: hop in path_to(cluster, shop), "the path to take the node back", 2.0)
    wait_for(lambda: answering(cluster, shop) == 3, "all three servers to answer", 60.0)


@pytest.mark.parametrize(("fault", "repair"), [("freeze", "thaw"), ("unplug", "plug")])
def test_a_silent_node_is_noticed_and_comes_back(cluster: EmbeddedCluster, kube: Kube, fault: str, repair: str) -> None:
    getattr(cluster, fault)("node3")
    try:
        wait_for(lambda: not kube.ready("node3"), "node3 to be NotReady", NOT_READY_WITHIN_S)
    finally:
        getattr(cluster, repair)("node3")
    wait_for(lambda: kube.ready("node3"), "node3 to be Ready again", 60.0)


def test_what_the_commands_say(cluster: EmbeddedCluster) -> None:
    assert f"{NAME}: running" in chaoskit("status", "--name", NAME)
    assert chaoskit("kubeconfig", "--name", NAME).strip() == str(cluster.kubeconfig)
    assert "kube-apiserver" in chaoskit("logs", "--name", NAME)
    assert "node2" in chaoskit("shell", "--name", NAME, "kubectl", "get", "nodes")
    assert chaoskit("shell", "--name", NAME, "--node", "node2", "hostname").strip() == "node2"


def test_a_name_or_a_port_in_use_is_refused_with_the_next_command(cluster: EmbeddedCluster) -> None:
    with pytest.raises(ClusterError, match="already running") as refused:
        embedded.up(NAME, say=print)
    assert f"chaoskit cluster down --name {NAME}" in refused.value.fix
    taken = int(cluster.prometheus_url.rpartition(":")[2])
    with pytest.raises(ClusterError, match=f"port {taken} .* in use"):
        embedded.up("another", say=print, api_port=taken)
    assert "another" not in embedded.names()


def test_a_second_cluster_runs_beside_the_first(cluster: EmbeddedCluster, kube: Kube) -> None:
    second = embedded.up(f"{NAME}-2", nodes=1, say=print)
    try:
        assert second.nodes == ("node1",)
        assert len(Kube(second).get("nodes")["items"]) == 1
        assert len(kube.get("nodes")["items"]) == 3
        assert second.kubeconfig != cluster.kubeconfig
    finally:
        embedded.down(second.name)
    assert embedded.find(second.name) is None
    assert embedded.find(NAME) is not None


def test_a_failed_start_says_which_part_failed_and_why_and_cleans_up() -> None:
    name = f"{NAME}-failing"

    def break_it(line: str) -> None:
        if "network and keys" in line:
            wait_for(lambda: kill_server(name, "etcd"), "etcd to be there")

    with pytest.raises(ClusterError, match="etcd was killed by SIGKILL") as failed:
        embedded.up(name, say=break_it)
    assert "etcd.log" in failed.value.why
    assert name not in embedded.names()


def test_a_full_disk_is_told_before_anything_is_made(tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=10m tmpfs {tmp_path} && exec {sys.executable} -c "
    start = "'from chaoskit.cli import main; main()' cluster up --name full"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script + start],
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ToolError.exit_code
    assert "MB are free" in done.stderr


def test_an_impossible_cluster_is_refused() -> None:
    with pytest.raises(UsageError, match="0 nodes"):
        embedded.up("none", nodes=0, say=print)


def chaoskit(*arguments: str) -> str:
    program = [sys.executable, "-c", "from chaoskit.cli import main; main()", "cluster"]
    return subprocess.run([*program, *arguments], capture_output=True, text=True, check=True).stdout


def kill_server(cluster: str, server: str) -> bool:
    """Kill a server of a cluster that is starting; whether it was there."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            argv = _cmdline(process)
            if argv[0].endswith(f"/{server}") and any(f"/clusters/{cluster}/" in argument for argument in argv):
                os.kill(int(process.name), 9)
                return True
    return False


def _cmdline(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return [""]


def address_of(kube: Kube) -> str:
    ingress = kube.get("service", "web")["status"]["loadBalancer"].get("ingress", [])
    return str(ingress[0]["ip"]) if ingress else ""


def path_to(cluster: EmbeddedCluster, address: str) -> list[int]:
    """The last parts of the addresses of the nodes that new connections are given to."""
    listed = cluster.inside(["nft", "list", "chain", "ip", "balancer", "choose"])
    rules = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    chosen = next((rule for rule in rules if f"daddr {address} " in rule), "")
    return [int(mark, 16) for mark in re.findall(r" : (0x\w+)", chosen)]


def answering(cluster: EmbeddedCluster, address: str) -> int:
    """How many servers answer; none as long as a request fails. A node that was off comes back Ready a little before
    its own pods run again, and until the kubelet has said so, they are among the endpoints as they were."""
    try:
        return len(set(ask_inside(cluster, address, 60)))
    except subprocess.CalledProcessError:
        return 0


def ask_inside(cluster: EmbeddedCluster, address: str, count: int) -> list[str]:
    """Who answered each of `count` requests, sent from inside the cluster's network, each on a fresh connection."""
    ask = (
        "import sys, urllib.request as u\n"
        f"for _ in range({count}): print(u.urlopen('http://{address}', timeout=5).read().decode())"
    )
    done = subprocess.run(cluster.inside([sys.executable, "-c", ask]), capture_output=True, text=True, check=True)
    return done.stdout.split()


def query(cluster: EmbeddedCluster, promql: str) -> list[Any]:
    url = f"{cluster.prometheus_url}/api/v1/query?{urllib.parse.urlencode({'query': promql})}"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (http, by its origin)
        return list(json.load(answer)["data"]["result"])


def wait_for(condition: Callable[[], Any], what: str, within_s: float = 30.0) -> Any:
    end = time.monotonic() + within_s
    while not (seen := condition()):
        assert time.monotonic() < end, f"waited {within_s:.0f} s for {what}"
        time.sleep(0.1)
    return seen
