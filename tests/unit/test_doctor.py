"""What a cluster lacks for experiments is told with what to type; what it has, with the number."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP

from chaoskit import spec
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.doctor import DOWN, METRICS_API, Clock, Doctor, example, skew
from chaoskit.errors import UnreachableError
from chaoskit.model import Right
from chaoskit.plan import Plan

IMAGE = SHOP[0]["spec"]["template"]["spec"]["containers"][0]["image"]
SERVED = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": METRICS_API},
    "status": {"conditions": [{"type": "Available", "status": "True"}]},
}


def planned(*shop, text=EXPERIMENT):
    return Plan(spec.loads(text), RUN, NAMESPACE, 7, manifests=shop or SHOP)


def looks(world, *plans, **more):
    """By what they look at; of several at the same, the worst."""
    metrics = more.pop("metrics", world.metrics)
    found = Doctor(world.cluster, metrics, plans or (planned(),), **more).looks()
    ranked = sorted(found, key=lambda look: (True, None, False).index(look.good))
    return {look.what: look for look in ranked}


@pytest.fixture
def world():
    made = FakeWorld(3)
    made.metrics.table.update({"vector(1)": 1.0, "count(kube_pod_info)": 12.0})
    return made


def store(world, image):
    for node in world.cluster.list("node"):
        world.cluster.patch("node", node["metadata"]["name"], {"status": {"images": [{"names": [image]}]}})


def test_a_cluster_that_has_all_is_all_right(world):
    world.cluster.create(SERVED)
    store(world, IMAGE)
    found = looks(world)
    for what in ("reach", "rights", "metrics", "images", "Prometheus", "kube-state-metrics"):
        assert found[what].good is True, found[what]
        assert found[what].fix == ""
    assert "3 nodes" in found["reach"].said
    assert found["Prometheus"].said == "answers; scrapes every 1 s"


def test_looking_changes_nothing(world):
    before = len(world.cluster.acts)
    looks(world)
    assert len(world.cluster.acts) == before


def test_a_missing_right_is_told_with_the_command_that_grants_it(world):
    world.cluster.deny(Right("delete", "", "pods", NAMESPACE))
    world.cluster.deny(Right("create", "coordination.k8s.io", "leases", "default"))
    made = Doctor(world.cluster, None, (planned(),), kubectl="kubectl --context staging").looks()
    missing = {look.said: look.fix for look in made if look.what == "rights"}
    fix = missing[f"missing: delete pods in {NAMESPACE}"]
    assert fix == (
        f"kubectl --context staging create role chaoskit-pods -n {NAMESPACE} --verb=delete --resource=pods && "
        f"kubectl --context staging create rolebinding chaoskit-pods -n {NAMESPACE} --role=chaoskit-pods --user=USER"
    )
    assert "--resource=leases.coordination.k8s.io" in missing["missing: create leases.coordination.k8s.io in default"]


def test_a_node_that_is_not_ready_is_named(world):
    world.cluster.power_off("node2")
    world.clock.advance(120)
    assert "node2" in looks(world)["nodes"].said


def test_resource_metrics_are_missed_only_where_an_autoscaler_needs_them(world):
    assert looks(world)["metrics"].good is None
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "front"},
        "spec": {},
    }
    found = looks(world, planned(*SHOP, scaler))["metrics"]
    assert found.good is False
    assert "install metrics-server" in found.fix


@pytest.mark.parametrize(
    ("policy", "image", "good"),
    [("Always", "shop:1", None), ("Never", "shop:1", False), ("IfNotPresent", "localhost/shop:1", False)],
)
def test_an_image_that_is_not_there_is_pulled_or_missing(world, policy, image, good):
    shop = manifests.deployment("front", 3)
    container = {**shop["spec"]["template"]["spec"]["containers"][0], "image": image, "imagePullPolicy": policy}
    shop["spec"]["template"]["spec"]["containers"] = [container]
    assert looks(world, planned(shop))["images"].good is good
    store(world, "docker.io/library/shop:1" if image == "shop:1" else image)
    assert looks(world, planned(shop))["images"].good is True


def test_a_prometheus_that_is_not_named_is_missed_only_where_it_is_asked(world):
    assert looks(world, metrics=None)["Prometheus"].good is False
    assert looks(world, planned(text=example("")), metrics=None)["Prometheus"].good is None


def test_a_prometheus_that_does_not_answer_is_told_with_the_cause(world):
    world.metrics.error = "Connection refused"
    found = looks(world)
    assert "Connection refused" in found["Prometheus"].said
    assert "kube-state-metrics" not in found


def test_targets_that_are_down_and_exporters_that_are_not_scraped_are_told(world):
    world.metrics.table.update({f"count({DOWN})": 2.0, "count(kube_pod_info)": None})
    found = looks(world)
    assert found["targets"].said == "2 targets cannot be scraped"
    assert found["kube-state-metrics"].good is None


def test_what_may_not_be_looked_at_keeps_nothing_else_from_its_turn(world):
    world.cluster.deny(Right("list", "", "nodes"))
    found = looks(world)
    assert found["images"].good is None
    assert found["Prometheus"].good is True


def test_the_example_is_an_experiment():
    assert spec.loads(example("")).app.namespace == ""
    assert spec.loads(example("shop")).app.namespace == "shop"


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Far:
    """A clock that is ahead, and shows whole steps; its answers take time, and so does sleeping."""

    def __init__(self, ahead, resolution=1.0, there=0.003, back=0.02):
        self.now, self.ahead, self.resolution, self.there, self.back = 1.7e9 + 0.4, ahead, resolution, there, back

    def ask(self):
        self.now += self.there
        shown = (self.now + self.ahead) // self.resolution * self.resolution
        self.now += self.back
        return shown

    def sleep(self, seconds):
        self.now += seconds

    def clock(self):
        return Clock(self.ask, self.resolution)


@given(st.floats(-100, 100), st.sampled_from([1.0, 0.001]), st.floats(0, 0.02), st.floats(0, 0.02))
def test_the_true_skew_lies_within_what_is_told(ahead, resolution, there, back):
    far = Far(ahead, resolution, there, back)
    low, high = skew(far.clock(), lambda: far.now, far.sleep)
    assert low - 1e-6 <= ahead <= high + 1e-6
    assert high - low < 0.12


@pytest.mark.parametrize(("ahead", "good"), [(0.1, True), (-0.2, True), (30.0, False), (-30.0, False), (0.5, None)])
def test_a_clock_is_judged_by_half_a_scrape(world, ahead, good):
    far = Far(ahead, 0.1)
    found = looks(world, prometheus_clock=far.clock(), wall=lambda: far.now, sleep=far.sleep)["clock of Prometheus"]
    assert found.good is good
    assert (found.fix == "") is bool(good)
    assert found.said.endswith("at most 0.5 s")


def test_a_clock_that_was_set_meanwhile_is_not_judged(world):
    times = itertools.chain([1e9], itertools.repeat(2e9))
    clock = Clock(lambda: next(times), 1.0)
    found = looks(world, api_clock=clock, wall=lambda: 1e9, sleep=lambda _s: None)["clock of the API server"]
    assert found.good is None


def test_a_clock_that_does_not_answer_is_told(world):
    def away():
        raise UnreachableError("no answer")

    assert looks(world, api_clock=Clock(away, 1.0))["clock of the API server"].said == "no answer"
