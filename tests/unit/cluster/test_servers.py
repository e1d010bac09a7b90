"""What the servers are told: the parts of it that users would notice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from chaoskit.cluster import addons, control_plane, monitoring
from chaoskit.cluster.cgroups import Cgroups
from chaoskit.cluster.keeper import Orders
from chaoskit.cluster.profile import ACCELERATED, PLATFORM_DEFAULTS, named
from chaoskit.cluster.state import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "shop")
    folder.make()
    return folder


def test_every_profile_is_found_by_its_name() -> None:
    assert named("accelerated") is ACCELERATED
    assert named("platform-defaults") is PLATFORM_DEFAULTS


@pytest.mark.parametrize("profile", [ACCELERATED, PLATFORM_DEFAULTS])
def test_a_living_node_renews_its_lease_several_times_before_it_is_taken_for_dead(profile) -> None:
    renewal = profile.node_lease_duration / 4
    assert profile.node_monitor_grace_period >= 4 * renewal


def test_the_accelerated_profile_is_faster_in_every_respect() -> None:
    slow = PLATFORM_DEFAULTS.timings
    assert all(seconds < slow[name] for name, seconds in ACCELERATED.timings.items())


def test_the_documentation_has_the_profiles_timings() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cluster.md").read_text(encoding="utf-8")
    slow = PLATFORM_DEFAULTS.timings
    for name, seconds in ACCELERATED.timings.items():
        assert f"| {name.replace('_', ' ')} | {seconds:g} | {slow[name]:g} |" in page


def test_the_profile_reaches_the_servers(folder: Folder) -> None:
    programs = Path("/programs")
    api = control_plane.api_server(programs, folder, ACCELERATED, store_prepared=True).argv
    manager = control_plane.controller_manager(programs, folder, ACCELERATED).argv
    assert "--default-unreachable-toleration-seconds=5" in api
    assert "--node-monitor-grace-period=12s" in manager
    assert "--node-eviction-rate=2.0" in manager


def test_no_profile_evicts_from_one_node_a_second() -> None:
    """With that very rate a cluster whose nodes were all away once would never again evict a pod from a lost node."""
    assert all(profile.node_eviction_interval != 1 for profile in (ACCELERATED, PLATFORM_DEFAULTS))


def test_each_server_of_the_control_side_has_an_identity_of_its_own(folder: Folder) -> None:
    control_plane.make_keys(folder, 6443)
    users = {json.loads(path.read_text())["users"][0]["name"] for path in folder.keys.glob("*.kubeconfig")}
    assert users == {"controller-manager", "scheduler", "state-metrics", "prometheus"}
    outside = json.loads(folder.kubeconfig.read_text())
    assert outside["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"


def test_prometheus_has_the_jobs_that_queries_name(folder: Folder) -> None:
    jobs = [job["job_name"] for job in monitoring.scrape_configuration(folder)["scrape_configs"]]
    assert jobs == ["pods", "cadvisor", "kubelet", "apiserver", "coredns", "kube-state-metrics", "chaoskit"]


def test_what_verdicts_rest_on_is_scraped_once_a_second(folder: Folder) -> None:
    configured = monitoring.scrape_configuration(folder)["scrape_configs"]
    longer = {job["job_name"] for job in configured if job["scrape_interval"] != monitoring.SCRAPE_INTERVAL}
    assert longer == {"kubelet", "apiserver"}


def test_scrapes_come_once_a_second(folder: Folder) -> None:
    assert monitoring.scrape_configuration(folder)["global"]["scrape_interval"] == "1s"


@pytest.mark.parametrize(
    ("job", "series"),
    [
        ("cadvisor", "container_cpu_usage_seconds_total"),
        ("cadvisor", "container_memory_working_set_bytes"),
        ("kubelet", "kubelet_volume_stats_used_bytes"),
        ("apiserver", "apiserver_request_total"),
        ("coredns", "coredns_dns_requests_total"),
    ],
)
def test_series_that_experiments_ask_for_are_kept(job: str, series: str) -> None:
    assert re.fullmatch(monitoring.KEPT[job], series)


def test_no_kept_series_is_switched_off_at_its_source() -> None:
    names = [name for name in control_plane.UNUSED_METRICS if re.fullmatch(monitoring.KEPT["apiserver"], f"{name}_sum")]
    assert names == []


def test_every_add_on_has_a_place_to_go() -> None:
    assert {item["kind"] for item in addons.objects()} <= set(addons.COLLECTIONS)


def test_add_ons_are_never_pulled_from_anywhere() -> None:
    pods = [item["spec"]["template"]["spec"] for item in addons.objects() if item["kind"] == "Deployment"]
    containers = [container for pod in pods for container in pod["containers"]]
    assert containers
    assert all(container["imagePullPolicy"] == "IfNotPresent" for container in containers)
    assert all(container["image"].startswith("localhost/chaoskit/") for container in containers)


def test_one_storage_class_is_the_default() -> None:
    key = "storageclass.kubernetes.io/is-default-class"
    classes = [item for item in addons.objects() if item["kind"] == "StorageClass"]
    assert [item["metadata"]["annotations"][key] for item in classes] == ["true"]


def test_add_ons_are_plain_yaml() -> None:
    for file in addons.FOLDER.glob("*.yaml"):
        assert all(yaml.safe_load_all(file.read_text()))


def test_nobody_but_the_admin_is_an_admin() -> None:
    bindings = [item for item in addons.objects() if item["kind"] == "ClusterRoleBinding"]
    assert "cluster-admin" not in {item["roleRef"]["name"] for item in bindings}


def test_orders_are_read_as_they_were_written() -> None:
    orders = Orders("/state/shop", 3, "accelerated", "/cache/seed", 6443, 9090, 3, 4, 5, 6)
    assert Orders.read(orders.write()) == orders


def test_pods_of_two_clusters_are_apart() -> None:
    assert Cgroups("a").kubelet_root("node1") != Cgroups("b").kubelet_root("node1")
