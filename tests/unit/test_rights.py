"""The rights that `chaoskit plan` tells: with them, and with no others, a run and its healing do all that they do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stories import EXPERIMENT, NAMESPACE, SHOP, heal_later, play, story

from chaoskit import heal, janitor, lease
from chaoskit.adapters.fake import manifests
from chaoskit.adapters.kinds import KNOWN
from chaoskit.model import OPT_IN_LABEL, Right
from chaoskit.session import check_opt_in

VERBS = ("get", "list", "create", "patch", "delete")
ACTIONS = {
    "kill_pod": "kill_pod: {of: deployment/front, mode: now}",
    "evict": "kill_pod: {of: deployment/front, mode: evict}",
    "kill_container": "kill_container: {of: deployment/front}",
    "cordon_node": "cordon_node: {of: deployment/front}",
    "drain_node": "drain_node: {of: deployment/front, within: 5s}",
    "roll_out": "roll_out: {of: deployment/front, env: {VERSION: '2'}}",
    "scale": "scale: {of: deployment/front, to: 4}",
    "call": "call: {of: deployment/front, path: /, port: 80}",
    "recreate_service": "recreate_service: {of: service/front}",
    "power_off_node": "power_off_node: {of: deployment/front}",
    "switch_service": "switch_service: {of: service/front, to: {colour: green}}",
    "from inside": "kill_pod: {of: deployment/front, mode: now}",
}


def everything():
    """All that anybody could be allowed to do with what the double knows."""
    for resource in KNOWN.values():
        yield from (Right(verb, resource.group, resource.plural) for verb in VERBS)
    yield Right("get", "", "pods", "", "log")
    yield Right("get", "", "pods", "", "exec")
    yield from (Right("create", "", "pods", "", part) for part in ("eviction", "exec"))


def with_no_more_than_planned(told):
    """Takes all other rights away. One in a namespace is given in all: the double knows no other way."""
    given = {(r.verb, r.group, r.resource, r.subresource) for r in heal.rights(told.plan)}
    for right in everything():
        if (right.verb, right.group, right.resource, right.subresource) not in given:
            told.world.cluster.deny(right)
    return told


def text(action):
    whole = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", ACTIONS[action])
    if action == "from inside":
        whole = whole.replace("load: {", "load: {workers: 1, ")
    return whole.split("expect:")[0] + "expect: [metric: ready >= 1]\n"


def anywhere(rights):
    """To get one namespace is a right in it, or in the cluster, as one likes."""
    return {replace(r, namespace="") if r.resource == "namespaces" else r for r in rights}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("fresh", [True, False])
def test_what_is_planned_is_what_is_used_and_no_verb_of_it_can_be_missing(tmp_path, action, fresh):
    """Each right that is told is asked for by a run or by its healing: without any of them something is refused."""
    told = story(
        tmp_path, text(action) if fresh else text(action).replace("load:", f"app: {{namespace: {NAMESPACE}}}\nload:")
    )
    cluster, clock = told.world.cluster, told.world.clock
    if not fresh:
        told.plan = replace(told.plan, manifests=())
        cluster.create(manifests.namespace(NAMESPACE, {OPT_IN_LABEL: "true"}))
        for o in SHOP:
            cluster.create(o, NAMESPACE)
        clock.advance(20)
    cluster.used.clear()
    time = lease.Time(clock.now, clock.advance, lambda: 0.0)
    lease.take(cluster, replace(told.plan, run="before"), time, lambda run: False)
    held = lease.take(cluster, told.plan, time, lambda run: False)
    check_opt_in(cluster, told.plan, own=fresh)
    play(told)
    for one in held:
        lease.renew(cluster, one, 0.0)
    used = anywhere(cluster.used)
    janitor.finish(cluster, told.plan.run, (), time, NAMESPACE)
    planned = anywhere(heal.rights(told.plan))
    assert used - planned == set(), "it does what it did not tell"
    # The double's claims wait for no pods: they are gone with their namespace before anybody could delete them.
    claims = {Right("delete", "", "persistentvolumeclaims", NAMESPACE)}
    if action == "from inside":  # Nor does the double's load talk with its pods.
        claims |= {Right(verb, "", "pods", NAMESPACE, "exec") for verb in ("get", "create")}
    assert planned - anywhere(cluster.used) <= claims, "it asks for what it does not need"


def acts(told):
    return [(a.verb, a.kind, a.name) for a in told.world.cluster.acts]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_run_does_with_the_planned_rights_what_it_does_with_all(tmp_path, action):
    free = play(story(tmp_path / "free", text(action)))
    bound = play(with_no_more_than_planned(story(tmp_path / "bound", text(action))))
    assert bound.ending.error is None
    assert bound.ending.unhealed == ()
    assert acts(bound) == acts(free)
    assert ("delete", "pod") in {(verb, kind) for verb, kind, _ in acts(bound)}


def test_healing_by_the_cluster_alone_gets_by_with_them_too(tmp_path):
    def away(world):
        world.clock.after(15, lambda: world.cluster.away(999))

    told = story(tmp_path, text("cordon_node").replace("watch: 4s", "watch: 60s"), told=away)
    play(with_no_more_than_planned(told))
    assert told.residue()
    told.world.clock.advance(1000)
    assert all(healed.done for _, healed in heal_later(told, from_journal=False))
    assert told.residue() == []
