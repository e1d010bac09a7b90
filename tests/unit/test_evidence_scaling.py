"""What the watch tells of an autoscaler: its decisions, what its formula says of them, and the replicas that came."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scaling import SHOP, autoscaler, grown, replicas, workload
from streams import endpoints, gone, life, pod, record, sample, seen

from chaoskit.evidence_scaling import HPA, Reading, scaling
from chaoskit.model import ClusterInfo

ACCELERATED = {"hpa_downscale_stabilization": 30.0, "hpa_cpu_initialization_period": 10.0, "hpa_sync_period": 2.0}
INFO = ClusterInfo("fake", "fake", "https://fake.invalid", "v1.37.2", timings=ACCELERATED)


def told(*events, **changes):
    found = scaling(record(events=tuple(sorted(events, key=lambda e: e.at)), info=INFO, **changes), "front")
    assert found is not None
    return found


def looks(*statuses, pods=2, **spec):
    """What it makes of statuses (at, found, wanted, CPU in percent), with `pods` old pods all the time."""
    events = [*SHOP, *replicas(pods), *(autoscaler(*status, **spec) for status in statuses)]
    return told(*events).looks


# ── decisions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_decision_is_told_with_what_it_read_and_what_the_formula_says():
    before, decision = looks((5.0, 2, 2, 40), (12.0, 2, 4, 119))
    assert not before.decision
    assert (decision.found, decision.wanted, decision.decision) == (2, 4, True)
    assert decision.readings == (Reading("cpu", 119.0, 60.0, "%"),)
    assert (decision.by_formula, decision.allowed, decision.explained) == ((4, 4), (4, 4), True)


@pytest.mark.parametrize(
    ("found", "wanted", "cpu", "explained"),
    [
        (2, 2, 66, True),  # Within ten percent of the target nothing changes.
        (2, 3, 66, False),
        (2, 3, 67, True),
        (2, 2, 67, False),
        (2, 4, 119, True),
        (2, 3, 119, False),
        (2, 5, 119, False),
        (4, 4, 54, True),
        (4, 4, 900, False),
        (4, 8, 900, True),  # The maximum.
    ],
)
def test_a_decision_is_right_if_the_formula_says_the_same(found, wanted, cpu, explained):
    (look,) = looks((12.0, found, wanted, cpu), pods=found)
    assert look.explained is explained


def test_on_the_way_down_the_highest_of_the_recent_recommendations_counts():
    statuses = [(20.0, 5, 5, 62), (30.0, 5, 5, 18), (45.0, 5, 5, 18), (50.0, 5, 2, 18)]
    assert [look.explained for look in looks(*statuses, pods=5)] == [True] * 3  # One said nothing new.
    at_once = looks((20.0, 5, 5, 62), (30.0, 5, 2, 18), pods=5, down_s=0)
    assert at_once[1].explained is True
    too_soon = looks((20.0, 5, 5, 62), (30.0, 5, 2, 18), pods=5)
    assert too_soon[1].explained is False
    assert too_soon[1].allowed == (5, 5)


def test_on_the_way_up_a_window_makes_the_lowest_count():
    waited = looks((20.0, 2, 2, 60), (22.0, 2, 2, 180), (40.0, 2, 6, 180), up_s=10)
    assert [look.explained for look in waited] == [True] * 3
    hasty = looks((20.0, 2, 2, 60), (24.0, 2, 6, 180), up_s=10)
    assert hasty[1].explained is False


def test_rates_bound_a_decision_until_their_period_is_over():
    one = [{"type": "Pods", "value": 1, "periodSeconds": 10}]
    slow = looks((20.0, 2, 3, 180), (24.0, 3, 3, 180), (32.0, 3, 4, 180), pods=3, up=one)
    assert [look.explained for look in slow] == [True] * 3
    fast = looks((20.0, 2, 3, 180), (24.0, 3, 4, 180), pods=3, up=one)
    assert fast[1].explained is False
    closed = looks((20.0, 2, 2, 180), up=one, up_by="Disabled")
    assert closed[0].explained is True


def test_without_a_behaviour_one_decision_doubles_at_most():
    (look,) = looks((20.0, 3, 6, 900), pods=3, behaviour=False)
    assert (look.allowed, look.explained) == ((6, 6), True)
    (look,) = looks((20.0, 1, 4, 900), pods=1, behaviour=False)
    assert look.explained is True


def test_a_young_pod_may_count_or_not():
    """Two are old, and two came just before: idle on the way up, if they are not counted yet."""
    events = [*SHOP, *replicas(2), *life("front-3", 18.0), *life("front-4", 18.5), autoscaler(22.0, 4, 5, 143)]
    (look,) = told(*events).looks
    assert look.by_formula == (5, 10)
    assert look.explained is True


def test_a_metric_that_is_missing_leaves_a_decision_unexplained():
    (look,) = looks((20.0, 2, 4, None))
    assert look.explained is None
    assert not look.decision


def test_trouble_is_told_in_its_own_words():
    (look,) = looks((20.0, 2, 2, None), trouble="failed to get cpu utilization: missing request for cpu")
    assert "missing request for cpu" in look.trouble


def test_memory_and_averages_are_read_too():
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "64Mi"}},
    }
    read = {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "134217728"}}}
    event = autoscaler(20.0, 2, 4, 1)
    o = {**event.object, "spec": {**event.object["spec"], "metrics": [memory]}}
    o["status"] = {**o["status"], "currentMetrics": [read]}
    (look,) = told(*SHOP, *replicas(2), seen(20.0, o, HPA)).looks
    assert look.readings == (Reading("memory", 2.0**27, 2.0**26, ""),)
    assert look.explained is True


def test_an_edge_that_was_left_is_gone_back_to_without_a_metric():
    (look,) = looks((20.0, 9, 8, 60), pods=9)
    assert (look.allowed, look.explained) == ((8, 8), True)


def test_the_time_of_a_decision_is_when_the_workload_was_told():
    found = told(*SHOP, *replicas(2), workload(11.9, 4), autoscaler(12.0, 2, 4, 119))
    assert found.decided(found.decisions[0]) == 11.9
    assert found.scaled == ((0.0, 2), (11.9, 4))


# ── replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_new_replicas_are_followed_to_their_first_answer():
    found = told(*grown(at=12.0), locust=(sample(14.0, answerer="front-3|1|blue"),))
    three = next(p for p in found.pods if p.name == "front-3")
    assert (three.created, three.ready, three.served) == (12.1, 13.1, 13.3)
    assert three.answered == pytest.approx(14.0045)
    assert found.serving == ((0.0, 2), (13.3, 3))
    assert [found.serving_at(at) for at in (1.0, 13.0, 14.0)] == [2, 2, 3]


def test_pods_of_others_are_not_its_replicas():
    other = {**pod("back-1"), "metadata": {**pod("back-1")["metadata"], "labels": {"app": "back"}}}
    found = told(*grown(at=12.0), seen(1.0, other), endpoints(1.5, "back-1", name="back-abc"))
    assert {p.name for p in found.pods} == {"front-1", "front-2", "front-3"}
    assert found.serving[-1][1] == 3


def test_a_replica_that_went_is_known_by_its_name():
    found = told(*grown(at=12.0), gone(15.0, pod("front-3")))
    assert next(p for p in found.pods if p.name == "front-3").ended == 15.0


def test_where_there_is_no_autoscaler_there_is_nothing_to_tell():
    assert scaling(record(), "front") is None
    assert scaling(record(events=tuple(grown(at=12.0))), "back") is None


# ── what always holds ────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 8), st.integers(0, 400), st.integers(10, 200), st.data())
def test_the_controller_is_never_contradicted(there, usage, target, data):
    """Whatever number of young pods it counted: the computation as the controller makes it lies in the range."""
    old = data.draw(st.integers(0, there))
    counted = data.draw(st.integers(max(1, old), there))
    each = [usage] * counted
    assume(sum(each) // counted == usage)
    wanted = controller(each, there - counted, there, target)
    young = [e for n in range(old + 1, there + 1) for e in life(f"front-{n}", 19.0)]
    events = [*SHOP, *replicas(old), *young, autoscaler(22.0, there, there, usage, target=target, most=1000)]
    (look,) = told(*events).looks
    assert look.by_formula is not None
    assert look.by_formula[0] <= wanted <= look.by_formula[1]


def controller(each, unready, current, target):
    """GetResourceReplicas of Kubernetes, for pods that each ask for 100 units; none is missing its metrics."""
    usage = sum(each) * 100 // (100 * len(each))
    ratio = usage / target
    if not (unready and ratio > 1):
        return current if 0.9 <= ratio <= 1.1 else math.ceil(ratio * len(each))
    number = len(each) + unready
    new = (sum(each) * 100 // (100 * number)) / target
    size = math.ceil(new * number)
    return current if 0.9 <= new <= 1.1 or new < 1 or size < current else size


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 500)), min_size=1, max_size=6))
def test_what_is_allowed_lies_between_minimum_and_maximum(statuses):
    for look in looks(*((10.0 + 2 * i, *status) for i, status in enumerate(statuses)), pods=8):
        assert look.allowed is not None
        assert look.least <= look.allowed[0] <= look.allowed[1] <= look.most
