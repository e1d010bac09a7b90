"""The public double behaves as a cluster, its users and its Prometheus do, and the same each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoskit import objects
from chaoskit.adapters.fake import NEVER, Behaviour, FakeWorld, Fault, Reach, Timings, manifests
from chaoskit.adapters.fake.selectors import parse
from chaoskit.errors import (
    BudgetError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PortError,
    UnreachableError,
    UsageError,
)
from chaoskit.model import GAP, GONE, SEEN, Answer, LoadStatus, Raw, Right, Series, WatchEvent
from chaoskit.objects import Objects
from chaoskit.ports import Clock, Cluster, Happening, Load, LoadPlan, Metrics, Signalled
from chaoskit.samples import Outcome, Sample, Stream, read_samples

APP = manifests.APP_LABEL
SHOP = "shop"


def world_with_shop(
    seed: int = 1, replicas: int = 3, *, probe: bool = True, timings: Timings | None = None
) -> FakeWorld:
    world = FakeWorld(seed, timings=timings)
    world.cluster.create(manifests.namespace(SHOP))
    world.cluster.create(manifests.deployment("front", replicas, probe=probe), SHOP)
    world.cluster.create(manifests.service("front", kind="LoadBalancer"), SHOP)
    settled(world, lambda: len(routed(world)) == replicas)
    return world


def settled(world: FakeWorld, true: Callable[[], bool], within_s: float = 30) -> None:
    assert world.clock.advance_until(true, within_s)


def pods(world: FakeWorld, app: str = "front") -> list[Raw]:
    return [p for p in world.cluster.there("pod", SHOP) if objects.labels(p).get(APP) == app]


def ready(world: FakeWorld, app: str = "front") -> list[Raw]:
    return [p for p in pods(world, app) if objects.ready(p)]


def routed(world: FakeWorld, service: str = "front") -> tuple[str, ...]:
    return world.cluster.network.backends(SHOP, service)


def happenings(world: FakeWorld, for_s: float) -> list[Happening]:
    found, end = [], world.clock.now() + for_s
    while (happening := world.clock.wait(end - world.clock.now())) is not None:
        found.append(happening)
    return found


def events(world: FakeWorld, for_s: float) -> list[WatchEvent]:
    return [h for h in happenings(world, for_s) if isinstance(h, WatchEvent)]


def plan(folder: Path, **changes: object) -> LoadPlan:
    given_: dict[str, object] = {
        "target": f"http://front.{SHOP}",
        "folder": folder,
        "locustfile": Path("shopper.py"),
        "users": 10,
        "spawn_rate": 100.0,
        "pulse_path": "/",
        "pulse_period_s": 0.01,
        "pulse_timeout_s": 1.0,
        "stop_after_s": 600.0,
        "experiment": "e",
        "run": "r",
        "seed": 1,
    }
    return LoadPlan(**(given_ | changes))  # type: ignore[arg-type]


def bad(samples: list[Sample], stream: Stream = Stream.FRESH) -> list[Sample]:
    return [s for s in samples if s.stream is stream and not s.ok]


def test_it_satisfies_the_ports() -> None:
    world = FakeWorld()
    clock: Clock = world.clock
    cluster: Cluster = world.cluster
    load: Load = world.load
    metrics: Metrics = world.metrics
    assert clock.now() == 0 and cluster.info().nodes == ("node1", "node2", "node3")
    assert load.lost() == "" and metrics.scrape_interval() == 1.0


class TestClock:
    def test_waiting_takes_no_time_and_passes_all_of_it(self) -> None:
        clock = FakeWorld().clock
        assert clock.wait(3600) is None
        assert clock.now() == 3600

    def test_happenings_come_in_the_order_of_their_times_then_of_their_making(self) -> None:
        clock = FakeWorld(nodes=()).clock
        for moment, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
            clock.at(moment, Signalled(name))
        clock.wait(0)
        seen = [(clock.wait(5), clock.now()) for _ in range(3)]
        assert seen == [(Signalled("a"), 1.0), (Signalled("b"), 1.0), (Signalled("c"), 2.0)]

    def test_what_is_due_at_the_deadline_still_comes(self) -> None:
        clock = FakeWorld(nodes=()).clock
        clock.at(1.0, Signalled("x"))
        assert clock.wait(1.0) == Signalled("x")

    def test_a_jump_of_the_wall_clock_holds_from_then_on(self) -> None:
        clock = FakeWorld(nodes=()).clock
        before = clock.unix(10)
        clock.advance(20)
        clock.jump(-100)
        assert clock.unix(10) == before
        assert clock.unix(30) == before + 20 - 100
        assert clock.moment(clock.unix(30)) == 30
        assert clock.now() == 20


class TestWorkloads:
    def test_a_deployment_becomes_pods_over_the_zones_with_owners(self) -> None:
        world = world_with_shop()
        assert {objects.node_of(p) for p in pods(world)} == {"node1", "node2", "node3"}
        sets = world.cluster.there("replicaset", SHOP)
        assert {objects.controller(p) for p in pods(world)} == {("replicaset", objects.uid(sets[0]))}
        assert objects.controller(sets[0])[0] == "deployment"
        assert world.cluster.get("deployment", "front", SHOP)["status"]["readyReplicas"] == 3

    def test_a_rollout_replaces_every_pod_and_keeps_enough_of_them_ready(self) -> None:
        world = world_with_shop(replicas=4)
        before = {objects.uid(p) for p in pods(world)}
        container = pods(world)[0]["spec"]["containers"][0] | {"image": "localhost/front:2"}
        world.cluster.patch("deployment", "front", {"spec": {"template": {"spec": {"containers": [container]}}}}, SHOP)
        least = 4
        while before & {objects.uid(p) for p in pods(world)}:
            world.clock.advance(0.05)
            least = min(least, len(ready(world)))
            assert world.clock.now() < 120
        assert least == 3
        settled(world, lambda: world.cluster.there("deployment", SHOP)[0]["status"]["updatedReplicas"] == 4)

    def test_recreate_ends_all_before_it_begins_anew(self) -> None:
        world = world_with_shop()
        before = {objects.uid(p) for p in pods(world)}
        patch = {"spec": {"strategy": {"type": "Recreate"}, "template": {"metadata": {"labels": {"v": "2"}}}}}
        world.cluster.patch("deployment", "front", patch, SHOP)
        both = 0
        for _ in range(200):
            world.clock.advance(0.05)
            uids = {objects.uid(p) for p in pods(world)}
            both += bool(uids & before and uids - before)
        assert both == 0 and len(ready(world)) == 3

    def test_scaling_down_and_up(self) -> None:
        world = world_with_shop()
        for size in (1, 5):
            world.cluster.patch("deployment", "front", {"spec": {"replicas": size}}, SHOP)
            settled(world, lambda size=size: len(ready(world)) == len(pods(world)) == size)  # type: ignore[misc]

    def test_deleting_a_deployment_takes_its_pods_with_it(self) -> None:
        world = world_with_shop()
        world.cluster.delete("deployment", "front", SHOP)
        settled(world, lambda: not pods(world) and not world.cluster.there("replicaset", SHOP))

    def test_a_stateful_set_starts_in_order_and_gives_a_pod_its_name_and_claim_back(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
        world.cluster.create(manifests.statefulset("store", 2, volumeClaimTemplates=[claim]), SHOP)
        settled(world, lambda: len(pods(world, "store")) == 1)
        settled(world, lambda: len(ready(world, "store")) == 2)
        old = objects.uid(pods(world, "store")[0])
        world.cluster.delete("pod", "store-0", SHOP)
        settled(world, lambda: len(ready(world, "store")) == 2 and old not in map(objects.uid, pods(world, "store")))
        assert {objects.name(p) for p in pods(world, "store")} == {"store-0", "store-1"}
        claims = world.cluster.there("persistentvolumeclaim", SHOP)
        assert [(objects.name(c), c["status"]["phase"]) for c in claims] == [
            ("data-store-0", "Bound"),
            ("data-store-1", "Bound"),
        ]

    def test_a_stateful_set_replaces_its_pods_from_the_last_on(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.create(manifests.statefulset("store", 2), SHOP)
        settled(world, lambda: len(ready(world, "store")) == 2)
        old = {objects.name(p): objects.uid(p) for p in pods(world, "store")}
        template = {"metadata": {"annotations": {"v": "2"}}}
        world.cluster.patch("statefulset", "store", {"spec": {"template": template}}, SHOP)

        def replaced(name: str) -> bool:
            return any(objects.name(p) == name and objects.uid(p) != old[name] for p in ready(world, "store"))

        settled(world, lambda: replaced("store-1"))
        assert not replaced("store-0")
        settled(world, lambda: replaced("store-0"))

    def test_a_daemon_set_has_a_pod_on_every_node(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.patch("node", "node2", {"spec": {"unschedulable": True}})
        world.cluster.create(manifests.daemonset("agent"), SHOP)
        settled(world, lambda: len(ready(world, "agent")) == 3)
        assert {objects.node_of(p) for p in pods(world, "agent")} == {"node1", "node2", "node3"}

    def test_a_deleted_namespace_goes_with_all_that_is_in_it(self) -> None:
        world = world_with_shop()
        world.cluster.delete("namespace", SHOP)
        assert objects.terminating(world.cluster.get("namespace", SHOP))
        with pytest.raises(ForbiddenError, match="being terminated"):
            world.cluster.create(manifests.service("late"), SHOP)
        settled(world, lambda: not any(objects.name(n) == SHOP for n in world.cluster.there("namespace")))
        for kind in objects.WATCHED:
            assert not world.cluster.there(kind, SHOP)

    def test_a_finalizer_holds_an_object_until_it_is_taken_away(self) -> None:
        cluster = FakeWorld(1).cluster
        config = {"kind": "ConfigMap", "metadata": {"name": "c", "finalizers": ["a/b"]}}
        cluster.create(config)
        cluster.delete("configmap", "c", "default")
        assert objects.terminating(cluster.get("configmap", "c", "default"))
        cluster.patch("configmap", "c", {"metadata": {"finalizers": None}}, "default")
        with pytest.raises(NotFoundError):
            cluster.get("configmap", "c", "default")


class TestServices:
    def test_each_gets_an_address_and_its_slice_the_ports_that_the_pods_name(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        front = manifests.deployment("front", 1)
        front["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
        world.cluster.create(front, SHOP)
        service = manifests.service("front", kind="LoadBalancer")
        service["spec"]["ports"] = [{"name": "web", "port": 80, "targetPort": "http"}]
        world.cluster.create(service, SHOP)
        settled(world, lambda: bool(routed(world)))
        (piece,) = world.cluster.there("endpointslice", SHOP)
        assert piece["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
        assert piece["endpoints"][0]["zone"] == "zone1"
        there = world.cluster.get("service", "front", SHOP)
        (ingress,) = there["status"]["loadBalancer"]["ingress"]
        for host in ("front", f"front.{SHOP}.svc", there["spec"]["clusterIP"], ingress["ip"]):
            assert world.cluster.network.service_at(host) == (SHOP, "front")
        assert world.cluster.network.service_at("elsewhere") is None


class TestPods:
    def test_a_pod_runs_before_it_is_ready_and_is_ready_before_it_is_in_the_endpoints(self) -> None:
        world = FakeWorld(3)
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.create(manifests.service("front"), SHOP)
        world.cluster.create(manifests.deployment("front", 1), SHOP)
        moments = []
        for true in (
            lambda: any(map(objects.scheduled, pods(world))),
            lambda: any(map(objects.started, pods(world))),
            lambda: bool(ready(world)),
            lambda: (
                any(objects.ready_endpoints(world.cluster.there("endpointslice", SHOP)))
                and world.cluster.there("endpointslice", SHOP)[0]["endpoints"][0]["conditions"]["ready"]
            ),
            lambda: bool(routed(world)),
        ):
            settled(world, true)
            moments.append(world.clock.now())
        assert moments == sorted(set(moments))

    def test_without_a_readiness_probe_it_counts_as_ready_before_it_serves(self) -> None:
        world = world_with_shop(replicas=1, probe=False, timings=Timings(boot=5))
        assert world.cluster.network.reach(routed(world)[0]) is Reach.REFUSES
        world.clock.advance(6)
        assert world.cluster.network.reach(routed(world)[0]) is Reach.SERVES

    def test_graceful_deletion_marks_the_pod_and_lets_it_serve_until_it_ends(self) -> None:
        world = world_with_shop(timings=Timings(stop=2))
        pod = pods(world)[0]
        world.cluster.delete("pod", objects.name(pod), SHOP, uid=objects.uid(pod))
        world.clock.advance(1)
        marked = world.cluster.get("pod", objects.name(pod), SHOP)
        assert objects.terminating(marked) and marked["metadata"]["deletionGracePeriodSeconds"] == 30
        assert world.cluster.network.reach(objects.uid(pod)) is Reach.SERVES
        assert objects.uid(pod) not in routed(world)
        conditions = {
            e["targetRef"]["uid"]: e["conditions"] for e in world.cluster.there("endpointslice", SHOP)[0]["endpoints"]
        }
        assert conditions[objects.uid(pod)] == {"ready": False, "serving": True, "terminating": True}
        settled(world, lambda: objects.uid(pod) not in map(objects.uid, pods(world)))
        assert 2 <= world.clock.now() < 12

    def test_a_process_that_ignores_TERM_lives_until_its_grace_is_over(self) -> None:
        world = world_with_shop()
        world.cluster.behave(f"{APP}=front", Behaviour(stop_s=NEVER))
        pod, ordered = pods(world)[0], world.clock.now()
        world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=5)
        settled(world, lambda: objects.uid(pod) not in map(objects.uid, pods(world)))
        assert 5 <= world.clock.now() - ordered < 7

    def test_a_pod_whose_process_dies_while_it_ends_goes_before_its_grace_is_over(self) -> None:
        world = world_with_shop()
        world.cluster.behave(f"{APP}=front", Behaviour(stop_s=NEVER))
        pod, ordered = pods(world)[0], world.clock.now()
        world.cluster.delete("pod", objects.name(pod), SHOP)
        world.cluster.signal(pod, "front", "KILL")
        settled(world, lambda: objects.uid(pod) not in map(objects.uid, pods(world)))
        assert world.clock.now() - ordered < 2

    def test_deletion_without_grace_takes_the_object_at_once(self) -> None:
        world = world_with_shop()
        pod = pods(world)[0]
        world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=0)
        assert objects.uid(pod) not in map(objects.uid, pods(world))
        assert objects.uid(pod) in routed(world)
        world.clock.advance(0.1)
        assert world.cluster.network.reach(objects.uid(pod)) is Reach.SILENT

    def test_a_uid_that_is_another_one_now_is_a_conflict(self) -> None:
        world = world_with_shop()
        name = objects.name(pods(world)[0])
        with pytest.raises(ConflictError):
            world.cluster.delete("pod", name, SHOP, uid="another")
        with pytest.raises(ConflictError):
            world.cluster.patch("pod", name, {}, SHOP, uid="another")
        with pytest.raises(NotFoundError):
            world.cluster.delete("pod", "nobody", SHOP)

    def test_a_killed_container_restarts_at_once_then_after_ten_and_twenty_seconds(self) -> None:
        world = world_with_shop(replicas=1)
        waits = []
        for number in range(1, 4):
            pod = pods(world)[0]
            old, killed = objects.container_status(pod, "front"), world.clock.now()
            world.cluster.signal(pod, "front", "KILL")
            settled(world, lambda n=number: objects.restarts(pods(world)[0]) == n, 60)  # type: ignore[misc]
            waits.append(world.clock.now() - killed)
            new = objects.container_status(pods(world)[0], "front")
            assert old and new and old["containerID"] != new["containerID"]
            assert new["lastState"]["terminated"]["exitCode"] == 137
        assert waits[0] < 2 and 10 <= waits[1] < 12 and 20 <= waits[2] < 22

    def test_the_back_off_is_told_in_the_kubelets_words(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.behave(f"{APP}=front", Behaviour(crash_after_s=0.2))
        world.cluster.create(manifests.deployment("front", 1), SHOP)
        settled(world, lambda: objects.restarts(pods(world)[0]) == 1 if pods(world) else False)
        settled(world, lambda: objects.trouble(pods(world)[0]).startswith("CrashLoopBackOff"))

    def test_a_container_that_may_not_restart_ends_its_pod(self) -> None:
        world = FakeWorld(1)
        spec = {"restartPolicy": "Never", "containers": [{"name": "job", "image": "x"}]}
        world.cluster.create({"kind": "Pod", "metadata": {"name": "once"}, "spec": spec})
        world.clock.advance(3)
        world.cluster.signal(world.cluster.get("pod", "once", "default"), "job", "KILL")
        world.clock.advance(3)
        pod = world.cluster.get("pod", "once", "default")
        assert pod["status"]["phase"] == "Failed" and objects.restarts(pod) == 0

    def test_an_image_that_does_not_exist(self) -> None:
        world = FakeWorld(1)
        world.cluster.behave(f"{APP}=front", Behaviour(image="ImagePullBackOff"))
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.create(manifests.deployment("front", 1), SHOP)
        world.clock.advance(5)
        assert objects.trouble(pods(world)[0]) == 'ImagePullBackOff: Back-off pulling image "localhost/front:1"'
        assert pods(world)[0]["status"]["phase"] == "Pending"

    def test_logs_of_this_container_and_of_the_one_before(self) -> None:
        world = world_with_shop(replicas=1)
        name = objects.name(pods(world)[0])
        with pytest.raises(PortError, match="no such log"):
            world.cluster.logs(name, SHOP, previous=True)
        world.cluster.signal(pods(world)[0], "front", "KILL")
        world.clock.advance(3)
        assert "exit code 137" in world.cluster.logs(name, SHOP, previous=True)
        assert "serving" in world.cluster.logs(name, SHOP, lines=1)


class TestNodes:
    def test_nothing_is_placed_on_a_cordoned_node(self) -> None:
        world = world_with_shop()
        world.cluster.patch("node", "node1", {"spec": {"unschedulable": True}})
        victim = next(p for p in pods(world) if objects.node_of(p) == "node1")
        world.cluster.delete("pod", objects.name(victim), SHOP)
        world.clock.advance(10)
        assert len(ready(world)) == 3 and "node1" not in {objects.node_of(p) for p in pods(world)}

    def test_a_pod_that_fits_nowhere_says_why_and_is_placed_once_it_does(self) -> None:
        world = world_with_shop()
        for node in ("node1", "node2", "node3"):
            world.cluster.patch("node", node, {"spec": {"unschedulable": True}})
        world.cluster.delete("pod", objects.name(pods(world)[0]), SHOP, grace_s=0)
        settled(world, lambda: any(objects.trouble(p) for p in pods(world)))
        why = next(filter(None, map(objects.trouble, pods(world))))
        assert why == "Unschedulable: 0/3 nodes are available: 3 node(s) were unschedulable."
        world.cluster.patch("node", "node2", {"spec": {"unschedulable": None}})
        settled(world, lambda: len(ready(world)) == 3)

    def test_requested_cpu_is_respected(self) -> None:
        world = FakeWorld(1, nodes=("node1",))
        world.cluster.create(manifests.namespace(SHOP))
        big = manifests.deployment("front", 3)
        big["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
        world.cluster.create(big, SHOP)
        world.clock.advance(5)
        assert len(ready(world)) == 2
        assert "1 Insufficient cpu" in "".join(map(objects.trouble, pods(world)))

    def test_taints_and_node_selectors_keep_pods_away(self) -> None:
        world = FakeWorld(1)
        world.cluster.create(manifests.namespace(SHOP))
        taint = {"key": "only", "value": "db", "effect": "NoSchedule"}
        world.cluster.patch("node", "node1", {"spec": {"taints": [taint]}})
        picky = manifests.deployment("front", 2)
        picky["spec"]["template"]["spec"]["nodeSelector"] = {objects.HOSTNAME_LABEL: "node1"}
        world.cluster.create(picky, SHOP)
        world.clock.advance(3)
        why = "0/3 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, "
        why += "1 node(s) had untolerated taint {only: db}."
        assert {objects.trouble(p) for p in pods(world)} == {f"Unschedulable: {why}"}
        spec = {"tolerations": [{"key": "only", "operator": "Exists"}]}
        world.cluster.patch("deployment", "front", {"spec": {"template": {"spec": spec}}}, SHOP)
        settled(world, lambda: [objects.node_of(p) for p in ready(world)] == ["node1", "node1"])

    def test_a_cordoned_node_carries_the_taint_as_long_as_it_is(self) -> None:
        world = FakeWorld(1)
        for unschedulable, effects in ((True, ["NoSchedule"]), (None, [])):
            world.cluster.patch("node", "node1", {"spec": {"unschedulable": unschedulable}})
            world.clock.advance(1)
            assert [t["effect"] for t in world.cluster.get("node", "node1")["spec"].get("taints", ())] == effects

    def test_a_dead_nodes_pods_move_after_the_grace_and_their_patience(self) -> None:
        timings = Timings(node_grace=16, toleration=20)
        world = world_with_shop(timings=timings)
        off, lost = world.clock.now(), next(p for p in pods(world) if objects.node_of(p) == "node2")
        world.cluster.power_off("node2")
        assert world.cluster.network.reach(objects.uid(lost)) is Reach.SILENT
        settled(world, lambda: objects.uid(lost) not in routed(world))
        assert 16 <= world.clock.now() - off < 17
        settled(world, lambda: len(ready(world)) == 3, 60)
        assert 36 <= world.clock.now() - off < 42
        assert objects.terminating(world.cluster.get("pod", objects.name(lost), SHOP))
        world.cluster.power_on("node2")
        settled(world, lambda: objects.uid(lost) not in map(objects.uid, pods(world)))
        assert all(objects.condition(n, "Ready") for n in world.cluster.there("node"))

    def test_power_that_goes_again_before_the_node_is_back_stays_away(self) -> None:
        world = world_with_shop()
        for power in (world.cluster.power_off, world.cluster.power_on, world.cluster.power_off):
            power("node2")
        world.clock.advance(60)
        assert len(ready(world)) == 2

    def test_a_node_that_returns_soon_keeps_its_pods(self) -> None:
        world = world_with_shop(timings=Timings(node_grace=16))
        before = {objects.uid(p) for p in pods(world)}
        world.cluster.power_off("node2")
        world.clock.advance(18)
        assert len(ready(world)) == 2
        world.cluster.power_on("node2")
        settled(world, lambda: len(ready(world)) == 3)
        assert {objects.uid(p) for p in pods(world)} == before
        assert sum(map(objects.restarts, pods(world))) == 1


class TestEvents:
    def test_they_say_what_happened_to_a_pod(self) -> None:
        world = world_with_shop(replicas=1)
        pod = pods(world)[0]
        world.cluster.delete("pod", objects.name(pod), SHOP)
        world.clock.advance(10)
        said = [e["reason"] for e in world.cluster.there("event", SHOP) if e["regarding"]["uid"] == objects.uid(pod)]
        assert said == ["Scheduled", "Started", "Killing"]

    def test_a_pod_that_cannot_be_placed_is_told_once_for_each_reason(self) -> None:
        world = FakeWorld(1, nodes=())
        world.cluster.create(manifests.namespace(SHOP))
        world.cluster.create(manifests.deployment("front", 1), SHOP)
        for _ in range(3):
            world.clock.advance(1)
            world.cluster.create({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": []}}, SHOP)
            world.cluster.delete("pod", "x", SHOP, grace_s=0)
        events_ = [e for e in world.cluster.there("event", SHOP) if e["regarding"]["name"].startswith("front")]
        assert [(e["reason"], e["type"]) for e in events_] == [("FailedScheduling", "Warning")]


class TestBudgets:
    def test_an_eviction_beyond_the_budget_is_refused_until_a_replacement_is_ready(self) -> None:
        world = world_with_shop()
        world.cluster.create(manifests.budget("front", minAvailable=2), SHOP)
        first, second = pods(world)[:2]
        world.cluster.evict(objects.name(first), SHOP, uid=objects.uid(first))
        with pytest.raises(BudgetError) as refused:
            world.cluster.evict(objects.name(second), SHOP, uid=objects.uid(second))
        assert refused.value.why == "The disruption budget front needs 2 healthy pods and has 2 currently"
        settled(world, lambda: len(ready(world)) == 3)
        world.cluster.evict(objects.name(second), SHOP, uid=objects.uid(second))

    def test_its_status_says_what_is_allowed(self) -> None:
        world = world_with_shop()
        world.cluster.create(manifests.budget("front", maxUnavailable="34%"), SHOP)
        world.clock.advance(1)
        status = world.cluster.get("poddisruptionbudget", "front", SHOP)["status"]
        assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (3, 1, 2)


class TestCalls:
    def test_create_refuses_what_is_there_and_apply_merges_into_it(self) -> None:
        world = world_with_shop()
        with pytest.raises(ConflictError, match="already exists"):
            world.cluster.create(manifests.deployment("front"), SHOP)
        before = world.cluster.get("deployment", "front", SHOP)
        after = world.cluster.apply(manifests.deployment("front", 2), SHOP)
        assert objects.uid(after) == objects.uid(before) and after["spec"]["replicas"] == 2
        assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
        assert before["spec"]["replicas"] == 3

    def test_nothing_can_be_made_in_a_namespace_that_is_not_there(self) -> None:
        with pytest.raises(NotFoundError, match="there is no namespace shop"):
            FakeWorld().cluster.create(manifests.deployment("front"), SHOP)

    def test_what_the_caller_handed_in_stays_the_callers(self) -> None:
        cluster = FakeWorld().cluster
        config = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
        cluster.create(config)
        config["data"]["a"] = "2"  # type: ignore[index]
        assert cluster.get("configmap", "c", "default")["data"] == {"a": "1"}
        assert "namespace" not in config["metadata"]

    def test_a_merge_patch_sets_and_removes(self) -> None:
        cluster = FakeWorld().cluster
        cluster.patch("node", "node1", {"metadata": {"annotations": {"a": "1", "b": "2"}}})
        cluster.patch("node", "node1", {"metadata": {"annotations": {"a": None}}})
        assert cluster.get("node", "node1")["metadata"]["annotations"] == {"b": "2"}

    @pytest.mark.parametrize(
        ("selector", "names"),
        [
            ("", "abc"),
            ("tier=web", "a"),
            ("tier==web", "a"),
            ("tier!=web", "bc"),
            ("tier in (web, api)", "ab"),
            ("tier notin (web)", "bc"),
            ("tier", "ab"),
            ("!tier", "c"),
            ("tier in (web,api),stage=x", "b"),
        ],
    )
    def test_lists_are_selected_as_kubectl_does(self, selector: str, names: str) -> None:
        cluster = FakeWorld().cluster
        for name, labels in (("b", {"tier": "api", "stage": "x"}), ("a", {"tier": "web"}), ("c", {})):
            cluster.create({"kind": "ConfigMap", "metadata": {"name": name, "labels": labels}})
        assert "".join(objects.name(o) for o in cluster.list("configmap", "default", selector)) == names

    def test_a_selector_that_is_none_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="no label selector"):
            parse("a b c")

    def test_denied_rights(self) -> None:
        cluster = world_with_shop().cluster
        right = Right("delete", "", "pods", SHOP)
        assert cluster.allowed(right)
        cluster.deny(Right("delete", "", "pods"))
        assert not cluster.allowed(right)
        with pytest.raises(ForbiddenError, match="may not delete pods in shop"):
            cluster.delete("pod", "any", SHOP)

    def test_acts_list_what_changed_the_cluster_and_nothing_else(self) -> None:
        world = world_with_shop()
        pod = pods(world)[0]
        world.cluster.list("pod")
        with pytest.raises(ConflictError):
            world.cluster.delete("pod", objects.name(pod), SHOP, uid="another")
        world.cluster.delete("pod", objects.name(pod), SHOP)
        assert [(a.verb, a.kind, a.name) for a in world.cluster.acts] == [
            ("create", "namespace", SHOP),
            ("create", "deployment", "front"),
            ("create", "service", "front"),
            ("delete", "pod", objects.name(pod)),
        ]
        assert world.cluster.acts[-1].uid == objects.uid(pod)


class TestTrouble:
    def test_a_lost_answer_leaves_the_effect(self) -> None:
        world = world_with_shop()
        world.cluster.trouble.next(Fault.LOST, verb="patch", kind="node")
        before = world.clock.now()
        with pytest.raises(UnreachableError):
            world.cluster.patch("node", "node1", {"spec": {"unschedulable": True}})
        assert world.clock.now() - before >= 5
        assert world.cluster.get("node", "node1")["spec"]["unschedulable"] is True
        assert world.cluster.acts[-1].verb == "patch"

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault.RESET, UnreachableError),
            (Fault.CONFLICT, ConflictError),
            (Fault.ERROR, PortError),
        ],
    )
    def test_other_faults_leave_nothing(self, fault: Fault, error: type[PortError]) -> None:
        cluster = FakeWorld().cluster
        cluster.trouble.next(fault, verb="patch", times=2)
        for _ in range(2):
            with pytest.raises(error):
                cluster.patch("node", "node1", {"spec": {"unschedulable": True}})
        assert not cluster.acts
        cluster.patch("node", "node1", {"spec": {"unschedulable": True}})
        assert len(cluster.acts) == 1

    def test_a_refused_eviction(self) -> None:
        world = world_with_shop()
        pod = pods(world)[0]
        world.cluster.trouble.next(Fault.BUDGET, verb="evict")
        with pytest.raises(BudgetError):
            world.cluster.evict(objects.name(pod), SHOP, uid=objects.uid(pod))
        world.cluster.evict(objects.name(pod), SHOP, uid=objects.uid(pod))

    def test_a_watch_can_break_and_the_api_go_away_with_a_call(self) -> None:
        world = world_with_shop()
        world.cluster.watch(["pod"], SHOP, world.clock.post)
        happenings(world, 1)
        world.cluster.trouble.next(Fault.GAP, verb="get")
        world.cluster.get("node", "node1")
        assert [e.change for e in events(world, 3)] == [GAP, SEEN, SEEN, SEEN]
        world.cluster.trouble.next(Fault.AWAY, verb="get")
        for _ in range(2):
            with pytest.raises(UnreachableError, match="does not answer"):
                world.cluster.get("node", "node1")
        world.clock.advance(world.cluster.trouble.away_s)
        world.cluster.get("node", "node1")

    def test_chances_are_met_about_as_often_as_they_say(self) -> None:
        cluster = FakeWorld(4).cluster
        cluster.trouble.chances[Fault.ERROR] = 0.2
        failed = 0
        for _ in range(500):
            try:
                cluster.get("node", "node1")
            except PortError:
                failed += 1
        assert 70 < failed < 130

    def test_an_api_that_is_away_answers_nothing_and_the_cluster_goes_on(self) -> None:
        world = world_with_shop()
        watching = world.cluster.watch(["pod"], SHOP, world.clock.post)
        assert watching.wait_synced(5)
        happenings(world, 1)
        pod = pods(world)[0]
        world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=0)
        world.cluster.away(10)
        with pytest.raises(UnreachableError):
            world.cluster.list("pod")
        seen = events(world, 15)
        assert [e.change for e in seen[:2]] == [GAP, GONE]
        assert all(e.first for e in seen[1:]) and seen[1].at >= 10
        assert len(world.cluster.list("pod", SHOP)) == 3


class TestWatch:
    def test_first_the_listing_then_the_news(self) -> None:
        world = world_with_shop()
        watching = world.cluster.watch(["pod", "node"], SHOP, world.clock.post)
        assert not watching.wait_synced(0)
        assert watching.wait_synced(5)
        first = events(world, 0)
        assert all(e.first and e.change == SEEN for e in first) and len(first) == 6
        world.cluster.delete("pod", objects.name(pods(world)[0]), SHOP, grace_s=0)
        news = events(world, 10)
        assert news[0].change == GONE and not any(e.first for e in news)
        watching.close()
        world.cluster.delete("pod", objects.name(pods(world)[0]), SHOP, grace_s=0)
        assert events(world, 10) == []

    def test_objects_kept_by_events_end_up_as_the_cluster_is_whatever_breaks(self) -> None:
        world = world_with_shop()
        known = Objects()
        world.cluster.watch(objects.WATCHED, SHOP, world.clock.post)
        for number in range(8):
            world.cluster.gap(for_s=number % 3 * 0.7)
            world.cluster.delete("pod", objects.name(pods(world)[0]), SHOP, grace_s=number % 2)
            for event in events(world, 1.5):
                known.take(event)
        for event in events(world, 30):
            known.take(event)
        for kind in ("pod", "endpointslice", "deployment", "node"):
            there = {objects.uid(o): o for o in world.cluster.there(kind, "" if kind == "node" else SHOP)}
            assert {objects.uid(o): o for o in known.all(kind)} == there

    def test_news_come_in_the_order_of_their_versions(self) -> None:
        world = world_with_shop()
        world.cluster.watch(objects.WATCHED, SHOP, world.clock.post)
        world.cluster.delete("pod", objects.name(pods(world)[0]), SHOP)
        versions = [int(e.object["metadata"]["resourceVersion"]) for e in events(world, 20) if not e.first]
        assert len(versions) > 10 and versions == sorted(set(versions))

    def test_what_a_listing_told_is_not_told_again(self) -> None:
        world = world_with_shop()
        world.cluster.watch(["pod"], SHOP, world.clock.post)
        happenings(world, 1)
        pod = pods(world)[0]
        world.clock.at(world.clock.now() + 0.004, world.cluster.gap)
        world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=0)
        gone = [e for e in events(world, 5) if e.change == GONE]
        assert [(objects.uid(e.object), e.first) for e in gone] == [(objects.uid(pod), True)]

    def test_other_namespaces_are_not_seen(self) -> None:
        world = world_with_shop()
        world.cluster.watch(["configmap"], SHOP, world.clock.post)
        happenings(world, 1)
        world.cluster.create({"kind": "ConfigMap", "metadata": {"name": "c"}})
        assert events(world, 1) == []


class TestLoad:
    def test_a_healthy_service_answers_everything_and_says_who(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.start(plan(tmp_path), 0, world.clock.post)
        statuses = [h for h in happenings(world, 10) if isinstance(h, LoadStatus)]
        samples = list(world.load.recent())
        assert len(statuses) == 80
        by_stream = {stream: [s for s in samples if s.stream is stream] for stream in Stream}
        assert len(by_stream[Stream.FRESH]) == len(by_stream[Stream.KEPT]) == 1000
        assert 490 <= len(by_stream[Stream.LOCUST]) <= 500
        assert all(s.ok for s in samples)
        assert {s.answerer for s in samples} == {f"{objects.name(p)}|1|blue" for p in pods(world)}
        assert len({s.answerer for s in by_stream[Stream.KEPT]}) == 1
        assert statuses[-1].sent == statuses[-1].ok and {s.who for s in statuses} == {"pulse", "locust"}

    def test_requests_to_a_pod_that_is_dead_but_still_listed_fail(self, tmp_path: Path) -> None:
        world = world_with_shop(timings=Timings(endpoints=0.3, proxy=0.2))
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.clock.advance(5)
        pod, killed = pods(world)[0], world.clock.now()
        world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=0)
        world.clock.advance(20)
        lost = bad(list(world.load.recent()))
        assert 5 < len(lost) < 40
        assert all(killed <= s.intended < killed + 0.7 for s in lost)
        assert {s.outcome for s in lost} <= {Outcome.TIMEOUT, Outcome.RESET}

    def test_a_request_under_way_is_reset_when_its_process_dies(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.latency_s = 0.5
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.clock.advance(3)
        world.cluster.signal(pods(world)[0], "front", "KILL")
        killed = world.clock.now()
        world.clock.advance(5)
        reset = [s for s in bad(list(world.load.recent())) if s.outcome is Outcome.RESET]
        assert reset and all(s.end == killed and s.intended < killed for s in reset)

    def test_one_replica_without_a_probe_is_an_outage_of_seconds(self, tmp_path: Path) -> None:
        world = world_with_shop(replicas=1, probe=False, timings=Timings(boot=4))
        world.clock.advance(10)
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.cluster.signal(pods(world)[0], "front", "KILL")
        world.clock.advance(20)
        lost = bad(list(world.load.recent()))
        assert 4 < lost[-1].intended - lost[0].intended < 7
        assert lost[-1].outcome is Outcome.REFUSED

    def test_a_graceful_end_loses_nothing_of_new_connections_and_resets_nothing_that_is_short(
        self, tmp_path: Path
    ) -> None:
        world = world_with_shop(timings=Timings(stop=2))
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.clock.advance(2)
        for pod in list(pods(world)):
            world.cluster.delete("pod", objects.name(pod), SHOP)
            world.clock.advance(10)
        assert bad(list(world.load.recent())) == []

    def test_no_endpoint_at_all_is_refused(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.cluster.patch("deployment", "front", {"spec": {"replicas": 0}}, SHOP)
        world.clock.advance(5)
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.clock.advance(1)
        samples = list(world.load.recent())
        assert samples and {s.outcome for s in samples} == {Outcome.REFUSED}

    def test_what_was_recorded_is_what_was_told(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.start(plan(tmp_path), 0, world.clock.post)
        told: list[Sample] = []
        for _ in range(20):
            world.clock.advance(0.37)
            told += world.load.recent()
        world.load.stop()
        world.load.stop()
        told += world.load.recent()
        recorded = [*read_samples(tmp_path / "pulse"), *read_samples(tmp_path / "locust")]
        key = lambda s: (s.end, s.stream, s.intended)  # noqa: E731
        assert sorted(recorded, key=key) == sorted(told, key=key)
        done = [h for h in happenings(world, 0) if isinstance(h, LoadStatus) and h.done]
        assert [h.who for h in done] == ["pulse", "locust"]
        assert sum(h.sent for h in done) == len(told)

    def test_asking_more_often_changes_nothing(self, tmp_path: Path) -> None:
        def told(step: float) -> list[Sample]:
            world = world_with_shop()
            world.load.start(plan(tmp_path / str(step)), 0, world.clock.post)
            found: list[Sample] = []
            world.clock.at(2.9, lambda: world.cluster.power_off("node1"))
            while world.clock.now() < 8:
                world.clock.advance(step)
                found += world.load.recent()
            return [s for s in found if s.end < 8]

        assert told(0.1) == told(1.0)

    def test_capacity_saturation_and_scripted_outages(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.capacity, world.load.unsent, world.load.cpu = 20, 0.1, 0.99
        world.load.start(plan(tmp_path, users=40), 0, world.clock.post)
        world.load.outage(world.clock.now() + 2, world.clock.now() + 3, Outcome.HTTP_ERROR, [Stream.LOCUST])
        last = [h for h in happenings(world, 10) if isinstance(h, LoadStatus)][-2:]
        samples = list(world.load.recent())
        assert 195 <= sum(1 for s in samples if s.stream is Stream.LOCUST) <= 205
        assert sum(1 for s in samples if s.outcome is Outcome.NOT_SENT) == 200
        assert {s.status for s in bad(samples, Stream.LOCUST)} == {500} and len(bad(samples, Stream.LOCUST)) == 20
        assert [(h.who, h.users, h.cpu) for h in last] == [("pulse", 0, 0.99), ("locust", 40, 0.99)]
        assert last[0].not_sent == 200

    def test_a_process_that_dies_is_told(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.load.die(world.clock.now() + 3, "locust", "the locust process ended with exit code 1")
        statuses = [h for h in happenings(world, 6) if isinstance(h, LoadStatus)]
        assert world.load.lost() == "the locust process ended with exit code 1"
        locust = [h for h in statuses if h.who == "locust"]
        assert len(locust) == 13 - 1 and locust[-1].done and locust[-1].error
        assert len([h for h in statuses if h.who == "pulse"]) == 24

    def test_nothing_is_recorded_after_its_end(self, tmp_path: Path) -> None:
        for number in range(20):
            world = world_with_shop(number)
            world.load.start(plan(tmp_path / str(number)), 0, world.clock.post)
            world.load.outage(world.clock.now() + 1, world.clock.now() + 9)
            world.load.die(world.clock.now() + 2, "locust")
            world.clock.advance(3 + 0.0013 * number)
            world.load.stop()
            told = len(world.load.recent())
            done = [h for h in happenings(world, 2) if isinstance(h, LoadStatus) and h.done]
            assert world.load.recent() == [] and sum(h.sent for h in done) == told

    def test_it_ends_by_itself_after_its_longest_time(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.start(plan(tmp_path, stop_after_s=5.0, locustfile=None), 0, world.clock.post)
        statuses = [h for h in happenings(world, 20) if isinstance(h, LoadStatus)]
        assert statuses[-1].done and "ended by itself" in world.load.lost()
        assert not (tmp_path / "locust.bin").exists()

    def test_a_start_that_fails(self, tmp_path: Path) -> None:
        load = FakeWorld().load
        load.start_error = UsageError("shopper.py does not import")
        with pytest.raises(UsageError):
            load.start(plan(tmp_path), 0, lambda _: None)
        load.stop()

    def test_a_folder_that_holds_a_recording_is_left_alone(self, tmp_path: Path) -> None:
        world = world_with_shop()
        world.load.start(plan(tmp_path), 0, world.clock.post)
        world.load.stop()
        with pytest.raises(PortError, match="did not start"):
            world.load.start(plan(tmp_path), 0, world.clock.post)


class TestMetrics:
    def test_answers_come_from_the_table(self) -> None:
        world = FakeWorld()
        world.clock.advance(60)
        world.metrics.table = {
            "up": 1.0,
            "errors": lambda at: 0.5 if at >= 30 else None,
            "by_pod": [({"pod": "a"}, 1.0), ({"pod": "b"}, 2.0)],
            "whole": Answer("", (Series({}, ((1.0, 2.0),)),), ("partial",)),
        }
        unix = world.clock.unix
        assert world.metrics.instant("up", unix(10)).series == (Series({}, ((unix(10), 1.0),)),)
        assert world.metrics.instant('sum(rate(errors{namespace="x"}[5s]))', unix(20)).series == ()
        ranged = world.metrics.range("errors", unix(28), unix(32), 1.0)
        assert [t - unix(0) for t, _ in ranged.series[0].points] == [30, 31, 32]
        assert [dict(s.labels) for s in world.metrics.instant("by_pod", unix(10)).series] == [
            {"pod": "a"},
            {"pod": "b"},
        ]
        assert world.metrics.instant("whole", unix(10)).warnings == ("partial",)
        assert world.metrics.instant("unknown", unix(10)) == Answer("unknown", ())
        assert world.metrics.asked[0] == "up" and len(world.metrics.asked) == 6

    def test_it_knows_what_was_scraped_and_nothing_of_the_future(self) -> None:
        world = FakeWorld(scrape_interval_s=15)
        world.metrics.table["t"] = lambda at: at
        world.clock.advance(50)
        unix = world.clock.unix
        values = [world.metrics.instant("t", unix(at)).series[0].points[0][1] for at in (20, 44, 300)]
        assert values == [15, 30, 45]

    def test_errors_and_warnings(self) -> None:
        metrics = FakeWorld().metrics
        metrics.table["up"] = 1
        metrics.warnings = ("slow",)
        assert metrics.instant("up", 0).warnings == ("slow",)
        metrics.error = "connection refused"
        assert metrics.instant("up", 0) == Answer("up", (), error="connection refused")


def story(seed: int, folder: Path) -> str:
    """A run with a bit of everything, as text."""
    world = world_with_shop(seed)
    world.cluster.create(manifests.budget("front", minAvailable=2), SHOP)
    world.cluster.trouble.chances = {Fault.LOST: 0.05, Fault.ERROR: 0.1}
    world.cluster.watch(objects.WATCHED, SHOP, world.clock.post)
    world.load.start(plan(folder / str(seed), pulse_period_s=0.1), 0, world.clock.post)
    seen: list[object] = []
    for verb in ("evict", "signal", "delete", "gap"):
        pod = pods(world)[0]
        try:
            if verb == "evict":
                world.cluster.evict(objects.name(pod), SHOP, uid=objects.uid(pod))
            elif verb == "signal":
                world.cluster.signal(pod, "front", "KILL")
            elif verb == "delete":
                world.cluster.delete("pod", objects.name(pod), SHOP, grace_s=0)
            else:
                world.cluster.gap(1)
        except PortError as error:
            seen.append(str(error))
        seen += [asdict(h) for h in happenings(world, 5)]
        seen += [asdict(s) for s in world.load.recent()]
    world.load.stop()
    seen += [asdict(a) for a in world.cluster.acts]
    return "\n".join(json.dumps(item) for item in seen)


def test_the_same_seed_gives_the_same_events_byte_for_byte(tmp_path: Path) -> None:
    assert story(5, tmp_path / "a") == story(5, tmp_path / "b")
    assert story(5, tmp_path / "c") != story(6, tmp_path / "d")
    one, other = ((tmp_path / folder / "5" / "pulse.bin").read_bytes() for folder in "ab")
    assert one == other


# ── invariants ───────────────────────────────────────────────────────────────────────────────────────────────────────

DISTURBANCES = st.lists(
    st.tuples(
        st.sampled_from(["delete", "now", "evict", "kill", "cordon", "uncordon", "scale", "off", "on", "rollout"]),
        st.integers(0, 5),
        st.floats(0, 3),
    ),
    max_size=12,
)


def disturb(world: FakeWorld, what: str, number: int) -> None:
    cluster, there = world.cluster, pods(world)
    pod = there[number % len(there)] if there else None
    node = f"node{number % 3 + 1}"
    if what == "scale":
        cluster.patch("deployment", "front", {"spec": {"replicas": number}}, SHOP)
    elif what == "rollout":
        label = {"v": f"{number}"}
        cluster.patch("deployment", "front", {"spec": {"template": {"metadata": {"labels": label}}}}, SHOP)
    elif what in ("cordon", "uncordon"):
        cluster.patch("node", node, {"spec": {"unschedulable": what == "cordon" or None}})
    elif what == "off":
        cluster.power_off(node)
    elif what == "on":
        cluster.power_on(node)
    elif pod is not None:
        disturb_pod(world, what, pod)


def disturb_pod(world: FakeWorld, what: str, pod: Raw) -> None:
    name, uid = objects.name(pod), objects.uid(pod)
    try:
        if what == "evict":
            world.cluster.evict(name, SHOP, uid=uid)
        elif what == "kill":
            world.cluster.signal(pod, "front", "KILL")
        else:
            world.cluster.delete("pod", name, SHOP, uid=uid, grace_s=0 if what == "now" else None)
    except (BudgetError, NotFoundError):
        pass


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), disturbances=DISTURBANCES)
def test_whatever_is_done_to_it_a_deployment_comes_to_its_size_and_its_service_follows(
    seed: int, disturbances: list[tuple[str, int, float]]
) -> None:
    world = world_with_shop(seed, timings=Timings(node_grace=5, toleration=5, back_off_most=20))
    uids: dict[str, str] = {}
    watching = world.cluster.watch(["pod"], SHOP, world.clock.post)
    for what, number, pause in disturbances:
        disturb(world, what, number)
        world.clock.advance(pause)
    for node in ("node1", "node2", "node3"):
        world.cluster.power_on(node)
        world.cluster.patch("node", node, {"spec": {"unschedulable": None}})
    world.clock.advance(120)
    size = world.cluster.there("deployment", SHOP)[0]["spec"]["replicas"]
    assert len(pods(world)) == len(ready(world)) == size
    assert sorted(routed(world)) == sorted(objects.uid(p) for p in ready(world))
    assert all(world.cluster.network.reach(uid) is Reach.SERVES for uid in routed(world))
    for event in events(world, 0):
        assert uids.setdefault(objects.uid(event.object), objects.name(event.object)) == objects.name(event.object)
    watching.close()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 6),
    least=st.integers(0, 6),
    pauses=st.lists(st.floats(0, 1.5), max_size=15),
)
def test_evictions_never_break_the_budget(seed: int, size: int, least: int, pauses: list[float]) -> None:
    world = world_with_shop(seed, replicas=size)
    world.cluster.create(manifests.budget("front", minAvailable=least), SHOP)
    for number, pause in enumerate(pauses):
        there = ready(world)
        if there:
            disturb_pod(world, "evict", there[number % len(there)])
        assert len(ready(world)) >= min(least, size)
        world.clock.advance(pause)
        assert len(ready(world)) >= min(least, size)
