"""Whole runs made up from seeds: every rule holds, and each rule is seen to be broken by something that breaks it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from chaoskit import heal, janitor
from chaoskit.actions import ACTIONS
from chaoskit.contracts import Action, Healed
from chaoskit.journal import FILE, read
from chaoskit.model import Target
from chaoskit.simulation import Death, play, scenario
from chaoskit.simulation.__main__ import attempt, lines
from chaoskit.simulation.bystanders import CHANGES
from chaoskit.simulation.death import Killed, Life, Mortal, MortalJournal
from chaoskit.simulation.recipes import RECIPES
from chaoskit.simulation.scenario import MEDDLING, Meddling, undisturbed
from chaoskit.spec import Step

pytestmark = pytest.mark.slow

QUICK, THOROUGH = range(150), range(150, 1500)


def test_every_action_is_simulated():
    own = {verb for verb, action in ACTIONS.items() if action.__module__.startswith("chaoskit.")}
    assert own == set(RECIPES)


def test_others_do_whatever_they_may():
    assert set(MEDDLING) == {*CHANGES, "kill a pod"}


@pytest.mark.parametrize("verb", sorted(RECIPES))
def test_a_run_can_be_made_to_take_a_step_of_an_action(verb):
    assert any(step.action.verb == verb for step in scenario(3, verb).experiment.steps)


def broken(seeds):
    return {tried.seed: tried.violations for tried in map(attempt, seeds) if tried.violations}


def test_every_rule_holds():
    assert broken(QUICK) == {}


@pytest.mark.slow
def test_every_rule_holds_in_more_runs():
    assert broken(THOROUGH) == {}


def test_runs_end_in_every_way():
    ends = {told.ending.how if told.ending else "killed" for told in map(play, map(scenario, range(60)))}
    assert ends == {"complete", "interrupted", "stopped", "broken", "killed"}


def test_a_seed_gives_one_story():
    for seed in range(8):
        assert list(lines(play(scenario(seed)))) == list(lines(play(scenario(seed))))


def test_what_others_do_in_the_midst_of_a_run_is_done_and_stays():
    stories = [play(scenario(seed)) for seed in range(40)]
    did = {line.rpartition(": ")[2] for told in stories for line in told.meddled}
    assert {"cordon", "scale", "select", "set a variable"} <= did


# ── the rules can be broken ──────────────────────────────────────────────────────────────────────────────────────────


def calm(verb, seed=0):
    """A run that only takes one step of an action on an app that is there already."""
    made = undisturbed(scenario(seed, verb))
    shop = replace(made.shop, fresh=False, cordoned=frozenset(), protected=frozenset(), control=frozenset())
    app = made.experiment.app.model_copy(update={"namespace": "shop"})
    safety = made.experiment.safety.model_copy(update={"keep_ready": 0, "platform": False})
    experiment = replace(made.experiment, app=app, safety=safety, steps=made.experiment.steps[-1:])
    return replace(made, shop=shop, experiment=experiment, healer="cluster")


def stepping(action, seed=0):
    made = calm("cordon_node", seed)
    return replace(made, experiment=replace(made.experiment, steps=(Step("a step", action, 0.1),)))


def test_a_calm_run_breaks_nothing():
    assert play(calm("cordon_node")).violations == []


@pytest.mark.parametrize("verb", ["cordon_node", "scale", "roll_out", "switch_service", "power_off_node"])
def test_healing_that_forgets_is_caught(verb):
    def forgetful(cluster, run, known, time):
        return [(intent, Healed(True, "surely")) for intent in heal.found_in(cluster, run)]

    deaths = [Death("line", number, "after") for number in range(4, 10)]
    stories = [play(replace(calm(verb, seed), death=death), forgetful) for death in deaths for seed in range(3)]
    caught = [told for told in stories if any("it was healed, and" in why for why in told.violations)]
    assert len(caught) > 3


def test_healing_that_overwrites_what_somebody_did_is_caught():
    def overbearing(cluster, run, known, time):
        done = janitor.finish(cluster, run, known, time)
        cluster.patch("deployment", "front", {"spec": {"replicas": 1}}, "shop")
        return done

    made = calm("scale")
    made = replace(made, trouble=replace(made.trouble, meddling=(Meddling(0.02, "scale"),)))
    told = play(replace(made, death=Death("line", 6, "after")), overbearing)
    assert any("spec.replicas: 6 became 1" in why for why in told.violations)


def test_healing_that_leaves_its_marks_is_caught():
    def careless(cluster, run, known, time):
        done = janitor.finish(cluster, run, known, time)
        for intent, _ in done:
            heal.annotate(cluster, intent)
        return done

    told = play(replace(calm("cordon_node"), death=Death("line", 8, "after")), careless)
    assert any("undo.chaoskit.io" in why for why in told.violations)


class Rogue(Action):
    """Hits without a line in the journal."""

    verb: ClassVar[str] = "rogue"
    kind: str
    named: str
    within: str = ""

    def rights(self, namespace):
        return ()

    def candidates(self, objects, namespace):
        return (Target("service", "front", namespace, "?"),)

    def number(self, of):
        return 1

    def perform(self, stage):
        if self.kind == "node":
            stage.cluster.patch("node", self.named, {"spec": {"unschedulable": True}})
        else:
            stage.cluster.delete(self.kind, self.named, self.within or stage.namespace)

    def landed(self, target, objects):
        return "of course"

    def undo(self, target):
        return ""


@pytest.mark.parametrize(
    ("rogue", "says"),
    [
        (Rogue(kind="service", named="front", within="elsewhere"), ["is in namespace elsewhere", "no line stands for"]),
        (Rogue(kind="node", named="node1"), ["node/node1: spec.unschedulable: None became True"]),
        (Rogue(kind="deployment", named="front"), ["deployment/shop/front is gone"]),
    ],
)
def test_an_act_behind_the_journal_s_back_is_caught(rogue, says):
    told = play(stepping(rogue))
    for words in says:
        assert any(words in why for why in told.violations), told.violations


class Greedy(Rogue):
    """Hits more than the limits allow."""

    def perform(self, stage):
        for pod in stage.objects.all("pod"):
            stage.cluster.delete("pod", pod["metadata"]["name"], pod["metadata"]["namespace"])


def test_an_act_beyond_the_limits_is_caught():
    made = stepping(Greedy(kind="pod", named=""))
    safety = made.experiment.safety.model_copy(update={"keep_ready": 1, "at_most": 0.5})
    shop = replace(made.shop, fronts=3)
    told = play(replace(made, shop=shop, experiment=replace(made.experiment, safety=safety)))
    assert any("safety.keep_ready is 1" in why for why in told.violations)
    assert any("pods; 1 are allowed" in why for why in told.violations)


# ── death ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_killed_process_does_nothing_any_more():
    done = []
    life = Life()
    port = Mortal(done, life)
    port.append(1)
    with pytest.raises(Killed):
        life.kill()
    with pytest.raises(Killed):
        port.append(2)
    assert done == [1]


def test_a_process_that_has_ended_cannot_be_killed():
    life = Life()
    life.end()
    life.kill()
    assert not life.killed


@pytest.mark.parametrize(("how", "whole"), [("before", 2), ("after", 3), ("torn", 2)])
def test_a_journal_at_the_moment_of_death(tmp_path, how, whole):
    journal = MortalJournal(tmp_path / FILE, Life(), 2, how)
    journal.write("note", 0.0, text="a")
    journal.write("note", 0.0, text="b")
    with pytest.raises(Killed):
        journal.write("note", 0.0, text="c")
    with pytest.raises(Killed):
        journal.write("note", 0.0, text="d")
    journal.close()
    assert len(read(tmp_path / FILE)) == whole
    assert (tmp_path / FILE).read_bytes().endswith(b"\n") == (how != "torn")
