"""Nodes cordoned and drained: only those meant, as fast as budgets allow, and back to the exact prior state."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story

from chaoskit.actions.cordon_node import CordonNode
from chaoskit.actions.drain_node import DrainNode, evictable
from chaoskit.adapters.fake import NEVER, Behaviour, Fault, manifests
from chaoskit.model import Right, Target, Verdict
from chaoskit.objects import Objects, name, node_of

STEP = "kill_pod: {of: deployment/front, mode: now}"


def told(folder, step, *, watch="4s", **more):
    text = EXPERIMENT.replace(STEP, step).replace("watch: 4s", f"watch: {watch}")
    if step.startswith("cordon"):
        text = text.replace("  - recovery: {of: lose a pod, within: 5s}\n", "")
    return play(story(folder, text, **more))


def gone_at(run):
    """When the watch told of the last of the evicted pods' going."""
    import json

    evicted = {a.uid for a in run.hit()}
    lines = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    return max(e["at"] for e in lines if e["change"] == "gone" and e["object"]["metadata"]["uid"] in evicted)


def test_a_drain_ends_with_the_last_pod_s_going(tmp_path):
    shop = (manifests.deployment("front", 3), manifests.service("front", kind="LoadBalancer"))

    def slow(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(stop_s=1.7))

    run = told(tmp_path, "drain_node: {of: deployment/front}", watch="8s", shop=shop, told=slow)
    assert run.judged().exit_code == 0, run.judged().sentence
    (note,) = run.entries("note")
    assert 0 <= note.at - gone_at(run) < 0.1


def test_a_drain_takes_only_the_experiment_s_pods_of_its_node(tmp_path):
    def neighbours(world):
        world.cluster.create(manifests.namespace("other"))
        world.cluster.create(manifests.deployment("front", 3), "other")

    run = told(tmp_path, "drain_node: {of: deployment/front}", told=neighbours)
    assert run.hit()
    assert {a.namespace for a in run.hit()} == {NAMESPACE}
    (node,) = {t.name for t in run.judged().targets if t.kind == "node"}
    assert {t.node for t in run.judged().targets} == {node}


def test_a_drain_that_a_budget_blocks_gives_up_at_its_deadline_and_uncordons(tmp_path):
    run = told(
        tmp_path,
        "drain_node: {of: deployment/front, within: 3s}",
        shop=(*SHOP, manifests.budget("front", minAvailable=3)),
    )
    assert run.hit() == []
    assert "after 3 s" in run.entries("note")[0].data["text"]
    assert run.residue() == []
    assert run.judged().exit_code == 3


def test_a_drain_that_did_not_empty_its_node_has_not_landed(tmp_path):
    """Whatever followed then followed from something else: it must not pass."""
    step = "drain_node: {of: deployment/front, within: 2s}"
    text = EXPERIMENT.replace(STEP, step).replace("  - recovery: {of: lose a pod, within: 5s}\n", "")
    run = play(story(tmp_path, text, shop=(*SHOP, manifests.budget("front", minAvailable=3))))
    (landed,) = [f for f in run.judged().findings if "landed" in f.name]
    assert landed.verdict is Verdict.INCONCLUSIVE
    assert "still carries front-" in landed.reason
    assert run.judged().exit_code == 3


def test_a_drain_of_pods_that_ignore_their_end_gives_up_at_its_deadline(tmp_path):
    def stubborn(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(stop_s=NEVER))

    run = told(tmp_path, "drain_node: {of: deployment/front, within: 3s}", told=stubborn)
    assert "still carries front-" in run.entries("note")[0].data["text"]
    assert run.residue() == []


def test_the_load_lasts_as_long_as_a_drain_may(tmp_path):
    shop = (*SHOP, manifests.budget("front", minAvailable=3))
    run = told(tmp_path, "drain_node: {of: deployment/front, within: 400s}", shop=shop)
    assert run.ending.error is None
    assert run.ending.how == "complete"
    assert "after 400 s" in run.entries("note")[0].data["text"]


def test_an_eviction_whose_answer_is_lost_is_one_eviction(tmp_path):
    run = told(
        tmp_path,
        "drain_node: {of: deployment/front}",
        watch="20s",
        told=lambda world: world.cluster.trouble.next(Fault.LOST, verb="evict"),
    )
    assert run.residue() == []
    judged = run.judged()
    assert judged.asked[0].verdict.value == "passed", judged.asked[0].reason
    assert len(judged.asked[0].evidence) == 1


def test_a_cordon_leaves_the_pods_where_they_are(tmp_path):
    run = told(tmp_path, "cordon_node: {of: deployment/front}")
    assert run.judged().exit_code == 0, run.judged().sentence
    assert run.hit() == []
    (landed,) = run.entries("landed")
    assert landed.data["how"] == "the node is unschedulable"


def test_a_zone_is_its_nodes(tmp_path):
    run = told(tmp_path, "cordon_node: {zone: zone2}")
    assert [t.name for t in run.judged().targets] == ["node2"]


def test_a_cordon_whose_mark_cannot_be_written_is_not_made(tmp_path):
    """Nobody else could undo it."""
    run = told(
        tmp_path,
        "cordon_node: {name: node2}",
        told=lambda world: world.cluster.trouble.next(Fault.RESET, verb="patch", kind="node"),
    )
    assert not [a for a in run.world.cluster.acts if a.verb == "patch" and a.body.get("spec")]
    assert run.judged().exit_code == 3
    assert "could not be written" in run.judged().sentence


def pod(named, *, node="n1", owner="ReplicaSet", phase="Running", ns=NAMESPACE, **more):
    owners = [{"kind": owner, "uid": "o", "controller": True}]
    meta = {"name": named, "namespace": ns, "uid": named, "ownerReferences": owners, **more}
    return {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": phase}}


def test_daemons_and_finished_pods_are_not_evicted():
    found = Objects()
    found.put(
        "pod",
        [
            pod("a"),
            pod("b", owner="DaemonSet"),
            pod("c", phase="Succeeded"),
            pod("d", node="n2"),
            pod("e", ns="other"),
            pod("f", owner="StatefulSet"),
        ],
    )
    assert [name(p) for p in evictable(found, "n1", NAMESPACE)] == ["a", "f"]
    assert {node_of(p) for p in evictable(found, "n1", NAMESPACE)} == {"n1"}


def test_an_evicted_pod_whose_containers_have_ended_is_waited_for_until_it_is_gone():
    """The kubelet calls it Failed first, if it had to be killed, and takes it away some tenths of a second later."""
    found = Objects()
    found.put("pod", [pod("a", phase="Failed", deletionTimestamp="2027-01-15T08:00:00Z")])
    assert [name(p) for p in evictable(found, "n1", NAMESPACE)] == ["a"]


@pytest.mark.parametrize(
    ("prior", "undo"),
    [
        ({"unschedulable": False}, "kubectl uncordon n1"),
        ({"unschedulable": True}, "nothing: n1 is cordoned already, and stays so"),
    ],
)
def test_the_undo_is_told_beforehand(prior, undo):
    assert CordonNode(name="n1").undo(Target("node", "n1", "", "u", "n1", prior)) == undo


def test_the_rights_are_those_of_a_cordon_and_the_evictions():
    cordon = {Right("get", "", "nodes"), Right("patch", "", "nodes")}
    assert set(CordonNode(name="n").rights(NAMESPACE)) == cordon
    evict = {Right("get", "", "pods", NAMESPACE), Right("create", "", "pods", NAMESPACE, "eviction")}
    assert set(DrainNode(name="n").rights(NAMESPACE)) == cordon | evict


# ── drained ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def drained(folder, step, within, **more):
    text = EXPERIMENT.replace(STEP, step).replace("watch: 4s", "watch: 10s")
    text = text.replace("recovery: {of: lose a pod, within: 5s}", f"drained: {{of: lose a pod, within: {within}}}")
    run = play(story(folder, text, **more))
    (found,) = [f for f in run.judged().findings if f.kind == "drained"]
    return found


def test_a_drain_is_judged_by_when_the_last_pod_left(tmp_path):
    found = drained(tmp_path, "drain_node: {of: deployment/front}", "8s")
    assert found.verdict is Verdict.PASSED
    assert 0.3 < found.value < 2.0
    assert "the last to leave was front-" in found.reason


def test_a_budget_that_lets_nobody_go_fails_the_drain_and_is_named(tmp_path):
    """The step has not landed then, and all that asks what followed from it is inconclusive; this is not."""
    shop = (*SHOP, manifests.budget("front", maxUnavailable=0))
    found = drained(tmp_path, "drain_node: {of: deployment/front, within: 5s}", "8s", shop=shop)
    assert found.verdict is Verdict.FAILED
    assert "its disruption budget front allowed no disruption" in found.reason


def test_a_drain_that_was_watched_for_less_than_the_limit_is_inconclusive(tmp_path):
    shop = (*SHOP, manifests.budget("front", maxUnavailable=0))
    found = drained(tmp_path, "drain_node: {of: deployment/front, within: 5s}", "30s", shop=shop)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "watch longer" in found.reason


@pytest.mark.parametrize("step", ["kill_pod: {of: deployment/front}", "cordon_node: {of: deployment/front}"])
def test_a_step_that_drains_nothing_is_no_drain_that_failed(tmp_path, step):
    found = drained(tmp_path, step, "8s")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "closed no node to drain it" in found.reason
