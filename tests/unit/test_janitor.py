"""What ended runs left is put back: by a janitor when they fall silent, by `chaoskit heal` when it is typed."""

from __future__ import annotations

import pytest
from test_heal import KEY, RUN, cordon, cordoned, intent, node
from test_lease import nodes, planned, renewed_every, take, time_of

from chaoskit import heal, lease
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.errors import ForbiddenError
from chaoskit.janitor import Janitor, finish, finish_ended
from chaoskit.model import RUN_LABEL, Right
from chaoskit.objects import annotation
from chaoskit.silence import AGAIN_AFTER_S


@pytest.fixture
def world():
    world = FakeWorld(1)
    for space in ("shop", "mill"):
        world.cluster.create(manifests.namespace(space))
    return world


class Watching:
    """A janitor on the double, which looks whenever it would."""

    def __init__(self, world):
        self.world, self.said = world, []
        self.janitor = Janitor(world.cluster, time_of(world), self.said.append)

    def look_for(self, seconds):
        end = self.world.clock.now() + seconds
        while self.world.clock.now() < end:
            self.janitor.look()
            self.world.clock.advance(2.0)


def leases(world):
    return [o["metadata"]["name"] for o in world.cluster.there("lease")]


def dead(world):
    """A run that cordoned a node, and was killed."""
    take(world, planned(RUN, nodes()))
    cordon(world)


def test_a_run_that_is_silent_for_15_s_is_healed(world):
    dead(world)
    watching = Watching(world)
    watching.look_for(14)
    assert cordoned(world)
    watching.look_for(4)
    assert not cordoned(world)
    assert annotation(node(world), KEY) == ""
    assert leases(world) == []


def test_a_run_under_way_is_left_alone(world):
    renewed_every(world, take(world, planned(RUN, nodes())))
    cordon(world)
    Watching(world).look_for(120)
    assert cordoned(world)
    assert leases(world) == ["chaoskit", "chaoskit.cluster"]


def test_an_api_that_is_away_does_not_make_a_run_look_dead(world):
    held = take(world, planned(RUN, nodes()))
    cordon(world)
    watching = Watching(world)
    watching.look_for(6)
    world.cluster.away(40)
    watching.look_for(42)
    renewed_every(world, held)
    watching.look_for(60)
    assert cordoned(world)
    assert any("cannot look" in line for line in watching.said)


def test_the_next_janitor_takes_over_from_one_that_died_half_way(world):
    dead(world)
    first, second = Watching(world), Watching(world)
    world.cluster.deny(Right("delete", "coordination.k8s.io", "leases"))
    first.look_for(18)
    assert not cordoned(world)
    assert len(leases(world)) == 2, "it was not finished"
    world.cluster.allow(Right("delete", "coordination.k8s.io", "leases"))
    second.look_for(18)
    assert leases(world) == []


def test_two_janitors_at_once_do_what_one_does(world):
    dead(world)
    both = Watching(world), Watching(world)
    for _ in range(20):
        for one in both:
            one.look_for(0.5)
    assert not cordoned(world)
    assert leases(world) == []


def test_what_cannot_be_healed_keeps_its_lease_and_is_tried_again_later(world):
    dead(world)
    world.cluster.deny(Right("patch", "", "nodes"))
    watching = Watching(world)
    watching.look_for(18)
    tries = [line for line in watching.said if "is silent" in line]
    assert len(tries) == 1
    assert f"  next: chaoskit heal {RUN}" in watching.said
    assert leases(world)
    world.cluster.allow(Right("patch", "", "nodes"))
    watching.look_for(AGAIN_AFTER_S)
    assert not cordoned(world)
    assert leases(world) == []


# ── chaoskit heal ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_is_named_is_healed_whether_or_not_it_is_under_way(world):
    renewed_every(world, take(world, planned("r9", namespace="mill")))
    dead(world)
    (outcome,) = finish(world.cluster, RUN, (), time_of(world))
    assert outcome[1].done
    assert not cordoned(world)
    assert leases(world) == ["chaoskit"]


def test_without_a_name_ended_runs_are_healed_and_the_others_are_named(world):
    renewed_every(world, take(world, planned("r9", namespace="mill")))
    world.cluster.create(manifests.namespace("theirs", {RUN_LABEL: "r9"}))
    dead(world)
    said = []
    done = finish_ended(world.cluster, time_of(world), said.append)
    assert [(i.run, h.done) for i, h in done] == [(RUN, True)]
    assert any(line.startswith("· r9 is under way and left alone; chaoskit heal r9") for line in said)
    assert not cordoned(world)
    assert leases(world) == ["chaoskit"]
    assert "theirs" in [o["metadata"]["name"] for o in world.cluster.there("namespace")]


def test_what_a_run_without_a_lease_left_is_healed_at_once(world):
    cordon(world)
    assert [h.done for _, h in finish_ended(world.cluster, time_of(world), lambda line: None)] == [True]
    assert world.clock.now() < 1


def test_where_nothing_is_left_nothing_is_looked_for(world):
    said = []
    assert finish_ended(world.cluster, time_of(world), said.append) == []
    assert said == []


def test_the_journal_and_the_cluster_tell_of_the_same_once(world):
    dead(world)
    done = finish(world.cluster, RUN, [intent(world)], time_of(world))
    assert len(done) == 1


def test_a_run_is_healed_by_who_may_not_look_at_what_it_did_not_touch(world):
    world.cluster.deny(Right("list", "", "nodes"))
    world.cluster.deny(Right("list", "", "namespaces"))
    world.cluster.deny(Right("list", "coordination.k8s.io", "leases", "default"))
    take(world, planned(RUN))
    assert finish(world.cluster, RUN, (), time_of(world), "shop") == []
    assert leases(world) == []
    assert heal.found_in(world.cluster, RUN, "shop") == []
    assert lease.found_in(world.cluster, RUN, "shop") == []


def test_who_may_look_into_one_namespace_only_has_to_name_it(world):
    for kind in ("deployments", "statefulsets"):
        world.cluster.deny(Right("list", "apps", kind))
    with pytest.raises(ForbiddenError) as refused:
        finish(world.cluster, RUN, (), time_of(world))
    assert refused.value.fix == f"name the run's namespace: chaoskit heal {RUN} -n NAMESPACE"
