"""The restart check where the restart policy decides: brought back, or not, for each exit code."""

from __future__ import annotations

import pytest
from streams import act, gap, gone, record, seen, step
from test_evidence_restarts import end, status

from chaoskit.checks.restart import Restart
from chaoskit.model import Verdict

STEP = "lose a pod"
CHECK = Restart.model_validate({"of": STEP, "within": "5s", "as": "policy"})


def judged(*events, check=CHECK, ended=20.0):
    hit = act(10.0, "front-1", id="id0", restarts=0, container="front")
    return check.judge(record(events=events, steps=(step([hit], ended=ended),)))


def story(policy, code, *, back, final=True):
    """A container that ends at 10 s with a code, and is restarted a second later or is not."""
    over = end(0, 0, 10, code)
    phase = ("Succeeded" if code == 0 else "Failed") if final else "Running"
    events = [seen(0.0, status(0, began=0, policy=policy), first=True)]
    if back:
        after = status(1, began=11, before=over, policy=policy, ready=True)
        return (*events, seen(10.3, status(0, over=over, policy=policy)), seen(11.0, after))
    return (*events, seen(10.3, status(0, over=over, policy=policy, phase=phase)))


TABLE = [
    ("Always", 0, True),
    ("Always", 1, True),
    ("OnFailure", 0, False),
    ("OnFailure", 1, True),
    ("Never", 0, False),
    ("Never", 137, False),
]


@pytest.mark.parametrize(("policy", "code", "due"), TABLE)
def test_what_the_policy_says_passes_and_the_opposite_fails(policy, code, due):
    right, wrong = judged(*story(policy, code, back=due)), judged(*story(policy, code, back=not due))
    assert right.verdict is Verdict.PASSED, right.reason
    assert wrong.verdict is Verdict.FAILED, wrong.reason
    assert f"exit code {code}" in right.reason
    assert policy in wrong.reason


@pytest.mark.parametrize("code", [0, 1])
def test_what_is_needed_fails_where_the_policy_is_never(code):
    found = judged(*story("Never", code, back=False), check=Restart(of=STEP, within="5s"))
    assert found.verdict is Verdict.FAILED
    assert "was not restarted" in found.reason
    assert f"policy Never, exit code {code}" in found.reason


def test_one_that_may_still_come_back_against_its_policy_is_undecided():
    over = end(0, 0, 10, 0)
    waiting = (seen(0.0, status(0, began=0, policy="Never")), seen(10.3, status(0, before=over, policy="Never")))
    assert judged(*waiting, ended=12.0).verdict is Verdict.INCONCLUSIVE
    assert judged(*waiting).verdict is Verdict.FAILED


def test_what_did_not_end_says_nothing_of_a_policy():
    found = judged(seen(0.0, status(0, began=0)), seen(10.3, status(0, began=0)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "did not end" in found.reason


def test_a_pod_that_was_replaced_fails():
    found = judged(seen(0.0, status(0, began=0)), gone(10.3, status(0, began=0)))
    assert found.verdict is Verdict.FAILED
    assert "the whole pod was replaced" in found.reason


def test_a_watch_that_broke_decides_nothing():
    before, after = story("Never", 1, back=False)
    found = judged(before, gap(10.1), after)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_restart_that_took_too_long_fails():
    check = Restart.model_validate({"of": STEP, "within": "500ms", "as": "policy"})
    assert judged(*story("Always", 1, back=True), check=check).verdict is Verdict.FAILED


# ── as: none ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NONE = Restart.model_validate({"of": STEP, "as": "none"})


def killing(at, why):
    about = {"kind": "Pod", "name": "front-1", "uid": "front-1"}
    return seen(at, {"metadata": {"name": "e"}, "reason": "Killing", "message": why, "involvedObject": about}, "event")


def test_what_ran_on_passes():
    found = judged(seen(0.0, status(0, began=0), first=True), seen(12.0, status(0, began=0, ready=True)), check=NONE)
    assert found.verdict is Verdict.PASSED, found.reason


def test_what_was_restarted_fails_and_says_who_killed_it():
    before, down, up = story("Always", 137, back=True)
    found = judged(before, killing(10.2, "failed liveness probe"), down, up, check=NONE)
    assert found.verdict is Verdict.FAILED
    assert found.reason == "front-1: restarted once after exit code 137 (Error; failed liveness probe)"


def test_what_ended_and_stayed_so_fails_as_well():
    assert judged(*story("Never", 1, back=False), check=NONE).verdict is Verdict.FAILED


def test_that_nothing_was_restarted_needs_the_whole_watch():
    before, after = seen(0.0, status(0, began=0), first=True), seen(11.0, status(0, began=0), first=True)
    assert judged(before, gap(10.2), after, check=NONE).verdict is Verdict.INCONCLUSIVE
    assert judged(*story("Always", 1, back=True), gap(15.0), check=NONE).verdict is Verdict.FAILED


@pytest.mark.parametrize("given", [{"as": "none", "within": "5s"}, {}, {"as": "policy"}])
def test_a_limit_is_given_where_something_is_to_come_back(given):
    with pytest.raises(ValueError, match="give within"):
        Restart.model_validate({"of": STEP, **given})


def test_that_it_ended_for_good_is_seen_without_waiting_for_the_limit():
    found = judged(*story("OnFailure", 0, back=False), ended=12.0)
    assert found.verdict is Verdict.PASSED
    assert "not restarted" in found.reason
