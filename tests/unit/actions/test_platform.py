"""The platform itself hit: only where an experiment says so, only what it names, and nothing is left frozen."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, play, story

from chaoskit import plan, spec
from chaoskit.actions.kill_pod import KillPod
from chaoskit.actions.platform_server import FreezeServer, KillServer
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.errors import UsageError
from chaoskit.model import Right
from chaoskit.plan import Plan
from chaoskit.session import check_opt_in

STEP = "kill_pod: {of: deployment/front, mode: now}"
RECOVERY = "recovery: {of: lose a pod, within: 5s}"
ALLOWED = "safety: {platform: true, at_most: 100%}\n"
CAUGHT_UP = "caught_up: {of: lose a pod, within: 5s}"


def told(folder, step, check=CAUGHT_UP, *, safety=ALLOWED, watch="8s", **more):
    text = EXPERIMENT.replace(STEP, step).replace(RECOVERY, check).replace("watch: 4s", f"watch: {watch}")
    return play(story(folder, text + safety, **more))


def orders(run):
    return [(a.verb, a.name) for a in run.world.cluster.acts if a.kind == "server"]


# ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_saying_so_no_server_is_hit(tmp_path):
    run = told(tmp_path, "kill_server: {of: kube-scheduler}", safety="")
    assert run.ending.how == "stopped"
    assert "safety.platform is not true" in str(run.ending.error)
    assert orders(run) == []


def test_a_killed_api_server_hurts_no_user_and_the_run_goes_on(tmp_path):
    run = told(tmp_path, "kill_server: {of: kube-apiserver}")
    assert orders(run) == [("kill", "kube-apiserver")]
    assert run.ending.how == "complete"
    judged = run.judged()
    assert judged.exit_code == 0, judged.sentence
    assert "the API server told nothing until 4" in judged.asked[0].reason
    assert run.residue() == []


def test_what_was_lost_meanwhile_is_caught_up_with(tmp_path):
    """A pod whose deletion has to wait for the API server: it counts from the server's end."""
    text = "kill_server: {of: kube-apiserver}\n    watch: 6s\n  - name: then\n    " + STEP
    run = told(tmp_path, text, "caught_up: {of: then, within: 8s}")
    assert run.judged().asked[0].verdict.value == "passed", run.judged().asked[0].reason


def test_too_slow_a_platform_fails(tmp_path):
    run = told(tmp_path, STEP, "caught_up: {of: lose a pod, within: 200ms}", safety="")
    found = run.judged().asked[0]
    assert found.verdict.value == "failed"
    assert found.value > 0.2


def test_a_frozen_server_goes_on_after_its_time_and_what_came_up_meanwhile_counts_from_then(tmp_path):
    run = told(tmp_path, "freeze_server: {of: kube-apiserver, for: 3s}")
    assert orders(run) == [("freeze", "kube-apiserver"), ("thaw", "kube-apiserver")]
    (landed,) = run.entries("landed")
    assert landed.data["how"] == "the process stands still, for 3s at most"
    found = run.judged().asked[0]
    assert found.verdict.value == "passed", found.reason
    assert found.value < 0.5


def test_a_frozen_server_is_thawed_at_the_end_whatever_happens(tmp_path):
    run = told(tmp_path, "freeze_server: {of: kubelet@node1}")
    assert orders(run) == [("freeze", "kubelet@node1"), ("thaw", "kubelet@node1")]
    assert run.entries("healed")[0].data["how"] == "it goes on"
    assert run.judged().unhealed == ()


def test_no_server_may_stand_still_for_long():
    with pytest.raises(ValueError, match="less than or equal to 60"):
        FreezeServer.model_validate({"of": "etcd", "for": "2m"})


@pytest.mark.parametrize("name", ["prometheus", "kubelet", "kubelet@", "etcd@node1", "node1", "kube-apiserver; reboot"])
def test_only_servers_of_the_platform_can_be_named(name):
    for action in (KillServer, FreezeServer):
        with pytest.raises(ValueError, match="is no server of the platform"):
            action(of=name)


def test_no_right_of_kubernetes_is_asked_for():
    assert KillServer(of="etcd").rights(NAMESPACE) == ()


# ── pods of the platform ─────────────────────────────────────────────────────────────────────────────────────────────

DNS = "kill_pod: {of: deployment/coredns, namespace: kube-system, count: 2, mode: now}"


def with_dns(world: FakeWorld):
    world.cluster.apply(manifests.deployment("coredns", 2), "kube-system")
    world.cluster.apply(manifests.service("kube-dns", of="coredns"), "kube-system")
    world.clock.advance(5)


def test_pods_of_the_platform_are_hit_where_the_experiment_says_so(tmp_path):
    run = told(tmp_path, DNS, "recovery: {of: lose a pod, within: 5s}", told=with_dns)
    assert {a.namespace for a in run.hit()} == {"kube-system"}
    assert len(run.hit()) == 2
    assert run.judged().exit_code == 0, run.judged().sentence


def test_pods_of_the_platform_are_safe_from_everybody_else(tmp_path):
    run = told(tmp_path, DNS, safety="safety: {at_most: 100%}\n", told=with_dns)
    assert run.hit() == []
    assert "safety.platform is not true" in str(run.ending.error)


def test_only_the_platforms_own_namespace_can_be_named():
    with pytest.raises(ValueError, match="kube-system"):
        KillPod(of="deployment/x", namespace="default")


def test_the_rights_are_those_in_the_other_namespace(tmp_path):
    text = EXPERIMENT.replace(STEP, DNS) + ALLOWED
    asked = plan.rights(Plan(spec.loads(text), RUN, NAMESPACE, 1, SHOP))
    assert Right("delete", "", "pods", "kube-system") in asked
    assert Right("watch", "", "pods", "kube-system") in asked
    assert Right("delete", "", "pods", NAMESPACE) not in asked


def test_a_cluster_that_chaoskit_did_not_make_is_refused():
    planned = Plan(spec.loads(EXPERIMENT + ALLOWED), RUN, NAMESPACE, 1, SHOP)
    world = FakeWorld(1)
    check_opt_in(world.cluster, planned, own=True)
    with pytest.raises(UsageError, match="chaoskit did not make this cluster"):
        check_opt_in(world.cluster, planned, own=False)
