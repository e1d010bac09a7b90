"""One run at a time on the same target, and a Lease by which everybody knows that it is under way."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story

from chaoskit import lease, spec
from chaoskit.adapters.clock import SystemClock
from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.adapters.renewal import Renewal
from chaoskit.errors import RefusedError, UnreachableError
from chaoskit.lease import Time
from chaoskit.model import Right
from chaoskit.plan import Plan
from chaoskit.ports import LeaseLost
from chaoskit.silence import Life, Silence

THERE = EXPERIMENT.replace("load:", "app: {namespace: shop}\nload:")
CORDON = "cordon_node: {of: deployment/front}"


def planned(run="r1", text=THERE, namespace="shop", made=()):
    return Plan(spec.loads(text), run, namespace, 1, made, who="ada@mill")


def nodes(text=THERE):
    return text.replace("kill_pod: {of: deployment/front, mode: now}", CORDON).replace(
        "  - recovery: {of: lose a pod, within: 5s}\n", ""
    )


@pytest.fixture
def world():
    world = FakeWorld(1)
    for space in ("shop", "mill"):
        world.cluster.create(manifests.namespace(space))
    return world


def time_of(world):
    return Time(world.clock.now, world.clock.advance, lambda: world.clock.unix(world.clock.now()))


def take(world, plan, left=lambda run: False):
    return lease.take(world.cluster, plan, time_of(world), left)


def renewed_every(world, held, every=3.0):
    """As the thread beside the engine does it."""

    def renew():
        for one in held:
            lease.renew(world.cluster, one, world.clock.unix(world.clock.now()))
        world.clock.after(every, renew)

    world.clock.after(every, renew)


def names(world):
    return [f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in world.cluster.there("lease")]


def test_a_run_takes_what_it_tests_and_lets_it_go(world):
    held = take(world, planned())
    assert names(world) == ["shop/chaoskit"]
    (there,) = world.cluster.there("lease")
    assert there["spec"]["holderIdentity"] == "r1"
    assert there["metadata"]["annotations"]["chaoskit.io/by"] == "ada@mill"
    lease.release(world.cluster, held, world.clock.advance)
    assert names(world) == []


def test_a_fresh_namespace_and_the_nodes_have_theirs_where_nobody_deletes_it(world):
    take(world, planned(text=nodes(EXPERIMENT), namespace="new", made=SHOP))
    assert names(world) == ["default/chaoskit.namespace.new", "default/chaoskit.cluster"]


def test_a_second_run_is_told_by_whom_and_what_to_type(world):
    renewed_every(world, take(world, planned()))
    with pytest.raises(RefusedError, match="namespace shop is being tested") as refused:
        take(world, planned("r2"))
    assert refused.value.exit_code == 4
    assert "run r1 of ada@mill, since 2027-01-15 08:00:00 UTC" in refused.value.why
    assert "chaoskit heal r1" in refused.value.fix
    assert world.clock.now() < 5


def test_two_namespaces_may_be_tested_at_once_but_the_nodes_once_only(world):
    renewed_every(world, take(world, planned()))
    renewed_every(world, take(world, planned("r2", nodes(), "mill")))
    with pytest.raises(RefusedError, match="the whole cluster is being tested"):
        take(world, planned("r3", nodes(EXPERIMENT), "new", SHOP))
    assert names(world) == ["shop/chaoskit", "mill/chaoskit", "default/chaoskit.cluster"], "all or none"


def test_the_lease_of_a_run_that_died_runs_out(world):
    take(world, planned())
    take(world, planned("r2"))
    assert world.clock.now() == pytest.approx(16, abs=1.5)
    assert [o["spec"]["holderIdentity"] for o in world.cluster.there("lease")] == ["r2"]


def test_what_a_dead_run_left_is_told_at_each_later_start_until_it_is_dealt_with(world):
    take(world, planned())
    for _ in range(2):
        with pytest.raises(RefusedError, match="not as it was") as refused:
            take(world, planned("r2"), left=lambda run: run == "r1")
        assert refused.value.fix == "chaoskit heal r1"
    take(world, planned("r2"))


def test_a_janitor_that_heals_the_dead_run_meanwhile_is_waited_for(world):
    take(world, planned())
    take(world, planned("r2"), left=lambda run: world.clock.now() < 25)
    assert world.clock.now() == pytest.approx(26, abs=1.5)


def test_while_a_run_waits_for_the_nodes_nobody_takes_it_for_dead(world):
    """Its namespace's Lease is its own already, and a janitor looks."""
    take(world, planned("r1", nodes(), "mill"))
    seen, looks = Silence(), []

    def look():
        looks.append(seen.look(lease.found_in(world.cluster, "r2"), world.clock.now()).get("r2"))
        world.clock.after(2.0, look)

    world.clock.after(2.0, look)
    held = take(world, planned("r2", nodes(EXPERIMENT), "new", SHOP), left=lambda run: world.clock.now() < 30)
    assert len(held) == 2
    assert Life.UNDER_WAY in looks
    assert Life.SILENT not in looks


def test_a_lease_that_is_let_go_while_it_is_looked_at_is_taken(world):
    held = take(world, planned())
    world.clock.after(4, lambda: lease.release(world.cluster, held, world.clock.advance))
    take(world, planned("r2"))
    assert world.clock.now() < 7


def test_an_answer_that_is_lost_does_not_keep_a_run_from_its_own_lease(world):
    world.cluster.trouble.next(Fault.LOST, verb="create", kind="lease")
    (held,) = take(world, planned())
    assert held.uid
    world.cluster.trouble.next(Fault.RESET, verb="create", kind="lease")
    with pytest.raises(UnreachableError):
        take(world, planned("r2", namespace="mill"))
    assert names(world) == ["shop/chaoskit"]


@pytest.mark.parametrize("text", [THERE, nodes(), nodes(EXPERIMENT)])
def test_it_takes_no_more_rights_than_it_says(world, text):
    plan = planned(text=text, namespace="new", made=SHOP) if text == nodes(EXPERIMENT) else planned(text=text)
    given = {(r.verb, r.namespace) for r in lease.rights(plan)}
    for space in ("shop", "mill", "default"):
        for verb in ("get", "list", "create", "patch", "delete"):
            if (verb, space) not in given:
                world.cluster.deny(Right(verb, "coordination.k8s.io", "leases", space))
    held = take(world, plan)
    lease.renew(world.cluster, held[0], 0.0)
    lease.drop(world.cluster, "r1", world.clock.advance, "shop")
    assert names(world) == []


def test_who_is_under_way_is_known_as_soon_as_it_is_heard_of(world):
    renewed_every(world, take(world, planned()))
    assert lease.lives(world.cluster, time_of(world)) == {"r1": Life.UNDER_WAY}
    assert world.clock.now() < 5
    take(world, planned("r2", namespace="mill"))
    assert lease.lives(world.cluster, time_of(world)) == {"r1": Life.UNDER_WAY, "r2": Life.SILENT}
    assert world.clock.now() > 15


def test_a_run_whose_lease_is_taken_away_learns_of_it(world):
    held = take(world, planned())
    clock = SystemClock()
    renewal = Renewal(world.cluster, held, clock, every_s=0.01)
    assert clock.wait(0.1) is None
    lease.drop(world.cluster, "r1", world.clock.advance)
    found = clock.wait(5.0)
    assert isinstance(found, LeaseLost)
    renewal.let_go()


def test_a_renewal_that_fails_is_tried_again(world):
    held = take(world, planned())
    before = world.cluster.there("lease")[0]["spec"]["renewTime"]
    world.cluster.trouble.next(Fault.RESET, verb="patch")
    renewal = Renewal(world.cluster, held, SystemClock(), every_s=0.01)
    waited = SystemClock()
    while world.cluster.there("lease")[0]["spec"]["renewTime"] == before and waited.now() < 10:
        waited.wait(0.05)
    renewal.let_go()
    assert world.cluster.trouble.strike("patch", "lease", "") is None
    assert names(world) == []


def test_a_run_that_lost_its_lease_heals_and_says_why(tmp_path):
    told = story(tmp_path, told=lambda w: w.clock.at(8.0, LeaseLost("it is gone")))
    ending = play(told).ending
    assert ending.how == "broken"
    assert "lost its Lease" in str(ending.error)
    assert "it is gone" in str(ending.error)
    assert (ending.unhealed, told.residue()) == ((), [])
    assert told.judged().exit_code == 3
    assert NAMESPACE not in [o["metadata"]["name"] for o in told.world.cluster.there("namespace")]
