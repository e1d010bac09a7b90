"""Pods are asked for a path: the app's own fault endpoints are faults like others, seen by what comes of them."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story

from chaoskit.actions.call import Call
from chaoskit.adapters.fake import Fault
from chaoskit.errors import PortError
from chaoskit.model import Right, Target
from chaoskit.objects import Objects

STEP = "kill_pod: {of: deployment/front, mode: now}"
RECOVERY = "recovery: {of: lose a pod, within: 5s}"


def told(folder, step, expect="restart: {of: lose a pod, within: 5s}", *, reply=None, **more):
    def prepare(world):
        answer = reply or crash(1)
        world.cluster.reply("/crash", lambda pod: answer(world, pod))

    text = EXPERIMENT.replace(STEP, f"call: {step}").replace(RECOVERY, expect)
    return play(story(folder, text, told=prepare, **more))


def crash(code, reason=""):
    def answer(world, pod):
        world.clock.after(0.05, lambda: world.cluster.end(pod, code, reason))
        return 202, "{}"

    return answer


def unanswered(world, pod):
    world.cluster.end(pod, 137, "OOMKilled")
    raise PortError("no answer", why="EOF")


def test_a_pod_that_is_made_to_crash_is_restarted(tmp_path):
    run = told(tmp_path, "{of: deployment/front, path: /crash?code=1, port: 8080, until: ended}")
    judged = run.judged()
    assert judged.exit_code == 0, judged.sentence
    (asked,) = [a for a in run.world.cluster.acts if a.verb == "ask"]
    assert asked.body == {"path": "/crash?code=1", "port": 8080, "method": "GET"}
    assert "after exit code 1 (Error), policy Always" in judged.asked[0].reason


def test_its_end_counts_even_where_no_answer_came(tmp_path):
    step = "{of: deployment/front, path: /crash, port: 8080, until: restarted}"
    judged = told(tmp_path, step, reply=unanswered).judged()
    assert judged.exit_code == 0, judged.sentence
    assert "exit code 137 (OOMKilled)" in judged.asked[0].reason


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (unanswered, "no answer"),
        (lambda _world, _pod: (403, "switched off"), "answered 403 for /crash"),
        (lambda _world, _pod: (500, "out of order"), "out of order"),
    ],
)
def test_a_bad_answer_did_not_land(tmp_path, reply, why):
    judged = told(tmp_path, "{of: deployment/front, path: /crash, port: 8080}", reply=reply).judged()
    assert judged.exit_code == 3
    assert why in judged.asked[0].reason
    assert "did not land" in judged.asked[0].reason


def test_an_answer_that_was_lost_did_not_land(tmp_path):
    def lose(world):
        world.cluster.trouble.next(Fault.LOST, verb="ask")

    text = EXPERIMENT.replace(STEP, "call: {of: deployment/front, path: /crash, port: 8080}")
    judged = play(story(tmp_path, text, told=lose)).judged()
    assert judged.exit_code == 3
    assert "did not land" in judged.sentence


def test_a_pod_that_answers_and_lives_was_not_hit(tmp_path):
    step = "{of: deployment/front, path: /crash, port: 8080, until: ended}"
    judged = told(tmp_path, step, reply=lambda _world, _pod: (200, "{}")).judged()
    assert judged.exit_code == 3
    assert "did not land" in judged.asked[0].reason


def test_a_share_of_the_pods_may_be_asked(tmp_path):
    step = "{of: deployment/front, count: 67%, path: /crash, port: 8080, until: ended}"
    run = told(tmp_path, step, "restart: {of: lose a pod, within: 5s}")
    assert len([a for a in run.world.cluster.acts if a.verb == "ask"]) == 0
    assert "at_most" in str(run.ending.error)


def pod(container, state, ready="True"):
    status = {"name": "c", "containerID": container, "state": state, "restartCount": 1}
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": {"name": "p", "namespace": NAMESPACE, "uid": "u"},
        "status": {"containerStatuses": [status], "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("until", "present", "landed"),
    [
        ("answered", pod("old", {"running": {}}), True),
        ("not ready", pod("old", {"running": {}}), False),
        ("not ready", pod("old", {"running": {}}, "False"), True),
        ("not ready", None, True),
        ("ended", pod("old", {"running": {}}), False),
        ("ended", pod("old", {"terminated": {}}), True),
        ("ended", pod("new", {"running": {}}), True),
        ("restarted", pod("old", {"terminated": {}}), False),
        ("restarted", pod("new", {"running": {}}), True),
    ],
)
def test_what_is_seen_of_it_is_what_was_said(until, present, landed):
    found = Objects()
    found.put("pod", [present] if present else [])
    target = Target("pod", "p", NAMESPACE, "u", "", {"container": "c", "id": "old", "restarts": 0})
    call = Call(of="pod/p", path="/", port=80, until=until)
    assert bool(call.landed(target, found)) is landed


def test_it_asks_for_the_proxy_alone():
    assert Call(of="pod/p", path="/", port=80).rights(NAMESPACE) == (Right("get", "", "pods", NAMESPACE, "proxy"),)


@pytest.mark.parametrize("path", ["crash", "", "/a b"])
def test_a_path_begins_with_a_slash_and_has_no_blanks(path):
    with pytest.raises(ValueError, match="path"):
        Call(of="pod/p", path=path, port=80)


LOOP = """\
name: it falls over again and again
load: {users: 3, pulse: {period: 50ms}}
steps:
  - {name: once, call: {of: pod/lone, path: /crash, port: 8080, until: ended}, watch: 5s}
  - {name: twice, call: {of: pod/lone, path: /crash, port: 8080, until: ended}, watch: 15s}
  - {name: three times, call: {of: pod/lone, path: /crash, port: 8080, until: ended}, watch: 30s}
expect:
  - restart: {of: three times, within: 28s}
  - back_off: {of: three times, within: 4s, restarts: 3}
"""


def test_a_container_that_falls_over_again_and_again_is_backed_off_from(tmp_path):
    def prepare(world):
        world.cluster.reply("/crash", lambda pod: crash(1)(world, pod))

    container = {"name": "lone", "image": "localhost/lone:1"}
    lone = {"kind": "Pod", "metadata": {"name": "lone"}, "spec": {"containers": [container]}}
    judged = play(story(tmp_path, LOOP, shop=(*SHOP, {"apiVersion": "v1", **lone}), told=prepare)).judged()
    assert judged.exit_code == 0, judged.sentence
    assert "(10 to 15 s predicted), 3 after" in judged.asked[1].reason
    assert "(20 to 30 s predicted)" in judged.asked[1].reason
