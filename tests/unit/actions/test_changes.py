"""What changes an app on purpose: rollouts, replica counts, Services. Seen to land, and put back exactly."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, heal_later, play, story

from chaoskit import heal, spec
from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.errors import ExperimentError
from chaoskit.model import UNDO_ANNOTATION
from chaoskit.objects import annotation, name, uid

STEP = "kill_pod: {of: deployment/front, mode: now}"
GREEN = manifests.deployment("green", 2)


def text(*steps, watch="8s"):
    """The story's experiment with these steps, each of another name."""
    head, rest = EXPERIMENT.split("steps:")
    taken = "".join(f"  - {{name: step {n}, {step}, watch: {watch}}}\n" for n, step in enumerate(steps, 1))
    return f"{head}steps:\n{taken}expect: [metric: ready >= 0]\n{rest[:0]}"


def settled(folder, *steps, **more):
    """A world of a namespace that was there before, so that what a run leaves can be looked at; and the run's story."""
    world = FakeWorld(7)
    world.cluster.create(manifests.namespace(NAMESPACE))
    for manifest in (*SHOP, GREEN):
        world.cluster.create(manifest, NAMESPACE)
    world.clock.advance(10)
    return story(folder, text(*steps), world=world, shop=(), **more)


def of(told, kind, named):
    return next(o for o in told.world.cluster.there(kind, NAMESPACE) if name(o) == named)


def front(told):
    return of(told, "deployment", "front")


def marks(o):
    return [key for key in o["metadata"].get("annotations") or {} if key.startswith(UNDO_ANNOTATION)]


def env(deployment, container=0):
    found = deployment["spec"]["template"]["spec"]["containers"][container].get("env") or ()
    return {e["name"]: e.get("value") for e in found}


def spied(told, at, look):
    seen = []
    told.world.clock.after(at, lambda: seen.append(look(told)))
    return seen


NEW = "roll_out: {of: deployment/front, env: {VERSION: '2'}, image: 'localhost/front:2'}"


def test_a_new_version_is_rolled_out_and_the_old_one_put_back(tmp_path):
    told = settled(tmp_path, NEW)
    before = front(told)["spec"]["template"]
    seen = spied(told, 10, lambda told: front(told)["spec"]["template"]["spec"]["containers"][0])
    play(told)
    assert seen[0]["image"] == "localhost/front:2"
    (landed,) = told.entries("landed")
    assert landed.data["how"] == "revision 2 is being rolled out"
    assert told.ending.unhealed == ()
    assert front(told)["spec"]["template"] == before
    assert marks(front(told)) == []


def test_the_old_version_comes_back_as_the_same_set(tmp_path):
    told = settled(tmp_path, NEW)
    (before,) = [s for s in told.world.cluster.there("replicaset", NAMESPACE) if name(s).startswith("front")]
    play(told)
    told.world.clock.advance(20)
    (alive,) = [
        s
        for s in told.world.cluster.there("replicaset", NAMESPACE)
        if name(s).startswith("front") and s["spec"]["replicas"]
    ]
    assert uid(alive) == uid(before)


def test_what_somebody_else_added_meanwhile_stays(tmp_path):
    told = settled(tmp_path, NEW)

    def add():
        containers = front(told)["spec"]["template"]["spec"]["containers"]
        theirs = [{**containers[0], "env": [*containers[0]["env"], {"name": "THEIRS", "value": "1"}]}]
        patch = {"spec": {"template": {"spec": {"containers": theirs}}}}
        told.world.cluster.patch("deployment", "front", patch, NAMESPACE)

    told.world.clock.after(10, add)
    play(told)
    assert env(front(told)) == {"THEIRS": "1"}
    assert told.ending.unhealed == ()


def test_what_somebody_else_rolled_out_meanwhile_stays(tmp_path):
    told = settled(tmp_path, NEW)

    def hotfix():
        (container,) = front(told)["spec"]["template"]["spec"]["containers"]
        patch = {"spec": {"template": {"spec": {"containers": [{**container, "image": "localhost/front:3"}]}}}}
        told.world.cluster.patch("deployment", "front", patch, NAMESPACE)

    told.world.clock.after(10, hotfix)
    play(told)
    assert front(told)["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/front:3"
    assert [e.data["how"] for e in told.entries("healed")] == ["somebody changed it meanwhile, and it stays so"]
    assert marks(front(told)) == []


def test_a_rollout_is_rolled_back_to_the_template_before_it(tmp_path):
    told = settled(tmp_path, NEW, "roll_back: {of: deployment/front, before: step 1}")
    before = front(told)["spec"]["template"]
    seen = spied(told, 20, lambda told: front(told)["spec"]["template"])
    play(told)
    assert seen == [before]
    assert [e.data["how"] for e in told.entries("landed")] == [
        "revision 2 is being rolled out",
        "revision 3 is being rolled out",
    ]
    assert told.judged().exit_code == 0, told.judged().sentence


def test_a_rollback_of_nothing_does_not_land(tmp_path):
    told = play(settled(tmp_path, STEP, "roll_back: {of: deployment/front, before: step 1}"))
    assert told.judged().exit_code == 3
    assert "left nothing to roll back" in told.judged().sentence


def test_a_patch_that_changes_nothing_does_not_land(tmp_path):
    told = play(settled(tmp_path, "roll_out: {of: deployment/front, image: 'localhost/front:1'}"))
    assert told.judged().exit_code == 3
    assert "did not land" in told.judged().sentence


def test_a_container_is_chosen_by_name(tmp_path):
    told = play(settled(tmp_path, "roll_out: {of: deployment/front, container: nobody, image: x}"))
    assert "no container called 'nobody'" in told.ending.error.what


def test_replicas_are_scaled_and_given_back(tmp_path):
    told = settled(tmp_path, "scale: {of: deployment/green, to: 5}")
    seen = spied(told, 10, lambda told: of(told, "deployment", "green")["status"]["readyReplicas"])
    play(told)
    assert seen == [5]
    assert of(told, "deployment", "green")["spec"]["replicas"] == 2
    assert marks(of(told, "deployment", "green")) == []


def test_a_number_that_somebody_else_chose_meanwhile_stays(tmp_path):
    told = settled(tmp_path, "scale: {of: deployment/green, to: 5}")
    theirs = {"spec": {"replicas": 4}}
    told.world.clock.after(10, lambda: told.world.cluster.patch("deployment", "green", theirs, NAMESPACE))
    play(told)
    assert of(told, "deployment", "green")["spec"]["replicas"] == 4
    assert told.ending.unhealed == ()


SWITCH = "switch_service: {of: service/front, to: {app.kubernetes.io/name: green}}"


def test_a_service_is_switched_and_switched_back(tmp_path):
    told = settled(tmp_path, SWITCH)
    before = of(told, "service", "front")["spec"]["selector"]
    seen = spied(told, 10, lambda told: of(told, "service", "front")["spec"]["selector"])
    play(told)
    assert seen == [{"app.kubernetes.io/name": "green"}]
    assert told.entries("landed")[0].data["how"] == "its endpoints are 2 pods with the new labels"
    assert of(told, "service", "front")["spec"]["selector"] == before
    assert marks(of(told, "service", "front")) == []


def test_a_switch_to_nobody_lands_and_says_so(tmp_path):
    told = play(settled(tmp_path, "switch_service: {of: service/front, to: {colour: red}}"))
    assert told.entries("landed")[0].data["how"] == "it has no endpoint any more"
    assert of(told, "service", "front")["spec"]["selector"] == {"app.kubernetes.io/name": "front"}


CHANGES = {
    "roll_out": (NEW, "deployment", "front"),
    "scale": ("scale: {of: deployment/green, to: 4}", "deployment", "green"),
    "switch_service": (SWITCH, "service", "front"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("from_journal", [True, False], ids=["by the journal", "by the cluster alone"])
def test_what_a_killed_run_left_is_healed_later(tmp_path, change, from_journal):
    step, kind, named = CHANGES[change]
    told = settled(tmp_path, step)
    before = of(told, kind, named)["spec"]
    told.world.clock.after(12, lambda: told.world.cluster.away(999))
    play(told)
    assert told.ending.unhealed
    told.world.clock.advance(1000)
    assert marks(of(told, kind, named))
    assert all(healed.done for _, healed in heal_later(told, from_journal=from_journal))
    assert of(told, kind, named)["spec"] == before
    assert marks(of(told, kind, named)) == []
    assert heal.found_in(told.world.cluster, RUN) == []


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("fault", [Fault.LOST, Fault.CONFLICT])
def test_an_answer_that_is_lost_leaves_nothing_behind(tmp_path, change, fault):
    step, kind, named = CHANGES[change]
    told = settled(tmp_path, step)
    before = of(told, kind, named)["spec"]
    told.world.cluster.trouble.next(fault, verb="patch", kind=kind, times=2)
    play(told)
    assert told.ending.unhealed == ()
    assert of(told, kind, named)["spec"] == before
    assert marks(of(told, kind, named)) == []


def test_two_rollouts_of_one_run_are_undone_backwards(tmp_path):
    told = settled(tmp_path, NEW, "roll_out: {of: deployment/front, env: {VERSION: '3'}}")
    before = front(told)["spec"]["template"]
    play(told)
    assert front(told)["spec"]["template"] == before
    assert annotation(front(told), UNDO_ANNOTATION + RUN) == ""


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("roll_out: {of: deployment/front}", "say what changes"),
        ("roll_back: {of: deployment/front, before: step 9}", "no earlier step is called 'step 9'"),
        ("scale: {of: deployment/front, to: -1}", "greater than or equal to 0"),
        ("switch_service: {of: service/front, to: {}}", "at least 1"),
    ],
)
def test_a_step_that_can_do_nothing_is_refused_when_read(step, problem):
    with pytest.raises(ExperimentError, match=problem):
        spec.loads(text(step))


# ── what somebody did while the watch was broken ─────────────────────────────────────────────────────────────────────

CORDON, COLOURED = "cordon_node: {name: node2}", "switch_service: {of: service/front, to: {colour: green}}"
SOMEBODY = {
    "scale: {of: deployment/front, to: 1}": ("deployment", "front", {"spec": {"replicas": 6}}),
    CORDON: ("node", "node2", {"spec": {"unschedulable": True}}),
    COLOURED: ("service", "front", {"spec": {"selector": {"colour": "red"}}}),
    "roll_out: {of: deployment/front, patch: {metadata: {labels: {colour: green}}}}": (
        "deployment",
        "front",
        {"spec": {"template": {"metadata": {"labels": {"colour": "red"}}}}},
    ),
}


@pytest.mark.parametrize("step", SOMEBODY)
def test_what_was_chosen_by_an_old_view_is_not_hit_and_what_somebody_did_stays(tmp_path, step):
    first = "cordon_node: {name: node3}"
    dry = play(settled(tmp_path / "dry", first, step))
    begins = dry.entries("step began")[1].at
    kind, named, patch = SOMEBODY[step]
    place = "" if kind == "node" else NAMESPACE
    told = settled(tmp_path / "wet", first, step)

    def meddle():
        told.world.cluster.gap(5.0)
        told.world.cluster.patch(kind, named, patch, place)

    told.world.clock.at(begins - 0.2, meddle)
    play(told)
    assert [e.data["outcome"] for e in told.entries("outcome") if e.data["step"] == "step 2"] == ["failed"]
    assert "somebody changed" in told.entries("outcome")[-1].data["error"]
    there = next(o for o in told.world.cluster.there(kind, place) if name(o) == named)
    theirs, now = patch["spec"], there["spec"]
    assert heal_later(told, from_journal=False) == []
    if kind == "node":
        assert now["unschedulable"]
    elif "replicas" in theirs:
        assert now["replicas"] == 6
    elif kind == "service":
        assert now["selector"]["colour"] == "red"
    else:
        assert now["template"]["metadata"]["labels"]["colour"] == "red"
    assert not marks(there)
