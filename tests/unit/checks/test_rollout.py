"""Rollouts judged on the double: what the strategy allows, what users were promised, and how a bad version ends."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, play, story

from chaoskit.adapters.fake import Behaviour, manifests
from chaoskit.model import Verdict

BAD = "release=bad"


def shop(replicas=3, **rolling):
    front = manifests.deployment("front", replicas, strategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    front["spec"]["template"]["metadata"]["labels"]["release"] = "good"
    return (front, manifests.service("front", kind="LoadBalancer"))


def text(expect, *, steps="", bad=False, watch="20s"):
    release = ", patch: {metadata: {labels: {release: bad}}}" if bad else ""
    new = (
        f"  - {{name: new version, roll_out: {{of: deployment/front, env: {{VERSION: '2'}}{release}}}, watch: {watch}}}"
    )
    head = EXPERIMENT.split("steps:")[0].replace("hold: [failures < 1%, ready >= 3]", "hold: [failures < 1%]")
    return f"{head}steps:\n{new}\n{steps}expect:\n  - rollout: {expect}\n"


def judged(folder, expect="{of: new version, within: 15s}", *, app=None, told=lambda world: None, **more):
    run = play(story(folder, text(expect, **more), shop=app or shop(maxSurge=1, maxUnavailable=0), told=told))
    (finding,) = [f for f in run.judged().findings if f.kind == "rollout"]
    return finding


def behaving(**behaviour):
    return lambda world: world.cluster.behave(BAD, Behaviour(**behaviour))


def test_a_rollout_within_its_strategy_passes_with_the_time_it_took(tmp_path):
    finding = judged(tmp_path)
    assert finding.verdict is Verdict.PASSED, finding.reason
    assert 1 < finding.value < 15
    assert "never fewer than 3 ready pods" in finding.reason
    moments = finding.evidence[0].data["moments"]
    assert [m["new_ready"] for m in moments] == sorted(m["new_ready"] for m in moments)
    assert (moments[0]["new_ready"], moments[-1]["ready"]) == (0, 3)


def test_the_share_of_each_version_is_shown_over_time(tmp_path):
    finding = judged(tmp_path)
    (answers,) = [e for e in finding.evidence if "by version" in e.title]
    rows = answers.data["seconds"]
    assert "version 2" not in rows[0]
    assert "version 1" in rows[0]
    assert rows[-1]["version 2"] > 0


def test_a_strategy_that_lets_all_go_at_once_keeps_its_own_rule_but_not_what_is_asked_for(tmp_path):
    app = shop(maxSurge=0, maxUnavailable="100%")
    assert judged(tmp_path / "a", app=app).verdict is Verdict.PASSED
    finding = judged(tmp_path / "b", "{of: new version, within: 15s, keep_ready: 2}", app=app)
    assert finding.verdict is Verdict.FAILED
    assert finding.reason.startswith("fewer ready pods than asked for: 0 of at least 2, for ")
    assert (finding.value, finding.unit, finding.margin) == (0, "pods", -2)


def test_a_rollout_that_takes_too_long_fails(tmp_path):
    finding = judged(tmp_path, "{of: new version, within: 2s}")
    assert finding.verdict is Verdict.FAILED
    assert finding.margin < 0


def test_one_that_was_not_watched_long_enough_is_undecided(tmp_path):
    finding = judged(tmp_path, watch="2s")
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "watch longer" in finding.reason


def test_a_version_that_never_gets_ready_is_not_finished(tmp_path):
    finding = judged(tmp_path, bad=True, told=behaving(ready=False))
    assert finding.verdict is Verdict.FAILED
    assert "0 of 3 pods of the new version are ready" in finding.reason


STOPPED = "{of: new version, within: 10s, ends: stopped}"


@pytest.mark.parametrize("behaviour", [{"ready": False}, {"crash_after_s": 0.05}], ids=["never ready", "crashing"])
def test_a_bad_version_that_is_stopped_passes(tmp_path, behaviour):
    finding = judged(tmp_path, STOPPED, bad=True, told=behaving(**behaviour))
    assert finding.verdict is Verdict.PASSED, finding.reason
    assert "never fewer than 3 ready pods" in finding.reason


def test_a_bad_version_that_nothing_stops_fails(tmp_path):
    finding = judged(tmp_path, STOPPED, bad=True)
    assert finding.verdict is Verdict.FAILED
    assert "nothing stopped the bad version" in finding.reason


def test_a_rollback_is_a_rollout_and_ends_what_was_seen_of_the_one_before(tmp_path):
    back = "  - {name: back, roll_back: {of: deployment/front, before: new version}, watch: 12s}\n"
    expect = f"{STOPPED}\n  - rollout: {{of: back, within: 10s, keep_ready: 3}}"
    run = play(
        story(
            tmp_path,
            text(expect, steps=back, bad=True, watch="12s"),
            shop=shop(maxSurge=1, maxUnavailable=0),
            told=behaving(ready=False),
        )
    )
    forth, back = [f for f in run.judged().findings if f.kind == "rollout"]
    assert forth.verdict is Verdict.PASSED, forth.reason
    assert back.verdict is Verdict.PASSED, back.reason


KILL = "  - {name: lose a pod, kill_pod: {of: deployment/front, mode: now}, watch: 20s}\n"


def test_a_pod_that_another_step_kills_meanwhile_is_not_the_rollout_s_loss(tmp_path):
    finding = judged(tmp_path, "{of: new version, within: 18s, keep_ready: 3}", steps=KILL, watch="1s")
    assert finding.verdict is Verdict.PASSED, finding.reason


def test_a_rollout_is_judged_until_it_ended_and_not_only_in_its_step(tmp_path):
    app = shop(maxSurge=0, maxUnavailable="100%")
    finding = judged(tmp_path, "{of: new version, within: 18s, keep_ready: 2}", app=app, steps=KILL, watch="500ms")
    assert finding.verdict is Verdict.FAILED
    assert "fewer ready pods" in finding.reason


def test_a_broken_watch_leaves_it_undecided(tmp_path):
    finding = judged(tmp_path, told=lambda world: world.clock.after(6, world.cluster.gap))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "watch was broken" in finding.reason
