"""What is deployed for a janitor: it may do what healing takes of every action, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story
from test_rbac import granted

from chaoskit import lease
from chaoskit.actions import ACTIONS
from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.cli import cli
from chaoskit.janitor import Janitor

FOLDER = Path(__file__).parents[2] / "deploy" / "janitor"
STEPS = {
    "drain_node": "drain_node: {of: deployment/front}",
    "power_off_node": "power_off_node: {of: deployment/front}",
    "roll_out": "roll_out: {of: deployment/front, env: {VERSION: '2'}}",
    "scale": "scale: {of: statefulset/store, to: 2}",
    "switch_service": "switch_service: {of: service/front, to: {colour: green}}",
    "recreate_service": "recreate_service: {of: service/front}",
}
SAME = {"cordon_node": "drain_node", "freeze_node": "power_off_node", "unplug_node": "power_off_node"}
"""They heal as another one does."""


def objects():
    """All that the kustomization applies."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    found = [o for file in listed["resources"] for o in yaml.safe_load_all((FOLDER / file).read_text())]
    for o in found:
        if not o["kind"].startswith(("Cluster", "Namespace")):
            o["metadata"]["namespace"] = listed["namespace"]
    return found


def cut_off(world):
    """The run breaks something, and never reaches the API again; nor does its Service come back."""
    world.cluster.trouble.next(Fault.RESET, verb="create", kind="service", name="front", times=9)
    world.clock.after(12, lambda: world.cluster.away(999))


def used_to_heal(folder, step, *, fresh):
    """(verb, group, resource) of what a janitor asks for until nothing is left of a run that was cut off."""
    world, shop = FakeWorld(7), (*SHOP, manifests.statefulset("store", 1))
    world.cluster.create(manifests.namespace(NAMESPACE))
    if not fresh:
        for o in shop:
            world.cluster.create(o, NAMESPACE)
        world.clock.advance(20)
    else:
        world.cluster.delete("namespace", NAMESPACE)
        world.clock.advance(20)
    text = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", step).replace("watch: 4s", "watch: 60s")
    text = text.split("expect:")[0] + "expect: [metric: ready >= 1]\n"
    told = story(
        folder, text if fresh else text.replace("load:", f"app: {{namespace: {NAMESPACE}}}\nload:"), world=world
    )
    told.plan = replace(told.plan, manifests=shop if fresh else ())
    time = lease.Time(world.clock.now, world.clock.advance, lambda: 0.0)
    lease.take(world.cluster, told.plan, time, lambda run: False)
    cut_off(world)
    play(told)
    assert told.ending.unhealed, told.ending.error
    world.clock.advance(1000)
    world.cluster.used.clear()
    janitor = Janitor(world.cluster, time, lambda line: None)
    while world.cluster.there("lease") and world.clock.now() < 5000:
        janitor.look()
        world.clock.advance(2.0)
    assert not world.cluster.there("lease")
    return {(right.verb, right.group, right.resource) for right in world.cluster.used}


def test_a_janitor_may_do_what_healing_takes_and_nothing_else(tmp_path):
    used = used_to_heal(tmp_path / "fresh", STEPS["drain_node"], fresh=True)
    for verb, step in STEPS.items():
        used |= used_to_heal(tmp_path / verb, step, fresh=False)
    # The double's claims wait for no pods: they are gone with their namespace before anybody could delete them.
    used.add(("delete", "", "persistentvolumeclaims"))
    assert {one[:3] for one in granted(objects())} == used


def test_every_action_that_leaves_something_is_among_those_tried():
    leaves = {verb for verb, action in ACTIONS.items() if action.annotates}
    assert {SAME.get(verb, verb) for verb in leaves} == set(STEPS)


def test_two_of_them_run_by_their_own_account():
    (deployment,) = (o for o in objects() if o["kind"] == "Deployment")
    (account,) = (o for o in objects() if o["kind"] == "ServiceAccount")
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["containers"][0]["args"][0] in cli.commands
