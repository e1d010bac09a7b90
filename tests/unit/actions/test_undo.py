"""An earlier step undone while the run goes on: landed when it is seen, and not done twice."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, play, story

from chaoskit import spec
from chaoskit.adapters.fake import FakeWorld, Fault, Timings
from chaoskit.errors import ExperimentError

QUICK = Timings(node_grace=4.0, toleration=3.0, node_start=1.0)
FAULT = "    kill_pod: {of: deployment/front, mode: now}\n    watch: 4s\n"
RECOVERY = "  - recovery: {of: lose a pod, within: 5s}\n"


def told(folder, fault, *, watch="8s", tell=lambda world: None):
    steps = f"    {fault}\n    watch: {watch}\n  - name: give it back\n    undo: {{of: lose a pod}}\n    watch: 6s\n"
    text = EXPERIMENT.replace(FAULT, steps).replace(RECOVERY, "")
    text = text.replace("outage: {of: lose a pod, at_most: 1s}", "outage: {of: give it back, at_most: 1s}")
    text = text.replace("of: lose a pod, when: at the end", "of: give it back, when: at the end")
    return play(story(folder, text, world=FakeWorld(7, timings=QUICK), told=tell))


@pytest.mark.parametrize("fault", ["cordon_node: {name: node2}", "power_off_node: {name: node2}"])
def test_it_lands_when_what_it_undid_is_seen(tmp_path, fault):
    run = told(tmp_path, fault)
    assert run.judged().exit_code == 0, run.judged().sentence
    landed = run.entries("landed")[-1]
    assert landed.data["step"] == "give it back"
    assert landed.data["how"] == "what the step did is undone: node/node2"


def test_what_is_undone_is_not_healed_again(tmp_path):
    run = told(tmp_path, "power_off_node: {name: node2}")
    orders = [a.verb for a in run.world.cluster.acts if a.verb.startswith("power")]
    assert orders.count("power_off") == 1
    healing = next(e.at for e in run.entries("phase") if e.data["name"] == "heal")
    assert [a for a in run.world.cluster.acts if a.verb == "power_on" and a.at > healing] == []
    assert run.residue() == []


def test_a_step_that_left_nothing_cannot_be_undone(tmp_path):
    """Whatever followed would follow from nothing."""
    run = told(tmp_path, "kill_pod: {of: deployment/front, mode: now}")
    assert run.judged().exit_code == 3
    assert "nothing to undo" in str([f.reason for f in run.judged().findings])


def test_an_undoing_whose_answer_is_lost_is_tried_again(tmp_path):
    def lose(world):
        world.clock.after(14, lambda: world.cluster.trouble.next(Fault.LOST, verb="patch", kind="node"))

    run = told(tmp_path, "cordon_node: {name: node2}", tell=lose)
    assert run.judged().exit_code == 0, run.judged().sentence
    assert run.residue() == []


@pytest.mark.parametrize("named", ["give it back", "never heard of"])
def test_only_an_earlier_step_can_be_undone(named):
    text = EXPERIMENT.replace(FAULT, f"{FAULT}  - name: give it back\n    undo: {{of: {named}}}\n")
    with pytest.raises(ExperimentError, match=f"no earlier step is called '{named}'"):
        spec.loads(text)
