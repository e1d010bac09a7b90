"""Who is hit: never beyond the limits, never twice, the same for the same seed, and never what is protected."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import plan, spec
from chaoskit.actions.cordon_node import CordonNode
from chaoskit.actions.kill_pod import KillPod
from chaoskit.errors import RefusedError, UsageError
from chaoskit.model import OWN_LABEL, PROTECT_ANNOTATION, Right, Target
from chaoskit.objects import CONTROL_PLANE_LABEL, Objects

NS = "shop"


def pod(name, app="front", *, ns=NS, protected=False, ready=True, node="node1", terminating=False):
    meta = {
        "name": name,
        "namespace": ns,
        "uid": f"uid-{name}",
        "labels": {"app": app},
        "annotations": {PROTECT_ANNOTATION: "yes"} if protected else {},
        "ownerReferences": [{"kind": "ReplicaSet", "uid": f"rs-{app}", "controller": True}],
    }
    if terminating:
        meta["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    return {
        "metadata": meta,
        "spec": {"nodeName": node},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def node(name, *, control=False, protected=False):
    labels = {CONTROL_PLANE_LABEL: ""} if control else {}
    notes = {PROTECT_ANNOTATION: "yes"} if protected else {}
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, "annotations": notes}, "spec": {}}


def objects(pods, nodes=()):
    found = Objects()
    selector = {"matchLabels": {"app": "front"}}
    found.put(
        "deployment", [{"metadata": {"name": "front", "namespace": NS, "uid": "d"}, "spec": {"selector": selector}}]
    )
    found.put("pod", pods)
    found.put("node", nodes)
    return found


def choose(action, found, seed=1, step=0, **safety):
    planned = plan.Plan(spec.loads(TEXT), "r", NS, seed)
    return plan.choose(action, found, NS, spec.Safety(**safety), planned.rng(step))


TEXT = "name: x\nsteps: [{name: a, kill_pod: {of: deployment/front}}]\nexpect: [recovery: {of: a, within: 1s}]\n"
PODS = st.lists(
    st.tuples(st.sampled_from(["front", "back"]), st.booleans(), st.booleans(), st.sampled_from([NS, "other"])),
    max_size=12,
).map(
    lambda kinds: [
        pod(f"p{i}", app, ns=ns, protected=protected, terminating=terminating)
        for i, (app, protected, terminating, ns) in enumerate(kinds)
    ]
)


@given(
    pods=PODS,
    count=st.integers(1, 12) | st.integers(0, 100).map("{}%".format),
    most=st.integers(0, 100),
    seed=st.integers(),
)
def test_targets_are_chosen_within_the_limits_without_replacement(pods, count, most, seed):
    found = objects(pods)
    action = KillPod(of="deployment/front", count=count)
    try:
        chosen = choose(action, found, seed, at_most=f"{most}%")
    except RefusedError as error:
        assert error.what
        return
    mine = [p for p in pods if p["metadata"]["labels"]["app"] == "front" and p["metadata"]["namespace"] == NS]
    living = [p for p in mine if "deletionTimestamp" not in p["metadata"]]
    assert 1 <= len(chosen) <= max(1, Fraction(most, 100) * len(living))
    assert len({t.uid for t in chosen}) == len(chosen)
    allowed = {p["metadata"]["uid"] for p in living if not p["metadata"]["annotations"]}
    assert {t.uid for t in chosen} <= allowed
    assert choose(action, found, seed, at_most=f"{most}%") == chosen, "the same seed hits the same pods"


def test_other_seeds_and_steps_hit_others():
    found = objects([pod(f"p{i}") for i in range(8)])
    action = KillPod(of="deployment/front")
    assert len({choose(action, found, seed)[0].name for seed in range(30)}) > 3
    assert len({choose(action, found, 1, step)[0].name for step in range(30)}) > 3


def test_the_choice_does_not_depend_on_the_order_of_arrival():
    pods = [pod(f"p{i}") for i in range(8)]
    action = KillPod(of="deployment/front", count=3)
    assert choose(action, objects(pods)) == choose(action, objects(pods[::-1]))


def test_fifty_seven_per_cent_of_a_hundred_are_fifty_seven():
    """0.57 × 100 is a little less in binary."""
    found = objects([pod(f"p{i:02}") for i in range(100)])
    assert len(choose(KillPod(of="deployment/front", count="57%"), found, at_most="57%")) == 57
    assert len(choose(KillPod(of="deployment/front", count="57%"), found, at_most="100%")) == 57


@pytest.mark.parametrize(
    ("pods", "count", "says"),
    [
        ([], 1, "finds nothing to hit in namespace shop"),
        ([pod("a", terminating=True)], 1, "finds nothing to hit"),
        ([pod("a", protected=True)], 1, f"carries the annotation {PROTECT_ANNOTATION}"),
        ([pod("a"), pod("b"), pod("c")], 2, "wants 2 of 3 candidates; the safety limits allow 1"),
        ([pod("a"), pod("b", protected=True), pod("c"), pod("d")], 4, "the safety limits allow 2"),
        ([pod("a", protected=True), pod("b", protected=True), pod("c", protected=True), pod("d")], 2, "there are 1"),
    ],
)
def test_a_refusal_says_why(pods, count, says):
    with pytest.raises(RefusedError) as caught:
        choose(KillPod(of="deployment/front", count=count), objects(pods))
    assert says in str(caught.value)


def test_a_workload_that_is_not_there_is_a_mistake_of_the_experiment():
    with pytest.raises(
        UsageError, match=r"there is no deployment/frnt in namespace shop(.|\n)*kubectl get deployments"
    ):
        choose(KillPod(of="deployment/frnt"), objects([pod("a")]))


@given(nodes=st.integers(1, 9), count=st.integers(1, 9), most=st.integers(0, 100))
def test_nodes_are_limited_by_their_own_share(nodes, count, most):
    carrying = objects([pod(f"p{i}", node=f"n{i}") for i in range(nodes)], [node(f"n{i}") for i in range(nodes)])
    try:
        chosen = choose(CordonNode(of="deployment/front", count=count), carrying, nodes_at_most=f"{most}%")
    except RefusedError:
        return
    assert len(chosen) <= max(1, Fraction(most, 100) * nodes)


def own(phase="Running"):
    return {
        "metadata": {
            "name": "nightly",
            "namespace": NS,
            "uid": "uid-own",
            "labels": {"app": "front", OWN_LABEL: "true"},
        },
        "spec": {"nodeName": "node1"},
        "status": {"phase": phase},
    }


def test_chaoskit_s_own_pods_and_their_nodes_are_never_hit():
    found = objects([own(), pod("a", node="node1"), pod("b", node="node2")], [node("node1"), node("node2")])
    drain = CordonNode(of="deployment/front")
    assert {choose(drain, found, seed)[0].name for seed in range(20)} == {"node2"}
    kill = KillPod(of="deployment/front")
    assert {choose(kill, found, seed)[0].name for seed in range(20)} == {"a", "b"}
    with pytest.raises(RefusedError, match=r"node/node1 carries chaoskit's own pod/nightly"):
        choose(CordonNode(name="node1"), found)


def test_a_night_that_is_over_protects_no_node():
    found = objects([own("Succeeded"), pod("a", node="node1")], [node("node1")])
    assert choose(CordonNode(name="node1"), found)[0].name == "node1"


def test_control_plane_and_protected_nodes_are_never_hit():
    for found in (node("n1", control=True), node("n1", protected=True)):
        with pytest.raises(RefusedError, match="every candidate is protected"):
            choose(CordonNode(name="n1"), objects([], [found]))


def test_a_node_must_be_named_somehow():
    with pytest.raises(UsageError, match="nothing said would be every node"):
        choose(CordonNode(), objects([], [node("n1")]))


@pytest.mark.parametrize("namespace", plan.SYSTEM_NAMESPACES)
def test_system_namespaces_are_never_hit(namespace):
    target = Target("pod", "dns", namespace, "u")
    assert "system namespace" in plan.protected(target, Objects(), namespace)
    assert "outside the experiment's shop" in plan.protected(target, Objects(), NS)


@pytest.mark.parametrize("target", [Target("pod", "dns", "kube-system", "u"), Target("server", "etcd", "", "etcd")])
def test_the_platform_is_hit_only_by_who_says_so(target):
    assert "safety.platform is not true" in plan.protected(target, Objects(), NS)
    assert plan.protected(target, Objects(), NS, platform=True) == ""


@pytest.mark.parametrize("namespace", ["kube-public", "kube-node-lease", "another"])
def test_who_says_so_may_hit_no_other_namespace_for_that(namespace):
    target = Target("pod", "x", namespace, "u")
    assert "outside the experiment's shop" in plan.protected(target, Objects(), NS, platform=True)


def test_an_experiment_cannot_live_in_the_platforms_namespace():
    target = Target("pod", "dns", "kube-system", "u")
    assert "system namespace" in plan.protected(target, Objects(), "kube-system", platform=True)


def refused(found, target, *hit, keep_ready=2):
    return plan.refusal(target, hit, found, NS, spec.Safety(keep_ready=keep_ready))


def test_the_floor_of_ready_pods_is_looked_at_again_right_before_the_act():
    target = Target("pod", "a", NS, "uid-a")
    assert refused(objects([pod("a"), pod("b"), pod("c")]), target) == ""
    assert "1 ready pods would be left" in refused(objects([pod("a"), pod("b"), pod("c", ready=False)]), target)
    assert "1 ready pods would be left" in refused(objects([pod("a"), pod("b"), pod("x", "back")]), target)


def test_what_the_step_has_hit_already_counts_as_gone():
    """The watch may not have told of it yet."""
    found = objects([pod("a"), pod("b"), pod("c")])
    assert "1 ready pods would be left" in refused(found, Target("pod", "b", NS, "uid-b"), "uid-a")


def test_a_target_that_became_protected_meanwhile_is_spared():
    assert PROTECT_ANNOTATION in refused(
        objects([pod("a", protected=True)]), Target("pod", "a", NS, "uid-a"), keep_ready=0
    )


def test_queries_are_filled_in_with_a_window_of_four_scrapes():
    metrics = {
        "a": 'rate(x{ns="$namespace",s="$service"}[$window])',
        "b": 'label_replace(x,"a","$1","b","(.*)")',
    }
    experiment = spec.with_changes(spec.loads(TEXT), {"metrics": metrics})
    filled = plan.queries(experiment, NS, 15.0)
    assert filled["a"] == 'rate(x{ns="shop",s="front"}[60s])'
    assert filled["b"] == 'label_replace(x,"a","$1","b","(.*)")'
    assert "[5s]" in plan.queries(experiment, NS, 1.0)["a"]
    assert "[7s]" in plan.queries(experiment, NS, 1.6)["a"]


def test_rights_are_those_of_the_experiment_and_no_more():
    planned = plan.Plan(spec.loads(TEXT), "r", NS, 1, manifests=({"apiVersion": "apps/v1", "kind": "Deployment"},))
    found = plan.rights(planned)
    assert Right("delete", "", "pods", NS) in found
    assert Right("patch", "apps", "deployments", NS) in found
    assert Right("create", "", "namespaces") in found
    assert len(set(found)) == len(found)
    assert not [r for r in found if r.resource == "nodes" and r.verb not in ("get", "list", "watch")]
    there = plan.rights(plan.Plan(spec.loads(TEXT), "r", NS, 1))
    assert [r for r in there if r.resource == "namespaces"] == [Right("get", "", "namespaces", NS)]
    assert not [r for r in there if r.verb == "patch"]


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("pod", "pods"),
        ("networkpolicy", "networkpolicies"),
        ("ingress", "ingresses"),
        ("endpointslice", "endpointslices"),
    ],
)
def test_plurals_are_those_of_the_api(kind, plural):
    assert plan.plural(kind) == plural
