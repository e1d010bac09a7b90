"""Putting things back: the exact prior state, once or many times, with the journal or from the cluster alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import heal
from chaoskit.actions import ACTIONS
from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.adapters.kinds import KNOWN
from chaoskit.contracts import Intent
from chaoskit.errors import ForbiddenError, UsageError
from chaoskit.journal import Entry
from chaoskit.model import RUN_LABEL, UNDO_ANNOTATION, Right, Target
from chaoskit.objects import annotation, uid

RUN = "r1"
KEY = UNDO_ANNOTATION + RUN


def node(world, name="node2"):
    return next(n for n in world.cluster.there("node") if n["metadata"]["name"] == name)


def cordoned(world, name="node2"):
    return bool(node(world, name)["spec"].get("unschedulable"))


def intent(world, name="node2", *, n=1, run=RUN, before=False):
    target = Target("node", name, "", uid(node(world, name)), name, {"unschedulable": before})
    return Intent(run, n, "a", "cordon_node", target, {"unschedulable": True})


def cordon(world, name="node2", **more):
    made = intent(world, name, **more)
    heal.annotate(world.cluster, made)
    world.cluster.patch("node", name, {"spec": {"unschedulable": True}})
    return made


def healed(world, intents):
    return heal.heal(world.cluster, intents, world.clock.advance)


INTENTS = st.builds(
    Intent,
    st.text(max_size=9),
    st.integers(-1, 99),
    st.text(max_size=9),
    st.sampled_from(["cordon_node", "x"]),
    st.builds(
        Target,
        st.text(max_size=4),
        st.text(max_size=4),
        st.text(max_size=4),
        st.text(max_size=4),
        st.text(max_size=4),
        st.dictionaries(st.text(max_size=3), st.booleans() | st.text(max_size=3), max_size=2),
    ),
    st.dictionaries(st.text(max_size=3), st.integers() | st.none(), max_size=2),
)


@given(INTENTS)
def test_an_intent_is_read_back_from_json(made):
    assert heal.from_data(json.loads(json.dumps(heal.as_data(made)))) == made


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8))
def test_open_intents_are_those_that_change_something_and_are_not_healed(story):
    target = Target("node", "n", "", "u")
    entries = []
    for n, (changes, done) in enumerate(story):
        made = Intent(RUN, n, "a", "cordon_node", target, {"unschedulable": True} if changes else {})
        entries.append(Entry(len(entries), 0.0, "intent", {"what": "x", **heal.as_data(made)}))
        entries.append(Entry(len(entries), 0.0, "healed", {"n": n, "done": done, "how": "", "fix": ""}))
    assert [i.n for i in heal.open_intents(entries)] == [
        n for n, (changes, done) in enumerate(story) if changes and not done
    ]


def test_a_cordon_is_undone_and_its_mark_taken_away():
    world = FakeWorld(1)
    made = cordon(world)
    assert [h.how for _, h in healed(world, [made])] == ["uncordoned"]
    assert not cordoned(world)
    assert annotation(node(world), KEY) == ""


def test_healing_twice_is_healing_once():
    world = FakeWorld(1)
    made = cordon(world)
    healed(world, [made])
    acts = len(world.cluster.acts)
    world.cluster.patch("node", "node2", {"spec": {"unschedulable": True}})
    assert [h.done for _, h in healed(world, [made])] == [True]
    assert cordoned(world), "somebody cordoned it since"
    assert len(world.cluster.acts) == acts + 1


def test_a_node_that_was_cordoned_before_stays_so():
    world = FakeWorld(1)
    made = cordon(world, before=True)
    assert healed(world, [made])[0][1].done
    assert cordoned(world)
    assert annotation(node(world), KEY) == ""


def test_two_runs_on_one_node_do_not_heal_each_other():
    world = FakeWorld(1)
    cordon(world)
    other = intent(world, run="r2")
    heal.annotate(world.cluster, other)
    healed(world, [other])
    assert annotation(node(world), KEY)


def test_two_intents_of_one_run_on_one_node_are_both_taken_away():
    world = FakeWorld(1)
    first, second = cordon(world), cordon(world, n=2, before=True)
    undone = healed(world, [first, second])
    assert [i.n for i, _ in undone] == [2, 1], "the last first"
    assert all(h.done for _, h in undone)
    assert not cordoned(world)
    assert annotation(node(world), KEY) == ""


def test_what_is_gone_or_another_is_healed():
    world = FakeWorld(1)
    made = cordon(world)
    world.cluster.delete("node", "node2")
    assert healed(world, [made])[0][1].how == "the node is gone"
    world.cluster.create(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node2"}, "spec": {"unschedulable": True}}
    )
    assert healed(world, [made])[0][1].how == "another node carries the name now"
    assert cordoned(world)


def test_the_cluster_alone_tells_what_is_left():
    world = FakeWorld(1)
    cordon(world, "node1")
    cordon(world, "node3", run="r2")
    world.cluster.create(manifests.namespace("a", {RUN_LABEL: RUN}))
    world.cluster.create(manifests.namespace("b"))
    assert [(i.run, i.target.name) for i in heal.found_in(world.cluster)] == [
        (RUN, "node1"),
        ("r2", "node3"),
        (RUN, "a"),
    ]
    mine = heal.found_in(world.cluster, RUN)
    assert [i.target.name for i in mine] == ["node1", "a"]
    assert all(h.done for _, h in healed(world, mine))
    assert not cordoned(world, "node1")
    assert cordoned(world, "node3")
    assert heal.found_in(world.cluster, RUN) == []


SHOP = (
    manifests.deployment("front", 3),
    manifests.statefulset("store", 1),
    manifests.service("front"),
)
CHANGED = {
    "deployment": ("scale", {"replicas": 1}, {"replicas": 3}),
    "statefulset": ("scale", {"replicas": 1}, {"replicas": 0}),
    "service": ("switch_service", {"selector": {"colour": "green"}}, {"selector": {"colour": None}}),
}


def test_what_actions_change_is_found_on_all_kinds_in_the_order_of_the_changes():
    world = FakeWorld(1)
    for space in ("a", "b"):
        world.cluster.create(manifests.namespace(space))
        for o in SHOP:
            world.cluster.create(o, space)
    made = []
    for n, kind in enumerate(("service", "deployment", "statefulset")):
        verb, change, prior = CHANGED[kind]
        (o,) = world.cluster.there(kind, "b")
        target = Target(kind, o["metadata"]["name"], "b", uid(o), prior=prior)
        made.append(Intent(RUN, n, "a", verb, target, change))
        heal.annotate(world.cluster, made[-1])
    cordon(world, n=9)
    assert [(i.n, i.target.kind) for i in heal.found_in(world.cluster)] == [
        (0, "service"),
        (1, "deployment"),
        (2, "statefulset"),
        (9, "node"),
    ]
    assert heal.found_in(world.cluster, RUN, "b")[:3] == made
    assert [i.target.kind for i in heal.found_in(world.cluster, RUN, "a")] == ["node"]
    assert all(h.done for _, h in healed(world, heal.found_in(world.cluster)))
    assert heal.found_in(world.cluster) == []


def test_each_kind_that_an_action_changes_is_looked_at_with_no_more_rights_than_it_takes():
    kinds = heal.annotated_kinds(ACTIONS.values())
    assert {"node", "deployment", "service", "statefulset"} <= set(kinds)
    world = FakeWorld(1)
    for kind in (*kinds, "namespace", "pod"):
        known = KNOWN[kind]
        world.cluster.deny(Right("list", known.group, known.plural))
        with pytest.raises(ForbiddenError, match=known.plural):
            heal.found_in(world.cluster)
        world.cluster.allow(Right("list", known.group, known.plural))
    for kind in set(KNOWN) - {*kinds, "namespace", "pod"}:
        world.cluster.deny(Right("list", KNOWN[kind].group, KNOWN[kind].plural))
    assert heal.found_in(world.cluster) == []


def test_no_mark_is_left_where_nobody_would_look_for_it():
    world = FakeWorld(1)
    world.cluster.create(manifests.namespace("a"))
    (space,) = (o for o in world.cluster.there("namespace") if o["metadata"]["name"] == "a")
    made = Intent(RUN, 1, "a", "scale", Target("namespace", "a", "", uid(space)), {"x": 1})
    with pytest.raises(UsageError, match="looks for none"):
        heal.annotate(world.cluster, made)


@pytest.mark.parametrize("text", ["{", "5", "null", "[5]", '[{"run": 1}]', '[{"target": {"x": 1}}]'])
def test_a_mark_that_somebody_changed_is_told_and_hinders_nothing(text):
    world = FakeWorld(1)
    cordon(world, "node1")
    world.cluster.patch("node", "node2", {"metadata": {"annotations": {KEY: text}}})
    told = {i.target.name: h for i, h in healed(world, heal.found_in(world.cluster))}
    assert told["node1"].done
    assert not told["node2"].done
    assert "kubectl annotate node node2" in told["node2"].fix


def test_a_namespace_of_somebody_else_is_left_alone():
    world = FakeWorld(1)
    world.cluster.create(manifests.namespace("a", {RUN_LABEL: "r2"}))
    target = Target("namespace", "a", "", "")
    (outcome,) = healed(world, [Intent(RUN, 0, "", heal.NAMESPACE, target, {"created": True})])
    assert outcome[1].how == "the namespace belongs to somebody else now"
    assert [o for o in world.cluster.there("namespace") if o["metadata"]["name"] == "a"]


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.ERROR, Fault.CONFLICT])
@pytest.mark.parametrize("verb", ["get", "patch"])
def test_an_answer_that_is_lost_is_asked_for_again(fault, verb):
    world = FakeWorld(1)
    made = cordon(world)
    world.cluster.trouble.next(fault, verb=verb, kind="node", times=3)
    assert healed(world, [made])[0][1].done
    assert not cordoned(world)


def test_an_api_that_is_away_for_a_while_is_waited_for():
    world = FakeWorld(1)
    made = [cordon(world, name, n=i) for i, name in enumerate(("node1", "node2"))]
    world.cluster.away(30.0)
    assert all(h.done for _, h in healed(world, made))
    assert not cordoned(world)


def test_an_api_that_stays_away_is_given_up_after_a_minute_with_what_to_type():
    world = FakeWorld(1)
    made = [cordon(world, name, n=i) for i, name in enumerate(("node1", "node2", "node3"))]
    began = world.clock.now()
    world.cluster.away(10_000)
    outcomes = [h for _, h in healed(world, made)]
    assert [h.done for h in outcomes] == [False] * 3
    assert {h.fix for h in outcomes} == {f"chaoskit heal {RUN}"}
    assert world.clock.now() - began < heal.PATIENCE_S + 10


def test_a_right_that_is_missing_is_not_asked_for_again_and_again():
    world = FakeWorld(1)
    made = cordon(world)
    world.cluster.deny(Right("patch", "", "nodes"))
    began = world.clock.now()
    (outcome,) = healed(world, [made])
    assert not outcome[1].done
    assert "may not patch nodes" in outcome[1].how
    assert world.clock.now() - began < 1


def test_an_action_that_nobody_offers_any_more_is_told():
    target = Target("node", "node1", "", "u")
    (outcome,) = healed(FakeWorld(1), [Intent(RUN, 0, "", "unplug_moon", target, {"a": 1})])
    assert "no action is called unplug_moon" in outcome[1].how


def test_an_intent_is_only_written_on_the_object_that_it_means():
    world = FakeWorld(1)
    made = intent(world)
    world.cluster.deny(Right("patch", "", "nodes"))
    with pytest.raises(ForbiddenError):
        heal.annotate(world.cluster, made)
