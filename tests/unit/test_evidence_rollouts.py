"""The bounds of a rollout as Kubernetes computes them, and what each moment of a recorded one is made of."""

from __future__ import annotations

from fractions import Fraction

import pytest
import streams
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.contracts import Act, StepRecord
from chaoskit.evidence_rollouts import REVISION, Bounds, bounds, rollout
from chaoskit.model import Target


def deployment(replicas, **rolling):
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


# ── a recorded rollout ───────────────────────────────────────────────────────────────────────────────────────────────


def the_deployment(at, revision, *, generation=2, updated=0, total=3, available=3, first=False):
    status = {
        "observedGeneration": generation,
        "updatedReplicas": updated,
        "replicas": total,
        "availableReplicas": available,
    }
    meta = {"name": "front", "namespace": streams.NS, "uid": "d", "generation": generation}
    meta["annotations"] = {REVISION: str(revision)}
    o = {"metadata": meta, "status": status, **deployment(3, maxSurge=1, maxUnavailable=0)}
    return streams.seen(at, o, "deployment", first=first)


def a_set(at, key, size, *, first=False):
    owner = [{"kind": "Deployment", "uid": "d", "controller": True}]
    meta = {"name": key, "namespace": streams.NS, "uid": key, "ownerReferences": owner}
    meta["annotations"] = {REVISION: key.removeprefix("rs-")}
    return streams.seen(at, {"metadata": meta, "spec": {"replicas": size}}, "replicaset", first=first)


BEFORE = (
    the_deployment(0.0, 1, generation=1, updated=3, first=True),
    a_set(0.0, "rs-1", 3, first=True),
    *(streams.seen(0.0, streams.pod(f"old-{n}", owner="rs-1"), first=True) for n in range(3)),
)


def recorded(*events, hit=()):
    target = Target("deployment", "front", streams.NS, "d", prior={"generation": 1, "revision": "1"})
    act = Act("roll out", target, 10.0, 10.01, 10.1, "revision 2")
    steps = [StepRecord("new version", "roll_out", 10.0, 12.0, (act,))]
    for at, pod in hit:
        lost = Act("delete", streams.target(pod), at, at + 0.01, at + 0.02, "gone")
        steps.append(StepRecord("lose a pod", "kill_pod", at, 20.0, (lost,)))
    told = tuple(sorted((*BEFORE, the_deployment(10.05, 2), *events), key=lambda e: e.at))
    record = streams.record(events=told, steps=tuple(steps))
    found = rollout(record, record.steps[0])
    assert found is not None
    return found


def new_pod(at, n):
    return streams.seen(at, streams.pod(f"new-{n}", owner="rs-2"))


def lost(at, named):
    return streams.gone(at, streams.pod(named, owner="rs-1", terminating=True))


def floor(moment):
    return moment.least


def test_one_more_than_the_surge_allows_is_seen():
    assert recorded(a_set(10.1, "rs-2", 1), new_pod(12, 0)).above is None
    worst = recorded(a_set(10.1, "rs-2", 2), new_pod(12, 0)).above
    assert (worst.sized, worst.most) == (5, 4)


def test_what_is_over_sooner_than_events_of_two_kinds_change_places_is_not_held_against_it():
    assert recorded(a_set(10.1, "rs-2", 2), a_set(10.12, "rs-1", 2), new_pod(12, 0)).above is None


def test_a_pod_that_goes_by_itself_is_missing_for_as_long_as_it_is():
    story = recorded(a_set(10.1, "rs-2", 1), lost(11.0, "old-0"), new_pod(13.0, 0))
    worst, seconds = story.below(floor)
    assert (worst.ready, worst.least) == (2, 3)
    assert seconds == pytest.approx(2.0)


def test_a_pod_that_another_step_took_is_excused_until_it_is_made_up_for():
    events = (a_set(10.1, "rs-2", 1), lost(11.01, "old-0"), new_pod(13.0, 0))
    assert recorded(*events, hit=[(11.0, "old-0")]).below(floor) == (None, 0)
    again = recorded(*events, lost(15.0, "old-1"), new_pod(16.0, 1), hit=[(11.0, "old-0")])
    assert again.below(floor)[1] == pytest.approx(1.0), "the next one that goes is the rollout's own"


def test_a_pod_that_was_hit_before_it_was_told_to_be_ready_is_not_held_against_it():
    """The watch told at 11.2 that it was, and so an old one could go; the kill was ordered at 11.0."""
    coming = streams.seen(10.5, streams.pod("new-0", ready=False, owner="rs-2"))
    events = (coming, new_pod(11.2, 0), lost(11.21, "old-0"))
    killed = streams.gone(11.3, streams.pod("new-0", owner="rs-2", terminating=True))
    told = (*events, a_set(11.05, "rs-2", 2), killed, new_pod(12.0, 1))
    assert recorded(*told, hit=[(11.0, "new-0")]).below(floor) == (None, 0)
    moment, seconds = recorded(*told).below(floor)
    assert moment is not None
    assert (moment.ready, round(seconds, 2)) == (2, 0.7)


def test_it_ends_as_kubectl_sees_it_and_what_comes_after_is_no_part_of_it():
    done = the_deployment(15.0, 2, updated=3)
    story = recorded(a_set(10.1, "rs-2", 3), the_deployment(14.0, 2, updated=3, total=4), done, lost(16.0, "old-0"))
    assert (story.ended, story.until) == (15.0, 15.0)
    assert story.below(floor) == (None, 0)


def test_the_controller_s_nod_to_the_mark_on_the_deployment_is_no_end_of_the_rollout():
    """Annotations raise a Deployment's generation: it is complete as it was, with a generation of after the step."""
    nod = the_deployment(10.02, 1, updated=3)
    assert recorded(nod, a_set(10.1, "rs-2", 1)).ended is None


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────────────────────────


# What Kubernetes' own tables say (pkg/controller/deployment/util/deployment_util_test.go, TestResolveFenceposts,
# TestMaxUnavailable), in replicas.
@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "least", "most"),
    [
        (10, "0%", "0%", 9, 10),
        (1, "0%", "0%", 0, 1),
        (10, 1, 0, 10, 11),
        (10, "10%", "10%", 9, 11),
        (3, "25%", "25%", 3, 4),
        (4, "25%", "25%", 3, 5),
        (10, 0, 10, 0, 10),
        (10, 0, "99%", 1, 10),
        (10, 0, 11, 0, 10),
        (0, "25%", "25%", 0, 0),
    ],
)
def test_bounds_are_those_of_the_deployment_controller(replicas, surge, unavailable, least, most):
    assert bounds(deployment(replicas, maxSurge=surge, maxUnavailable=unavailable)) == Bounds(least, most)


def test_a_strategy_that_says_nothing_is_a_quarter_each():
    assert bounds({"spec": {"replicas": 8}}) == Bounds(6, 10)


def test_recreate_has_no_floor_and_no_surge():
    assert bounds({"spec": {"replicas": 3, "strategy": {"type": "Recreate"}}}) == Bounds(0, 3)


@given(st.integers(1, 500), st.integers(0, 100), st.integers(0, 100))
def test_there_is_always_room_to_move_and_never_less_than_nothing(replicas, surge, unavailable):
    found = bounds(deployment(replicas, maxSurge=f"{surge}%", maxUnavailable=f"{unavailable}%"))
    assert 0 <= found.least <= replicas <= found.most
    assert found.least < found.most, "otherwise a rollout could never take a step"
    assert found.most - replicas < Fraction(surge * replicas, 100) + 1
