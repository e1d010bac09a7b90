"""Pods killed in three ways: with the pod's grace, through the disruption budgets, and at once."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story

from chaoskit.actions.kill_pod import KillPod
from chaoskit.adapters.fake import Fault, manifests
from chaoskit.model import Right, Target, Verdict


def told(folder, step, *, shop=SHOP, watch="4s", **more):
    text = EXPERIMENT.replace(
        "kill_pod: {of: deployment/front, mode: now}", f"kill_pod: {{of: deployment/front, {step}}}"
    )
    return play(story(folder, text.replace("watch: 4s", f"watch: {watch}"), shop=shop, **more))


@pytest.mark.parametrize(
    ("step", "verb"), [("mode: now", "delete"), ("mode: delete", "delete"), ("mode: evict", "evict")]
)
def test_each_way_lands_on_the_chosen_pod_alone(tmp_path, step, verb):
    run = told(tmp_path, step)
    judged = run.judged()
    assert judged.exit_code == 0, judged.sentence
    assert [(a.verb, a.uid) for a in run.hit()] == [(verb, judged.targets[0].uid)]
    (landed,) = run.entries("landed")
    assert landed.data["how"] == ("the pod is gone" if step == "mode: now" else "the pod is terminating")


def test_as_many_are_killed_as_asked_for(tmp_path):
    run = told(tmp_path, "mode: now, count: 50%", shop=(manifests.deployment("front", 6), SHOP[1]))
    assert len({a.uid for a in run.hit()}) == 3
    assert run.judged().asked[0].verdict is Verdict.PASSED


def test_an_eviction_is_tried_again_while_a_budget_refuses_it(tmp_path):
    def budget(world):
        world.cluster.trouble.next(Fault.BUDGET, verb="evict", times=3)

    run = told(tmp_path, "mode: evict", told=budget)
    assert [e.data["outcome"] for e in run.entries("outcome")][1:] == ["refused"] * 3 + ["done"]
    assert run.judged().exit_code == 0, "refusals are no acts: the accepted one is"


def test_a_budget_that_never_allows_it_makes_the_run_inconclusive(tmp_path):
    run = told(tmp_path, "mode: evict", shop=(*SHOP, manifests.budget("front", minAvailable=3)))
    assert run.hit() == []
    assert "kept pod/front" in run.entries("note")[0].data["text"]
    judged = run.judged()
    assert judged.exit_code == 3
    assert "did nothing" in judged.sentence


def test_a_target_that_somebody_else_took_is_not_ours(tmp_path):
    """The name may be another pod's by then: the UID decides."""
    run = told(
        tmp_path, "mode: now", told=lambda world: world.cluster.trouble.next(Fault.CONFLICT, verb="delete", kind="pod")
    )
    assert run.hit() == []
    assert run.judged().exit_code == 3


@pytest.mark.parametrize(
    ("given", "grace"),
    [
        ({"mode": "now"}, 0),
        ({}, None),
        ({"grace": "0s"}, 0),
        ({"grace": "1500ms"}, 2),
        ({"mode": "evict", "grace": "3s"}, 3),
    ],
)
def test_a_grace_of_parts_of_a_second_is_rounded_up(given, grace):
    """The API takes whole seconds, and less would be another experiment."""
    assert KillPod(of="deployment/front", **given)._grace() == grace


@pytest.mark.parametrize(
    ("count", "of", "number"), [(2, 9, 2), ("50%", 3, 1), ("50%", 4, 2), ("1%", 3, 1), ("100%", 7, 7)]
)
def test_a_share_is_rounded_down_but_to_one_at_least(count, of, number):
    assert KillPod(of="deployment/front", count=count).number(of) == number


def test_it_asks_for_the_rights_that_it_needs():
    assert KillPod(of="pod/a").rights(NAMESPACE) == (Right("delete", "", "pods", NAMESPACE),)
    evict, look = Right("create", "", "pods", NAMESPACE, "eviction"), Right("get", "", "pods", NAMESPACE)
    assert KillPod(of="pod/a", mode="evict").rights(NAMESPACE) == (look, evict)
    assert "replaces a" in KillPod(of="deployment/front").undo(Target("pod", "a", NAMESPACE, "u"))
