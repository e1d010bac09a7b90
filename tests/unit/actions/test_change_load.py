"""The load changed on purpose: at once, along a ramp, and back again; and refused where there is nobody to change."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, SHOP, play, story

from chaoskit import spec
from chaoskit.actions.change_load import ChangeLoad
from chaoskit.errors import ExperimentError
from chaoskit.model import Target, Verdict
from chaoskit.objects import LOAD, Objects

STEP = "kill_pod: {of: deployment/front, mode: now}"
SPIKE = """\
  - name: many
    change_load: {users: 9}
    watch: 3s
  - name: few again
    change_load: {users: 3}
    watch: 3s
"""


def told(folder, step, *, watch="4s", more=""):
    text = EXPERIMENT.replace(STEP, step).replace("watch: 4s\n", f"watch: {watch}\n{more}")
    return play(story(folder, text.replace("  - recovery: {of: lose a pod, within: 5s}\n", ""), shop=SHOP))


def users(run):
    return [(e.at, e.data["users"]) for e in run.entries("load") if e.data["who"] == "locust"]


def test_it_lands_when_the_users_are_there(tmp_path):
    run = told(tmp_path, "change_load: {users: 12}")
    judged = run.judged()
    assert judged.exit_code == 0, judged.sentence
    (landed,) = run.entries("landed")
    assert landed.data["how"] == "Locust has 12 users"
    (intent,) = [e for e in run.entries("intent") if e.data["verb"] == "change_load"]
    assert intent.data["what"] == "change the load from 3 to 12 users"
    assert str(Target(**intent.data["target"])) == "load/locust"
    assert users(run)[-1][1] == 12


def test_a_ramp_takes_the_time_that_it_was_given(tmp_path):
    run = told(tmp_path, "change_load: {users: 33, over: 15s}", watch="18s")
    assert run.judged().exit_code == 0
    (began,), (landed,) = run.entries("step began"), run.entries("landed")
    assert landed.at - began.at == pytest.approx(15, abs=0.5)
    on_the_way = [n for at, n in users(run) if began.at + 1 < at < landed.at - 1]
    assert on_the_way == sorted(on_the_way)
    assert len(set(on_the_way)) > 8


def test_two_steps_make_a_spike(tmp_path):
    run = told(tmp_path, "change_load: {users: 4}", more=SPIKE)
    assert run.judged().verdict is Verdict.PASSED
    seen = list(dict.fromkeys(n for _, n in users(run)))
    assert (seen[0], max(seen)) == (3, 9)
    assert users(run)[-1][1] == 3


def test_users_that_do_not_come_have_not_landed():
    objects = Objects()
    target = Target(LOAD, "locust", "shop", "locust")
    assert ChangeLoad(users=7).landed(target, objects) == ""
    objects.put(LOAD, [{"metadata": {"name": "locust", "uid": "locust"}, "status": {"users": 6}}])
    assert ChangeLoad(users=7).landed(target, objects) == ""
    assert ChangeLoad(users=6).landed(target, objects) == "Locust has 6 users"


def test_it_promises_no_less_than_its_ramp_takes():
    assert ChangeLoad(users=7, over="90s").longest_s(1) > 90
    assert ChangeLoad(users=7).undo(Target(LOAD, "locust", "shop", "locust")).startswith("nothing")
    assert ChangeLoad(users=7).rights("shop") == ()


@pytest.mark.parametrize("load", ["none", "{locustfile: none}"])
def test_without_users_there_are_none_to_change(load):
    text = EXPERIMENT.replace(STEP, "change_load: {users: 12}")
    lines = [f"load: {load}" if line.startswith("load:") else line for line in text.splitlines()]
    with pytest.raises(ExperimentError) as caught:
        spec.loads("\n".join(lines), "x.yaml")
    assert any("x.yaml:7:5: change_load acts on Locust's users" in p for p in caught.value.problems)
