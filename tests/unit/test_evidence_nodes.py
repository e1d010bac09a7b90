"""The pods of lost nodes: who they were, when they should be back, and where the ready ones are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import NS, STEP, act, gone, life, pod, record, seen

from chaoskit import evidence, evidence_nodes
from chaoskit.contracts import Act, StepRecord
from chaoskit.model import ClusterInfo, Ref, Target, WatchEvent
from chaoskit.objects import ZONE_LABEL

FRONT = Ref("deployment", "front")
TIMINGS = {
    "node_monitor_grace_period": 16.0,
    "node_lease_duration": 16.0,
    "node_monitor_period": 1.0,
    "unreachable_toleration": 10.0,
}


def node(name, *, ready=True, zone="", cordoned=False, taints=()):
    meta = {"name": name, "uid": name, "labels": {ZONE_LABEL: zone or f"zone-{name[-1]}"}}
    spec = {"unschedulable": True} if cordoned else {}
    if taints:
        spec["taints"] = [{"key": key, "effect": effect} for key, effect in taints]
    status = "True" if ready else "Unknown"
    return {"metadata": meta, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": status}]}}


def front():
    selector = {"matchLabels": {"app": "front"}}
    return {"metadata": {"name": "front", "namespace": NS, "uid": "d"}, "spec": {"selector": selector}}


def there(*pods, nodes=("node1", "node2", "node3")):
    """What the first listing tells."""
    listed = [*(seen(0.0, node(n), "node", first=True) for n in nodes), seen(0.0, front(), "deployment", first=True)]
    return [*listed, *(seen(0.0, p, first=True) for p in pods)]


def loss(events, *, at=10.0, until=80.0, name="node1", timings=TIMINGS, fault="power off"):
    """A run in which an act hits a node."""
    hit = Act(f"{fault} node/{name}", Target("node", name, "", name), at, at + 0.01, at + 15.0, "not Ready")
    told = sorted(events, key=lambda e: e.at)
    info = ClusterInfo("fake", "fake", "", "", timings=timings)
    step = StepRecord(STEP, "power_off_node", at, until, (hit,))
    return record(events=tuple(told), steps=(step,), info=info, ended=until + 5), step


def power_failure(*, returns=()):
    """front-1 is on node1, which is silent from 10 s on; noticed at 25 s, given up at 35 s."""
    return [
        *there(pod("front-1"), pod("front-2", node="node2"), pod("front-3", node="node3")),
        seen(25.0, node("node1", ready=False), "node"),
        seen(25.1, pod("front-1", ready=False)),
        seen(35.0, pod("front-1", ready=False, terminating=True)),
        *life("front-4", 35.1, ready=2.0),
        *returns,
    ]


def test_a_pod_of_a_lost_node_is_a_victim_and_its_replacement_ends_the_chain():
    run, step = loss(power_failure())
    (chain,) = evidence.recovery_chains(run, step)
    assert (chain.victim, chain.replacement) == ("front-1", "front-4")
    assert chain.seconds == pytest.approx(35.1 + 2.0 - 10.01)
    assert chain.at("fault accepted") == pytest.approx(10.01)


def test_more_of_its_kind_before_it_was_given_up_are_not_its_replacement():
    """An autoscaler answers to the loss sooner than the platform gives the pod up."""
    run, step = loss([*power_failure(), *life("front-more", 20.0)])
    (chain,) = evidence.recovery_chains(run, step)
    assert chain.replacement == "front-4"


def test_a_pod_that_is_never_given_up_has_no_replacement():
    events = [e for e in power_failure() if e.at < 30.0]
    run, step = loss([*events, *life("front-more", 40.0)])
    (chain,) = evidence.recovery_chains(run, step)
    assert chain.replacement == ""
    assert chain.missing == "replacement created"


def test_a_node_that_stayed_ready_lost_nobody():
    run, step = loss(there(pod("front-1")), fault="cordon")
    assert evidence_nodes.lost_pods(run, step) == ()


def test_daemons_finished_pods_those_of_others_and_those_on_their_way_out_are_not_to_be_replaced():
    daemon, job, other, leaving = pod("d", kind="DaemonSet"), pod("j"), pod("o"), pod("t", terminating=True)
    job["status"]["phase"] = "Succeeded"
    other["metadata"]["namespace"] = "elsewhere"
    events = [*there(daemon, job, other, leaving, pod("front-1")), seen(25.0, node("node1", ready=False), "node")]
    run, step = loss(events)
    assert [found.target.name for found in evidence_nodes.lost_pods(run, step)] == ["front-1"]


def test_a_pod_that_the_step_hit_itself_is_lost_once():
    run, step = loss(power_failure())
    both = StepRecord(STEP, "both", step.began, step.ended, (*step.acts, act(10.0, "front-1")))
    assert len(evidence.recovery_chains(run, both)) == 1


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def tolerating(seconds, key="node.kubernetes.io/unreachable"):
    found = pod("front-1")
    toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    found["spec"]["tolerations"] = [toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}]
    return found


def predicted(victim, **more):
    events = [*there(victim), *life("front-9", 1.0, ready=1.5), seen(25.0, node("node1", ready=False), "node")]
    run, step = loss(events, **more)
    return evidence_nodes.predictions(run, step)


def test_the_prediction_is_the_sum_of_grace_toleration_and_start():
    found = predicted(tolerating(30))["front-1"]
    assert found.noticed == (12.0, 17.0)
    assert found.tolerated == 30.0
    assert found.start == pytest.approx((1.5, 1.5))
    assert found.span == pytest.approx((43.5, 48.5))
    assert str(found) == "predicted 43.5 s to 48.5 s: noticed 12 s to 17 s, tolerated 30 s, start 1.5 s"


def test_a_pod_that_says_nothing_waits_as_long_as_the_api_server_writes_into_it():
    assert predicted(pod("front-1"))["front-1"].tolerated == 10.0
    assert predicted(tolerating(30, key="node.kubernetes.io/not-ready"))["front-1"].tolerated == 10.0


def test_a_pod_that_tolerates_without_end_is_never_replaced():
    found = predicted(tolerating(None))["front-1"]
    assert math.isinf(found.tolerated)
    assert str(found) == "predicted: never, for it tolerates a dead node without end"
    assert found.as_data()["span"] is None


def test_without_the_platform_s_timings_nothing_is_predicted():
    assert predicted(pod("front-1"), timings={}) == {}


# ── spread ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def spread(events, over="node", began=10.0, ended=20.0):
    run = record(events=tuple(sorted(events, key=lambda e: e.at)))
    return list(evidence_nodes.spreads(run, FRONT, over, began, ended))


def test_pods_are_counted_where_they_are_ready():
    (found,) = spread(
        there(pod("a"), pod("b", node="node2"), pod("c", node="node2"), pod("d", node="node3", ready=False))
    )
    assert found.counts == {"node1": 1, "node2": 2, "node3": 0}
    assert (found.total, found.skew, found.alone) == (3, 2, "")


def test_nodes_that_cannot_take_pods_do_not_count_as_empty():
    closed = [
        seen(1.0, node("node1", ready=False), "node"),
        seen(1.0, node("node2", cordoned=True), "node"),
        seen(1.0, node("node4", taints=[("dedicated", "NoSchedule")]), "node"),
    ]
    (found,) = spread([*there(pod("a", node="node3")), *closed])
    assert found.counts == {"node3": 1}


def test_all_of_several_in_one_zone_are_alone_there():
    (found,) = spread(there(pod("a"), pod("b"), pod("c")), over="zone")
    assert found.counts == {"zone-1": 3, "zone-2": 0, "zone-3": 0}
    assert found.alone == "zone-1"
    (one,) = spread(there(pod("a")), over="zone")
    assert one.alone == ""


def test_each_change_in_the_window_is_told_and_none_beyond_it():
    events = [*there(pod("a"), pod("b", node="node2")), gone(12.0, pod("a")), gone(30.0, pod("b", node="node2"))]
    assert [(s.at, s.total) for s in spread(events)] == [(10.0, 2), (12.0, 1)]


MOVES = st.lists(
    st.tuples(st.floats(0.1, 30.0), st.sampled_from("abcde"), st.integers(1, 3), st.booleans(), st.booleans()),
    unique_by=lambda move: move[0],
)


@given(MOVES)
def test_every_spread_counts_each_ready_pod_once(moves):
    events: list[WatchEvent] = there()
    for at, name, where, is_ready, leaves in moves:
        moved = pod(name, node=f"node{where}", ready=is_ready)
        events.append(gone(at, moved) if leaves else seen(at, moved))
    for found in spread(events):
        state = evidence_nodes.state_at(sorted(events, key=lambda e: e.at), found.at)
        ready_now = [p for p in state.all("pod") if p["status"]["conditions"][0]["status"] == "True"]
        assert found.total == len(ready_now)
        assert 0 <= found.skew <= found.total
        assert set(found.counts) >= {"node1", "node2", "node3"}
