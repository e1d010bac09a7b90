"""A container's first process is killed: the kubelet restarts it in its own pod, and the restart check tells how."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, play, story

from chaoskit.actions.kill_container import KillContainer
from chaoskit.adapters.fake import Behaviour
from chaoskit.model import Right, Target
from chaoskit.objects import Objects

STEP = "kill_pod: {of: deployment/front, mode: now}"
RECOVERY = "recovery: {of: lose a pod, within: 5s}"


def told(folder, step="{of: deployment/front}", within="5s", **more):
    text = EXPERIMENT.replace(STEP, f"kill_container: {step}").replace(
        RECOVERY, f"restart: {{of: lose a pod, within: {within}}}"
    )
    return play(story(folder, text, **more))


def test_a_killed_container_is_restarted_in_its_own_pod(tmp_path):
    run = told(tmp_path)
    judged = run.judged()
    assert judged.exit_code == 0, judged.sentence
    assert run.hit() == []
    (signal,) = [a for a in run.world.cluster.acts if a.verb == "signal"]
    assert signal.body == {"container": "front", "signal": "KILL"}
    how = "restarted once after exit code 137 (Error), policy Always"
    assert judged.asked[0].reason.startswith(f"{judged.targets[0].name}: {how}")


def test_a_container_that_comes_back_too_late_fails(tmp_path):
    def slow(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(boot_s=2.0))

    run = told(tmp_path, within="1s", told=slow)
    assert run.judged().asked[0].verdict.value == "failed"


def test_a_recovery_is_not_what_a_restart_is(tmp_path):
    text = EXPERIMENT.replace(STEP, "kill_container: {of: deployment/front}")
    judged = play(story(tmp_path, text)).judged()
    assert judged.exit_code == 3
    assert "no pod went away in this step" in judged.sentence


def test_a_container_that_is_not_there_is_nothing_to_hit(tmp_path):
    run = told(tmp_path, "{of: deployment/front, container: sidecar}")
    assert run.ending.how == "stopped"
    assert "finds nothing to hit" in str(run.ending.error)


def test_a_container_may_be_named(tmp_path):
    assert told(tmp_path, "{of: deployment/front, container: front, signal: TERM}").judged().exit_code == 0


def pod(container, state):
    status = {"name": "c", "containerID": container, "state": state, "restartCount": 1}
    return {"metadata": {"name": "p", "namespace": NAMESPACE, "uid": "u"}, "status": {"containerStatuses": [status]}}


@pytest.mark.parametrize(
    ("present", "how"),
    [
        (pod("containerd://old", {"running": {}}), ""),
        (pod("containerd://old", {"terminated": {}}), "the container ended"),
        (pod("containerd://new", {"running": {}}), "container erd://old was replaced by erd://new"),
        (None, "the container ended"),
    ],
)
def test_it_landed_when_the_container_ended(present, how):
    found = Objects()
    found.put("pod", [present] if present else [])
    target = Target("pod", "p", NAMESPACE, "u", "", {"container": "c", "id": "containerd://old", "restarts": 1})
    landed = KillContainer(of="pod/p").landed(target, found)
    assert landed == how or (landed.endswith("://new") and how.endswith("://new"))


def test_it_asks_for_exec_alone():
    rights = KillContainer(of="pod/p").rights(NAMESPACE)
    assert set(rights) == {Right(verb, "", "pods", NAMESPACE, "exec") for verb in ("get", "create")}
