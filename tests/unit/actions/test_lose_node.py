"""Nodes lost from outside: seen as Kubernetes sees it, healed to the last, and never on machines that are not ours."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, heal_later, play, story

from chaoskit import spec
from chaoskit.actions.lose_node import FreezeNode, PowerOffNode, UnplugNode
from chaoskit.adapters.fake import FakeWorld, Timings, manifests
from chaoskit.errors import UsageError
from chaoskit.journal import Journal
from chaoskit.model import Right, Target, Verdict
from chaoskit.objects import Objects, condition, restarts
from chaoskit.plan import check_possible

QUICK = Timings(node_grace=4.0, toleration=3.0, node_start=1.0)
VERBS = ("power_off_node", "freeze_node", "unplug_node")
FAULT = "    kill_pod: {of: deployment/front, mode: now}\n    watch: 4s\n"


def told(folder, fault, *, watch="15s", more="", **how):
    """A run in which a node is lost, and perhaps more steps follow."""
    text = EXPERIMENT.replace(FAULT, f"    {fault}\n    watch: {watch}\n{more}")
    text = text.replace("recovery: {of: lose a pod, within: 5s}", "recovery: {of: lose a pod, within: 12s}")
    text = text.replace("outage: {of: lose a pod, at_most: 1s}", "outage: {of: lose a pod, at_most: 6s}")
    how.setdefault("world", FakeWorld(7, timings=QUICK))
    return play(story(folder, text, **how))


def node(run, named):
    return next(o for o in run.world.cluster.there("node") if o["metadata"]["name"] == named)


@pytest.mark.parametrize("verb", VERBS)
def test_a_lost_node_is_seen_when_it_is_not_ready_and_healed_when_it_is_again(tmp_path, verb):
    run = told(tmp_path, f"{verb}: {{of: deployment/front}}")
    assert run.judged().exit_code == 0, run.judged().sentence
    (landed,) = run.entries("landed")
    assert landed.data["how"].startswith("the node is not Ready any more: Unknown")
    (healed,) = [e for e in run.entries("healed") if "node is Ready again" in e.data["how"]]
    assert healed.data["done"]
    assert all(condition(o, "Ready") for o in run.world.cluster.there("node"))
    assert run.residue() == []


def test_its_pods_recover_in_the_time_that_the_timings_predict(tmp_path):
    run = told(tmp_path, "power_off_node: {of: deployment/front}")
    (recovery,) = [f for f in run.judged().findings if f.kind == "recovery"]
    low, high = recovery.evidence[0].data["predicted"]["span"]
    assert low - 0.5 <= recovery.value <= high + 0.5
    assert "predicted" in recovery.reason
    assert "tolerated 3 s" in recovery.reason


def test_pods_that_tolerate_a_dead_node_for_long_do_not_recover(tmp_path):
    forever = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    front = manifests.deployment("front", 3)
    front["spec"]["template"]["spec"]["tolerations"] = [forever]
    run = told(
        tmp_path,
        "power_off_node: {of: deployment/front}",
        shop=(front, manifests.service("front", kind="LoadBalancer")),
    )
    (recovery,) = [f for f in run.judged().findings if f.kind == "recovery"]
    assert recovery.verdict is Verdict.FAILED
    assert "replacement created was not seen" in recovery.reason
    assert "predicted: never" in recovery.reason


def test_what_was_frozen_goes_on_where_it_stood_and_what_was_off_starts_anew(tmp_path):
    """Both before their pods are given up: a step later the node is given back."""
    more = "  - name: give it back\n    undo: {of: lose a pod}\n    watch: 6s\n"
    patient = Timings(node_grace=2.0, toleration=60.0, node_start=1.0)
    counts = {}
    for verb in VERBS:
        text = EXPERIMENT.replace(FAULT, f"    {verb}: {{name: node2}}\n    watch: 4s\n{more}")
        world = FakeWorld(7, timings=patient)
        world.cluster.create(manifests.namespace("other"))
        world.cluster.create(manifests.deployment("front", 3), "other")
        play(story(tmp_path / verb, text.replace("  - recovery: {of: lose a pod, within: 5s}\n", ""), world=world))
        counts[verb] = sum(restarts(p) for p in world.cluster.there("pod", "other"))
    assert counts == {"power_off_node": 1, "freeze_node": 0, "unplug_node": 0}


class Killed(BaseException):
    """What kill -9 is to the process."""


class Dying(Journal):
    """A journal whose process is killed when the fault has landed: from then on nothing is written or done."""

    dead = False

    def write(self, kind, at, **data):
        self.dead = self.dead or kind == "landed"
        if self.dead:
            raise Killed
        return super().write(kind, at, **data)


@pytest.mark.parametrize("from_journal", [True, False], ids=["with its folder", "from the cluster alone"])
def test_a_run_that_is_killed_leaves_a_mark_by_which_the_node_is_given_back(tmp_path, from_journal):
    text = EXPERIMENT.replace(FAULT, "    power_off_node: {name: node2}\n    watch: 8s\n")
    begun = story(tmp_path, text, world=FakeWorld(7, timings=QUICK))
    with pytest.raises(Killed):
        play(begun, Dying)
    assert not condition(node(begun, "node2"), "Ready")
    assert all(healed.done for _, healed in heal_later(begun, from_journal=from_journal))
    assert condition(node(begun, "node2"), "Ready")
    assert begun.residue() == []


@pytest.mark.parametrize("verb", ["power_off_node", "freeze_node", "unplug_node"])
def test_machines_that_chaoskit_did_not_make_are_refused_before_a_run(verb):
    text = EXPERIMENT.replace(FAULT, f"    {verb}: {{name: node2}}\n    watch: 8s\n")
    with pytest.raises(UsageError, match="needs a cluster that chaoskit made") as refused:
        check_possible(spec.loads(text))
    assert "leave --context out" in refused.value.fix
    check_possible(spec.loads(EXPERIMENT))


def test_a_node_that_is_down_already_is_no_candidate():
    found = Objects()
    found.put("node", [made("n1", "True"), made("n2", "Unknown")])
    for action in (PowerOffNode(zone="z"), FreezeNode(zone="z"), UnplugNode(zone="z")):
        assert [t.name for t in action.candidates(found, NAMESPACE)] == ["n1"]


def test_all_nodes_of_a_zone_are_a_share_of_it():
    assert [PowerOffNode(zone="z", count=n).number(3) for n in (1, "100%", "50%")] == [1, 3, 1]


def test_a_zone_of_more_nodes_than_the_limit_allows_is_refused(tmp_path):
    run = told(tmp_path, "power_off_node: {of: deployment/front, count: 100%}")
    assert "safety limits allow 1" in str(run.ending.error)
    assert [a.verb for a in run.world.cluster.acts if a.verb == "power_off"] == []


def test_the_rights_are_those_to_mark_the_node():
    assert set(PowerOffNode(name="n").rights(NAMESPACE)) == {Right("get", "", "nodes"), Right("patch", "", "nodes")}


@pytest.mark.parametrize(("action", "back"), [(PowerOffNode, "power on"), (FreezeNode, "thaw"), (UnplugNode, "plug")])
def test_the_undo_is_told_beforehand(action, back):
    target = Target("node", "n1", "", "u", "n1", {"ready": True})
    assert action(name="n1").undo(target) == f"{back} n1: chaoskit heal"


def made(named, status):
    meta = {"name": named, "uid": named, "labels": {"topology.kubernetes.io/zone": "z"}}
    return {"metadata": meta, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": status}]}}
