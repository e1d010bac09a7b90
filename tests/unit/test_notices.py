"""Who owns what was hit is told by Kubernetes itself: what happened, in which run, and by whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, play, story

from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.model import MANAGED_BY, RUN_LABEL, Right
from chaoskit.notices import CONTROLLER, LONGEST_NOTE, cut

DRAIN = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", "drain_node: {of: deployment/front}")


def there(tmp_path, text=EXPERIMENT, told=lambda world: None):
    """A run in a namespace that stays."""
    world = FakeWorld(7)
    world.cluster.create(manifests.namespace(NAMESPACE))
    for o in SHOP:
        world.cluster.create(o, NAMESPACE)
    world.clock.advance(20)
    one = story(tmp_path, text.replace("load:", f"app: {{namespace: {NAMESPACE}}}\nload:"), world=world, told=told)
    one.plan = replace(one.plan, manifests=(), who="ada@mill")
    return one


def events(told):
    return [e for e in told.world.cluster.there("event") if e["reportingController"] == CONTROLLER]


def test_the_owner_of_a_pod_is_told(tmp_path):
    told = play(there(tmp_path))
    (event,) = events(told)
    (hit,) = told.hit()
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": hit.name,
        "namespace": NAMESPACE,
        "uid": hit.uid,
    }
    assert event["note"] == (
        f"delete pod/{hit.name}: step “lose a pod” of the experiment “lose a pod”, run {RUN} of ada@mill"
    )
    assert (event["action"], event["type"], event["metadata"]["namespace"]) == ("kill_pod", "Normal", NAMESPACE)
    assert event["metadata"]["labels"] == {MANAGED_BY: "chaoskit", RUN_LABEL: RUN}


def test_a_drain_tells_of_the_node_and_of_each_pod(tmp_path):
    told = play(there(tmp_path, DRAIN))
    found = [(e["regarding"]["kind"], e["metadata"]["namespace"]) for e in events(told)]
    assert found[0] == ("Node", "default")
    assert set(found[1:]) == {("Pod", NAMESPACE)}
    assert len({e["metadata"]["name"] for e in events(told)}) == len(found)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.LOST, Fault.ERROR, Fault.CONFLICT])
def test_an_event_that_cannot_be_written_changes_nothing(tmp_path, fault):
    def told(world):
        world.cluster.trouble.next(fault, verb="create", kind="event", times=99)

    run = play(there(tmp_path, DRAIN, told))
    assert run.ending.how == "complete", run.ending.error
    assert run.residue() == []
    spaces = [o["metadata"]["name"] for o in run.world.cluster.there("namespace")]
    assert NAMESPACE in spaces, "the one that was there before"


def test_who_may_not_write_events_runs_all_the_same(tmp_path):
    told = there(tmp_path)
    told.world.cluster.deny(Right("create", "events.k8s.io", "events"))
    assert play(told).ending.how == "complete"
    assert events(told) == []


def test_everything_that_a_run_makes_carries_its_name(tmp_path):
    seen = {}

    def told(world):
        def look():
            for kind in ("namespace", "deployment", "service"):
                seen[kind] = [o["metadata"].get("labels") for o in world.cluster.there(kind)][-1]

        world.clock.at(5.0, look)

    play(story(tmp_path, told=told))
    for kind, found in seen.items():
        assert found[RUN_LABEL] == RUN, kind
        assert found[MANAGED_BY] == "chaoskit", kind


def test_an_owner_s_own_words_about_who_manages_it_stay(tmp_path):
    helm = {**SHOP[0], "metadata": {**SHOP[0]["metadata"], "labels": {MANAGED_BY: "Helm"}}}
    seen = []

    def told(world):
        world.clock.at(5.0, lambda: seen.append(world.cluster.there("deployment")[0]["metadata"]["labels"]))

    play(story(tmp_path, shop=(helm, SHOP[1]), told=told))
    assert seen == [{MANAGED_BY: "Helm", RUN_LABEL: RUN}]


def test_a_long_note_is_cut_between_characters():
    assert cut("ä" * 2000, LONGEST_NOTE) == "ä" * (LONGEST_NOTE // 2)
    assert cut("aä", 2) == "a"
