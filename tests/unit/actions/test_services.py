"""A Service asked by its ways in, looked for by name, and made anew: what is seen, judged and left of it."""

from __future__ import annotations

import json

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, heal_later, play, story
from streams import NS, gone, pod, record, seen
from streams import STEP as STEP_NAME

from chaoskit import heal
from chaoskit.actions.look_up import LookUp, found_by
from chaoskit.actions.reach import Reach, summed
from chaoskit.actions.recreate_service import RecreateService, as_written
from chaoskit.adapters.fake import Fault, manifests
from chaoskit.checks.discovered import Discovered
from chaoskit.contracts import Sight
from chaoskit.model import Reached, Right

STEP = "kill_pod: {of: deployment/front, mode: now}"
RECOVERY = "recovery: {of: lose a pod, within: 5s}"
TWO = (*SHOP, manifests.deployment("back", 2), manifests.service("back"))


def told(folder, step, check, *, shop=TWO, watch="3s", **more):
    text = EXPERIMENT.replace(STEP, step).replace(RECOVERY, check).replace("watch: 4s", f"watch: {watch}")
    return play(story(folder, text, shop=shop, **more))


def asked(run):
    """The finding on what was expected first."""
    return run.judged().asked[0]


# ── reach, and reached ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "step",
    [
        "{of: service/front, by: load balancer, times: 60}",
        "{of: service/front, by: cluster ip, from: deployment/front, times: 60}",
        "{of: service/front, by: name, from: deployment/front, times: 60}",
    ],
)
def test_each_way_in_leads_to_every_ready_pod(tmp_path, step):
    run = told(tmp_path, f"reach: {step}", "reached: {of: lose a pod}")
    assert asked(run).verdict.value == "passed", asked(run).reason
    (saw,) = run.entries("saw")
    assert sorted(saw.data["data"]["answers"].values()) == [20, 20, 20]
    assert run.judged().exit_code == 0


def test_an_internal_service_is_reached_by_nobody_outside(tmp_path):
    run = told(tmp_path, "reach: {of: service/back, by: cluster ip}", "reached: {of: lose a pod, pods: none}")
    assert asked(run).verdict.value == "passed"
    assert "30 times unreachable" in asked(run).reason


def test_a_way_that_leads_where_it_must_not_fails(tmp_path):
    run = told(tmp_path, "reach: {of: service/front, by: load balancer}", "reached: {of: lose a pod, pods: none}")
    assert asked(run).verdict.value == "failed"
    assert "answered" in asked(run).reason


def test_requests_without_an_answer_fail(tmp_path):
    run = told(tmp_path, "reach: {of: service/front, by: cluster ip}", "reached: {of: lose a pod}")
    assert asked(run).verdict.value == "failed"
    assert "30 of 30 got no good answer: 30 times unreachable" in asked(run).reason


def test_a_pod_that_may_have_been_missed_by_chance_is_not_blamed(tmp_path):
    run = told(tmp_path, "reach: {of: service/front, by: load balancer, times: 2}", "reached: {of: lose a pod}")
    assert asked(run).verdict.value == "inconclusive"
    assert "ask more than 2 times" in asked(run).reason


def test_a_way_that_there_is_not_did_not_land(tmp_path):
    run = told(tmp_path, "reach: {of: service/back, by: load balancer}", "reached: {of: lose a pod}")
    assert run.judged().exit_code == 3
    assert "has no load balancer" in asked(run).reason


def test_a_name_is_asked_for_from_a_pod():
    with pytest.raises(ValueError, match="say whose pods ask"):
        Reach(of="service/front", by="name")


def test_what_came_back_is_summed_up():
    found = [
        Reached(200, "a", 0.1),
        Reached(200, "b", 0.1),
        Reached(200, "a", 0.1),
        Reached(503, "a", 0.1),
        Reached(0, "", 1.0, "timeout"),
    ]
    assert summed(found) == {
        "asked": 5,
        "answers": {"a": 2, "b": 1},
        "failures": {"status 503": 1, "timeout": 1},
        "slowest_s": 1.0,
    }


def test_only_who_asks_from_a_pod_needs_a_right():
    assert Reach(of="service/a", by="node port").rights(NAMESPACE) == ()
    inside = Reach.model_validate({"of": "service/a", "by": "name", "from": "deployment/a"})
    assert set(inside.rights(NAMESPACE)) == {Right(verb, "", "pods", NAMESPACE, "exec") for verb in ("get", "create")}


# ── distribution ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_new_connections_are_shared_equally(tmp_path):
    step = "reach: {of: service/front, by: load balancer}"
    run = told(tmp_path, step, "distribution: {of: lose a pod, over: service/front}", watch="6s")
    assert asked(run).verdict.value == "passed", asked(run).reason


def test_a_service_without_pods_shares_nothing(tmp_path):
    run = told(
        tmp_path, "reach: {of: service/front, by: load balancer}", "distribution: {of: lose a pod, over: service/x}"
    )
    assert asked(run).verdict.value == "inconclusive"


# ── look_up, recreate_service, and discovered ────────────────────────────────────────────────────────────────────────


def judged_looks(looks, check):
    """A Service that was 10.96.0.5 and is 10.96.0.9 from second 10 on; pods that looked."""
    old = seen(0, service("10.96.0.5", "s1"), "service")
    events = (old, gone(10, old.object, "service"), seen(10.1, service("10.96.0.9", "s2"), "service"))
    there = tuple(seen(0, pod(name), first=True) for name in {found.data["pod"] for found in looks})
    return check.judge(record(events=there + events, sights=tuple(looks)))


def service(address, uid):
    return {"metadata": {"name": "back", "namespace": NS, "uid": uid}, "spec": {"clusterIP": address}}


def look(at, dns, name="front-1", used="dns"):
    data = {"pod": name, "uid": name, "service": "back", "began": at, "ended": at + 0.1, "used": used, "error": ""}
    return Sight(at + 0.1, "look", "look up", {**data, "dns": [dns], "environment": "10.96.0.5"})


NEW, OLD = "10.96.0.9", "10.96.0.5"
LOOKS = [look(10.2, OLD), look(11.0, OLD), look(11.5, NEW), look(18, NEW), look(18, NEW, "front-2")]


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        ({"by": "dns", "within": "2s"}, "passed"),
        ({"by": "dns", "within": "0.5s"}, "failed"),
        ({"by": "dns", "within": "1.2s"}, "inconclusive"),
        ({"within": "2s"}, "passed"),
        ({"by": "environment", "within": "2s"}, "failed"),
        ({"by": "environment", "within": "60s"}, "inconclusive"),
    ],
)
def test_a_change_is_seen_by_dns_and_never_by_an_environment(check, verdict):
    found = judged_looks(LOOKS[:4], Discovered(of=STEP_NAME, service="service/back", **check))
    assert found.verdict.value == verdict, found.reason
    assert found.value is not None


def test_what_the_app_uses_decides():
    looks = [look(at, NEW, used="environment") for at in (10.5, 15)]
    found = judged_looks(looks, Discovered(of=STEP_NAME, service="service/back", within="2s"))
    assert found.verdict.value == "failed"
    assert found.reason == "front-1 still finds 10.96.0.5 5 s after; right is 10.96.0.9"


def test_every_pod_has_to_see_it():
    looks = [*LOOKS, look(18.5, OLD, "front-2")]
    found = judged_looks(looks, Discovered(of=STEP_NAME, service="service/back", by="dns", within="5s"))
    assert found.verdict.value == "failed"
    assert found.reason.startswith("front-2 still finds")


ANEW = """\
recreate_service: {of: service/back}
    watch: 1s
  - name: look
    look_up: {of: deployment/front, name: back, for: 3s}"""


def discovery(world):
    """Pods that find by DNS what is so, and by their environment what was so when they came."""
    came: dict[str, str] = {}

    def answer(pod):
        backs = [s for s in world.cluster.there("service", NAMESPACE) if s["metadata"]["name"] == "back"]
        body = {
            "dns": {"back": {"addresses": [s["spec"]["clusterIP"] for s in backs], "seconds": 0.001}},
            "environment": {"BACK_SERVICE_HOST": came.setdefault(pod["metadata"]["uid"], "10.0.0.1")},
            "used": {"by": "dns"},
        }
        return 200, json.dumps(body)

    world.cluster.reply("/discovery", answer)


@pytest.mark.parametrize(("by", "verdict"), [("dns", "passed"), ("used", "passed"), ("environment", "failed")])
def test_pods_are_asked_again_and_again_what_they_find(tmp_path, by, verdict):
    check = f"discovered: {{of: lose a pod, service: service/back, by: {by}, within: 2s}}"
    run = told(tmp_path, ANEW, check, told=discovery)
    assert asked(run).verdict.value == verdict, asked(run).reason
    looks = [e.data["data"] for e in run.entries("saw")]
    assert len(looks) >= 15, "three pods, every half second, for three seconds"
    assert len({look["pod"] for look in looks}) == 3


def test_without_looks_nothing_is_known(tmp_path):
    run = told(
        tmp_path,
        "recreate_service: {of: service/back}",
        "discovered: {of: lose a pod, service: service/back, within: 2s}",
    )
    assert asked(run).verdict.value == "inconclusive"
    assert "look_up" in asked(run).reason


def test_pods_that_tell_nothing_were_not_looked_at(tmp_path):
    run = told(
        tmp_path,
        "look_up: {of: deployment/front, name: back, for: 1s}",
        "discovered: {of: lose a pod, service: service/back, within: 2s}",
    )
    assert run.judged().exit_code == 3
    assert "told what it finds" in asked(run).reason


@pytest.mark.parametrize("said", [{}, {"dns": {}}, {"dns": {"back": []}, "environment": {}, "used": {}}, {"dns": None}])
def test_an_answer_of_another_form_is_no_look(said):
    assert found_by(said, "back") is None


def test_a_service_is_made_anew_as_it_was_written(tmp_path):
    run = told(tmp_path, "recreate_service: {of: service/front}", "metric: {holds: ready >= 3}")
    (landed,) = run.entries("landed")
    assert "it was 10.96." in landed.data["how"]
    (deleted,) = [
        a for a in run.world.cluster.acts if a.verb == "delete" and a.kind == "service" and a.name == "front"
    ][:1]
    (made,) = [a for a in run.world.cluster.acts if a.verb == "create" and a.kind == "service" and a.name == "front"]
    assert deleted.at < made.at
    assert made.body["spec"]["selector"] == SHOP[1]["spec"]["selector"]
    assert next(e.data["how"] for e in run.entries("healed")) == "it is there, with another address"
    assert run.residue() == []


def test_a_service_that_could_not_be_made_again_is_made_by_healing(tmp_path):
    def refuse(world):
        world.cluster.trouble.next(Fault.ERROR, verb="create", kind="service", name="back")

    run = told(tmp_path, "recreate_service: {of: service/back}", "metric: {holds: ready >= 3}", told=refuse)
    assert next(e.data["outcome"] for e in run.entries("outcome") if e.data["step"]) == "unknown"
    assert next(e.data["how"] for e in run.entries("healed")) == "it was away, and is made anew"


def intent(run, prior=None):
    (found,) = [e for e in run.entries("intent") if e.data["verb"] == "recreate_service"]
    return heal.from_data(found.data)


def test_healing_again_changes_nothing(tmp_path):
    run = told(tmp_path, "recreate_service: {of: service/back}", "metric: {holds: ready >= 3}")
    healed = RecreateService.heal(run.world.cluster, intent(run))
    assert healed.done
    assert healed.how == "its namespace is gone"
    assert heal_later(run, from_journal=True) == []


def test_what_the_cluster_gave_is_not_written_again():
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "front",
            "uid": "u",
            "resourceVersion": "7",
            "labels": {"a": "b"},
            "annotations": {f"undo.chaoskit.io/{RUN}": "[]", "mine": "1"},
        },
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.96.0.5",
            "clusterIPs": ["10.96.0.5"],
            "ports": [{"port": 80, "nodePort": 31000}],
            "selector": {"x": "y"},
        },
        "status": {},
    }
    assert as_written(service) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "labels": {"a": "b"}, "annotations": {"mine": "1"}},
        "spec": {"type": "NodePort", "ports": [{"port": 80}], "selector": {"x": "y"}},
    }


def test_a_headless_service_stays_headless():
    service = {"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "ports": []}}
    assert as_written(service)["spec"]["clusterIP"] == "None"


@pytest.mark.parametrize(
    "action",
    [
        Reach(of="service/none", by="cluster ip"),
        RecreateService(of="deployment/front"),
        LookUp.model_validate({"of": "deployment/none", "name": "x"}),
    ],
)
def test_what_is_not_there_is_a_mistake_of_the_experiment(action, tmp_path):
    from chaoskit.errors import UsageError
    from chaoskit.objects import Objects

    with pytest.raises(UsageError, match="there is no"):
        action.candidates(Objects(), NAMESPACE)
