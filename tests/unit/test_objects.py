"""Reading raw objects: the state by UID, selection that never selects by accident, readiness that tells the truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import objects
from chaoskit.model import GAP, GONE, SEEN, Ref, WatchEvent
from chaoskit.objects import Objects

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


def thing(name="a", uid="", ns="shop", **more):
    return {"metadata": {"name": name, "namespace": ns, "uid": uid or name, **more}}


def test_events_keep_the_present_state():
    found = Objects()
    for change, o in ((SEEN, thing("a")), (SEEN, thing("b")), (GONE, thing("a")), (GAP, {}), (SEEN, thing("a", "a2"))):
        found.take(WatchEvent(0.0, change, "pod", o))
    assert [objects.uid(o) for o in found.all("pod")] == ["a2", "b"]
    assert found.named("pod", "a", "shop") is not None
    assert found.named("pod", "a", "elsewhere") is None
    assert found.by_uid("pod", "a") is None


@given(LABELS)
def test_an_empty_selector_selects_nothing(has):
    """Nobody is hit by having said nothing."""
    assert not objects.selects({}, has)
    assert not objects.matches({}, has)
    assert not objects.matches({"matchLabels": {}, "matchExpressions": []}, has)


@given(LABELS, LABELS)
def test_equality_selects_what_carries_all_of_it(wanted, has):
    assert objects.matches({"matchLabels": wanted}, has) is (bool(wanted) and wanted.items() <= has.items())


@pytest.mark.parametrize(
    ("operator", "values", "has", "fits"),
    [
        ("In", ["x", "y"], {"a": "x"}, True),
        ("In", ["x"], {}, False),
        ("NotIn", ["x"], {"a": "x"}, False),
        ("NotIn", ["x"], {}, True),
        ("Exists", None, {"a": ""}, True),
        ("Exists", None, {"b": ""}, False),
        ("DoesNotExist", None, {"b": ""}, True),
        ("Gt", ["1"], {"a": "2"}, False),
    ],
)
def test_expressions_are_honoured(operator, values, has, fits):
    expression = {"key": "a", "operator": operator, "values": values}
    assert objects.matches({"matchExpressions": [expression]}, has) is fits


def world(selector, kind="deployment"):
    found = Objects()
    found.put(kind, [{**thing("front", "w"), "spec": {"selector": selector}}])
    pods = [("a", "front", "shop"), ("b", "back", "shop"), ("c", "front", "other")]
    found.put("pod", [thing(n, ns=ns, labels={"app": app}) | {"spec": {}, "status": {}} for n, app, ns in pods])
    return found


def names(found):
    return [objects.name(o) for o in found]


def test_the_pods_of_a_workload_are_those_of_its_namespace_and_selector():
    assert names(world({"matchLabels": {"app": "front"}}).pods_of(Ref("deployment", "front"), "shop")) == ["a"]
    assert names(world({"app": "front"}, "service").pods_of(Ref("service", "front"), "shop")) == ["a"]
    assert world({}, "service").pods_of(Ref("service", "front"), "shop") == []
    assert world({}).pods_of(Ref("deployment", "none"), "shop") is None
    assert names(world({}).pods_of(Ref("pod", "b"), "shop")) == ["b"]


def pod(*, ready=True, terminating=False, states=({"running": {}},), conditions=()):
    stamps = {"deletionTimestamp": "2027-01-15T08:00:00Z"} if terminating else {}
    statuses = [{"name": f"c{i}", "state": state, "restartCount": i} for i, state in enumerate(states)]
    told = [{"type": "Ready", "status": str(ready)}, *conditions]
    return thing(**stamps) | {"spec": {"nodeName": "n"}, "status": {"conditions": told, "containerStatuses": statuses}}


def test_a_pod_on_its_way_out_is_not_ready():
    assert objects.ready(pod())
    assert not objects.ready(pod(terminating=True))
    assert not objects.ready(pod(ready=False))
    assert not objects.ready(thing())


def test_a_pod_is_started_when_every_container_runs():
    assert objects.started(pod(states=({"running": {}}, {"running": {}})))
    assert not objects.started(pod(states=({"running": {}}, {"waiting": {}})))
    assert not objects.started(pod(states=()))
    assert objects.restarts(pod(states=({"running": {}},) * 3)) == 3


def test_trouble_is_told_in_the_kubelet_s_words():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    assert objects.trouble(pod(states=(waiting,))) == "ImagePullBackOff: no such image"
    assert objects.trouble(pod(states=({"waiting": {"reason": "ContainerCreating"}},))) == ""
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    assert objects.trouble(pod(states=(), conditions=(full,))) == "Unschedulable: 0/3 nodes"


def test_an_endpoint_whose_condition_is_not_said_is_ready():
    """EndpointConditions: nil should be interpreted as true."""
    piece = {"endpoints": [{"targetRef": {"uid": "a"}}, {"conditions": {"ready": False}, "targetRef": {"uid": "b"}}]}
    assert list(objects.ready_endpoints([piece, {}])) == ["a"]


def test_times_are_read_to_the_second():
    assert objects.created_unix(thing(creationTimestamp="2027-01-15T08:00:00Z")) == 1_800_000_000.0
    assert objects.created_unix(thing()) is None


def test_the_controller_is_the_owner_that_controls():
    owners = [{"kind": "Other", "uid": "1"}, {"kind": "ReplicaSet", "uid": "2", "controller": True}]
    assert objects.controller(thing(ownerReferences=owners)) == ("replicaset", "2")
    assert objects.controller(thing()) == ("", "")
