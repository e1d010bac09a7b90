"""What is deployed: a janitor may do what healing takes of every action, a night what its experiments take, and neither
more."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import yaml
from click.testing import CliRunner
from stories import EXPERIMENT, NAMESPACE, SHOP, play, story
from test_rbac import granted

from chaoskit import lease, spec
from chaoskit.actions import ACTIONS
from chaoskit.adapters.fake import FakeWorld, Fault, manifests
from chaoskit.cli import cli
from chaoskit.janitor import Janitor
from chaoskit.model import IN_CLUSTER, OWN_LABEL

DEPLOY = Path(__file__).parents[2] / "deploy"
JANITOR, NIGHTLY = DEPLOY / "janitor", DEPLOY / "nightly"
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


def objects(folder=JANITOR):
    """All that the kustomization applies, but for what it generates."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    found = [o for file in listed["resources"] for o in yaml.safe_load_all((folder / file).read_text())]
    for o in found:
        if "namespace" in listed and not o["kind"].startswith(("Cluster", "Namespace")):
            o["metadata"]["namespace"] = listed["namespace"]
    return found


def cut_off(world):
    """The run breaks something, and never reaches the API again; nor does its Service come back."""
    world.cluster.trouble.next(Fault.RESET, verb="create", kind="service", name="front", times=9)
    world.clock.after(12, lambda: world.cluster.away(999))


def used_to_heal(folder, step, *, fresh, load="load: {"):
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
    text = text.split("expect:")[0].replace("load: {", load) + "expect: [metric: ready >= 1]\n"
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
    used |= used_to_heal(tmp_path / "inside", STEPS["scale"], fresh=False, load="load: {workers: 2, ")
    # The double's claims wait for no pods: they are gone with their namespace before anybody could delete them.
    used.add(("delete", "", "persistentvolumeclaims"))
    assert {one[:3] for one in granted(objects())} == used


def test_every_action_that_leaves_something_is_among_those_tried():
    leaves = {verb for verb, action in ACTIONS.items() if action.annotates}
    assert {SAME.get(verb, verb) for verb in leaves} == set(STEPS)


# ── a night in the cluster ───────────────────────────────────────────────────────────────────────────────────────────


def night():
    """(the CronJob, its pod)."""
    (found,) = (o for o in objects(NIGHTLY) if o["kind"] == "CronJob")
    return found, found["spec"]["jobTemplate"]["spec"]["template"]


def test_a_night_has_the_rights_that_its_experiments_need_and_no_others():
    files = sorted(str(path) for path in (NIGHTLY / "experiments").iterdir())
    written = CliRunner().invoke(cli, ["rbac", *files], catch_exceptions=False).output
    assert (NIGHTLY / "rights.yaml").read_text() == written
    (account,) = (o for o in objects(NIGHTLY) if o["kind"] == "ServiceAccount")
    cron, pod = night()
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert cron["metadata"]["namespace"] == account["metadata"]["namespace"]


def test_a_night_runs_the_experiments_that_the_kustomization_names():
    listed = yaml.safe_load((NIGHTLY / "kustomization.yaml").read_text())
    (generated,) = listed["configMapGenerator"]
    assert sorted(generated["files"]) == sorted(f"experiments/{f.name}" for f in (NIGHTLY / "experiments").iterdir())
    cron, pod = night()
    assert generated["namespace"] == cron["metadata"]["namespace"]
    for file in generated["files"]:
        experiment = spec.load(NIGHTLY / file)
        assert experiment.labels["tier"] == "nightly"
        assert experiment.app.namespace == cron["metadata"]["namespace"]
    (container,) = pod["spec"]["containers"]
    command = cli.commands["run"]
    given = command.make_context("run", [*container["args"]]).params
    assert (given["context"], given["yes"], given["labels"]) == (IN_CLUSTER, True, ("tier=nightly",))
    assert container["workingDir"] in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert pod["metadata"]["labels"][OWN_LABEL]


def test_they_run_the_image_that_is_built_here():
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    (deployment,) = (o for o in objects() if o["kind"] == "Deployment")
    for pod in (night()[1], deployment["spec"]["template"]):
        assert [c["image"] for c in pod["spec"]["containers"]] == [f"chaoskit:{version}"]


# ── the janitor's pods ───────────────────────────────────────────────────────────────────────────────────────────────


def test_two_of_them_run_by_their_own_account():
    (deployment,) = (o for o in objects() if o["kind"] == "Deployment")
    (account,) = (o for o in objects() if o["kind"] == "ServiceAccount")
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    assert pod["containers"][0]["args"][0] in cli.commands
