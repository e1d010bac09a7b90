"""Whole runs on the public fake: the way it should go, and every kind of trouble on the way.

Whatever happens, a run ends healed, without its namespace, with a folder that can be judged, and without a traceback.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, Story, heal_later, play, story

from chaoskit import loadpods
from chaoskit.adapters.fake import NEVER, Behaviour, FakeWorld, Fault, manifests
from chaoskit.errors import PortError, ToolError, UsageError
from chaoskit.journal import FILE, Entry, Journal
from chaoskit.model import RUN_LABEL, Right, Verdict
from chaoskit.objects import ready
from chaoskit.ports import Signalled
from chaoskit.samples import Outcome, read_samples

DRAIN = EXPERIMENT.replace(
    "kill_pod: {of: deployment/front, mode: now}", "drain_node: {of: deployment/front, within: 20s}"
)
BRIEF = """\
name: as short as a run can be
load: {locustfile: none, pulse: {period: 200ms}}
steady_state: {hold: [pulse_failures < 1%], for: 100ms}
steps: [{name: drain, drain_node: {of: deployment/front, within: 5s}, watch: 100ms}]
expect: [steady_state: {}]
"""
CORDON = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", "cordon_node: {name: node2}").replace(
    "  - recovery: {of: lose a pod, within: 5s}\n", ""
)


def ends(told: Story, how: str, code: int, says: str = "") -> Story:
    """It ended in this way, and in every way it left nothing behind and can be judged, twice the same."""
    assert told.ending is not None
    assert told.ending.how == how, told.ending.error
    assert told.ending.unhealed == ()
    assert told.residue() == []
    judged = told.judged()
    assert judged.exit_code == code, judged.sentence
    assert judged == told.judged()
    assert says in (judged.error + judged.sentence + str(told.ending.error))
    intents = [e.data["n"] for e in told.entries("intent")]
    assert intents == sorted(set(intents))
    return told


# ── the way it should go ─────────────────────────────────────────────────────────────────────────────────────────────


def test_an_app_that_survives_passes(tmp_path):
    told = ends(play(story(tmp_path)), "complete", 0)
    judged = told.judged()
    assert judged.verdict is Verdict.PASSED
    assert [f.kind for f in judged.asked] == ["recovery", "outage", "metric", "steady_state"]
    assert [t.kind for t in judged.targets] == ["pod"]
    assert [a.uid for a in told.hit()] == [judged.targets[0].uid]


def test_an_app_that_does_not_survive_fails(tmp_path):
    one = (manifests.deployment("front", 1, probe=False), manifests.service("front", kind="LoadBalancer"))
    text = EXPERIMENT.replace("ready >= 3", "ready >= 1").replace("at_most: 1s", "at_most: 500ms")
    told = ends(play(story(tmp_path, text, shop=one)), "complete", 1)
    assert [f.kind for f in told.judged().findings if f.verdict is Verdict.FAILED] == ["outage"]


def test_what_a_pod_said_last_is_kept_though_it_is_gone(tmp_path):
    told = ends(play(story(tmp_path, EXPERIMENT.replace("mode: now", "mode: delete"))), "complete", 0)
    (victim,) = told.judged().targets
    assert "serving" in (told.folder / "logs" / f"{victim.name}.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("watch", "within"), [("4s", 12.0), ("60s", 7.0)], ids=["said to be ready", "known to be away"]
)
def test_healing_does_not_wait_for_logs_from_a_node_without_power(tmp_path, watch, within):
    off = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", "power_off_node: {of: deployment/front}")
    many = (manifests.deployment("front", 9), manifests.service("front", kind="LoadBalancer"))
    told = play(story(tmp_path, off.replace("watch: 4s", f"watch: {watch}"), shop=many))
    assert told.residue() == []
    began = next(e.at for e in told.entries("phase") if e.data["name"] == "heal")
    kept = [path.stem for path in (told.folder / "logs").glob("front-*.log")]
    assert len(kept) >= 1  # Of those on other nodes.
    assert told.entries("healed")[0].at - began < within


def test_the_same_seed_gives_the_same_journal_byte_for_byte(tmp_path):
    journals = [
        (play(story(tmp_path / name, seed=seed)).folder / FILE).read_bytes()
        for name, seed in zip("abc", (5, 5, 6), strict=True)
    ]
    assert journals[0] == journals[1]
    assert journals[0] != journals[2]


def test_an_intent_is_written_before_its_act(tmp_path):
    told = play(story(tmp_path, DRAIN))
    intents = {e.data["target"]["name"]: e.at for e in reversed(told.entries("intent"))}
    acts = [a for a in told.world.cluster.acts if a.verb in ("create", "evict", "patch") and a.name in intents]
    by_chaoskit = [a for a in acts if a.verb != "create" or a.kind == "namespace"]
    assert {a.verb for a in by_chaoskit} == {"create", "evict", "patch"}
    assert all(intents[a.name] <= a.at for a in by_chaoskit)


@pytest.mark.parametrize("text", [DRAIN, CORDON], ids=["drain", "cordon"])
def test_a_node_is_schedulable_again_afterwards(tmp_path, text):
    told = ends(play(story(tmp_path, text)), "complete", 0)
    assert any(a.kind == "node" and a.body.get("spec") == {"unschedulable": True} for a in told.world.cluster.acts)


@pytest.mark.parametrize(
    "text", [CORDON, DRAIN.replace("of: deployment/front", "name: node2")], ids=["cordon", "drain"]
)
def test_a_node_that_was_cordoned_before_stays_cordoned(tmp_path, text):
    world = FakeWorld(3)
    world.cluster.patch("node", "node2", {"spec": {"unschedulable": True}})
    told = play(story(tmp_path, text, world=world))
    assert told.ending.unhealed == ()
    assert told.residue() == ["node: node2"]
    assert told.judged().exit_code == 3


def test_a_drain_waits_for_the_budget_and_ends_with_the_last_pod(tmp_path):
    shop = (*SHOP, manifests.budget("front", minAvailable=2))
    told = ends(play(story(tmp_path, DRAIN.replace("watch: 4s", "watch: 15s"), shop=shop)), "complete", 0)
    (note,) = told.entries("note")
    gone = max(e.at for e in told.entries("landed"))
    assert "was empty" in note.data["text"]
    assert note.at - gone < 2


def test_a_second_app_in_the_namespace_is_refused(tmp_path):
    world = FakeWorld(3)
    world.cluster.create(manifests.namespace(NAMESPACE))
    told = play(story(tmp_path, world=world))
    assert "is there already" in str(told.ending.error)
    assert any(o["metadata"]["name"] == NAMESPACE for o in world.cluster.there("namespace")), "it was not ours"
    assert told.judged().exit_code == 3


def test_a_namespace_that_a_lost_call_made_is_ours(tmp_path):
    """The answer to its creation was lost, and the adapter made the call again."""
    world = FakeWorld(3)
    world.cluster.create(manifests.namespace(NAMESPACE, {RUN_LABEL: RUN}))
    ends(play(story(tmp_path, world=world)), "complete", 0)


# ── trouble ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.5, 1.5, 2.4, 3.0, 3.57, 5.0, 10.0, 13.1])
@pytest.mark.parametrize("for_s", [1.0, 20.0])
def test_an_api_that_is_away_meanwhile(tmp_path, moment, for_s):
    told = play(story(tmp_path, told=lambda world: world.clock.at(moment, lambda: world.cluster.away(for_s))))
    assert told.ending.unhealed == ()
    assert told.residue() == []
    judged = told.judged()
    assert judged.exit_code in (0, 3), judged.sentence
    assert judged == told.judged()


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.ERROR, Fault.CONFLICT])
@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        ("create", "namespace"),
        ("apply", "deployment"),
        ("apply", "service"),
        ("delete", "pod"),
        ("delete", "namespace"),
    ],
)
def test_a_call_that_fails_or_whose_answer_is_lost(tmp_path, fault, verb, kind):
    told = play(story(tmp_path, told=lambda world: world.cluster.trouble.next(fault, verb=verb, kind=kind)))
    assert told.ending.unhealed == ()
    assert told.residue() == []
    assert told.judged().exit_code in (0, 3)


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.RESET, Fault.ERROR, Fault.CONFLICT])
@pytest.mark.parametrize("which", range(4))
def test_a_cordon_or_its_undoing_whose_answer_is_lost(tmp_path, fault, which):
    """The patches of a node, in order: the mark, the cordon, and the undoing of both."""

    def trouble(world):
        patches = world.cluster.trouble
        for _ in range(which):
            patches.next(Fault.GAP, verb="patch", kind="node")
        patches.next(fault, verb="patch", kind="node")

    told = play(story(tmp_path, CORDON, told=trouble))
    assert told.ending.unhealed == ()
    assert told.residue() == []
    told.judged()


@pytest.mark.parametrize("seed", range(12))
def test_trouble_at_random(tmp_path, seed):
    def trouble(world):
        chances = {Fault.LOST: 0.04, Fault.RESET: 0.04, Fault.ERROR: 0.04, Fault.CONFLICT: 0.03, Fault.GAP: 0.03}
        world.cluster.trouble.chances = chances

    told = play(story(tmp_path, (EXPERIMENT, DRAIN, CORDON)[seed % 3], seed=seed, told=trouble))
    told.world.cluster.trouble.chances = {}
    assert told.ending.unhealed == ()
    assert told.residue() == []
    assert told.judged().exit_code in (0, 3)


def test_a_load_that_does_not_start(tmp_path):
    def trouble(world):
        world.load.start_error = PortError("the load did not start")

    ends(play(story(tmp_path, told=trouble)), "broken", 3, "the load did not start")


@pytest.mark.parametrize("moment", [2.4, 3.0, 5.0])
@pytest.mark.parametrize("who", ["pulse", "locust"])
def test_a_load_process_that_dies(tmp_path, moment, who):
    told = story(tmp_path, told=lambda world: world.load.die(moment, who))
    ends(play(told), "broken", 3, "load")


@pytest.mark.parametrize("moment", [0.0, 2.6, 5.0])
def test_a_prometheus_that_is_gone(tmp_path, moment):
    def trouble(world):
        world.clock.at(moment, lambda: setattr(world.metrics, "error", "connection refused"))
        world.clock.advance(1e-9)

    told = play(story(tmp_path, told=trouble))
    assert told.ending.unhealed == ()
    assert told.residue() == []
    judged = told.judged()
    assert judged.exit_code == 3
    assert "connection refused" in judged.error + judged.sentence + str([f.reason for f in judged.findings])


def test_a_steady_state_that_is_never_reached(tmp_path):
    def trouble(world):
        world.metrics.table["ready_fronts"] = 2.0

    told = ends(play(story(tmp_path, told=trouble)), "broken", 3, "steady state was never reached")
    assert not told.entries("step began")


def test_a_rate_is_measured_over_the_time_since_there_is_a_load(tmp_path):
    """A look back to before it would find a part of the rate, and make the steady state late by what it is to last."""
    rate = EXPERIMENT.replace("hold: [failures", "hold: [rate > 12/s, failures").replace(
        "for: 1s, within: 5s", "for: 8s"
    )
    told = ends(play(story(tmp_path, rate)), "complete", 0)
    phases = {e.data["name"]: e.at for e in told.entries("phase")}
    assert 8.0 <= phases["watched"] - phases["steady"] < 12.0


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_steady_state_without_data_is_never_reached(tmp_path, value):
    def trouble(world):
        world.metrics.table["ready_fronts"] = value

    ends(play(story(tmp_path, told=trouble)), "broken", 3, "steady state was never reached")


def test_an_app_that_never_gets_ready(tmp_path):
    def trouble(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(ready=False))

    told = play(story(tmp_path, EXPERIMENT + "app: {ready_within: 10s}\n", told=trouble))
    ends(told, "broken", 3, "deployment/front: 0 of 3 pods are ready")


def test_an_image_that_does_not_exist_is_told_at_once(tmp_path):
    def trouble(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(image="ErrImagePull"))

    told = ends(play(story(tmp_path, told=trouble)), "broken", 3, "ErrImagePull")
    assert told.judged().seconds < 30


def test_a_cluster_that_ends_half_way_convicts_nobody(tmp_path):
    """What users meet after its end is not the app's doing, so the step's window is not watched to its end."""

    def over(world):
        world.cluster.cease()
        world.load.outage(world.clock.now(), 1e9)

    told = play(story(tmp_path, told=lambda world: world.clock.at(5.0, lambda: over(world))))
    assert told.ending is not None
    assert told.ending.how == "broken"
    assert "the cluster ended before the run did" in str(told.ending.error)
    assert told.ending.unhealed == ()
    assert not told.entries("step ended")
    judged = told.judged()
    assert judged.exit_code == 3
    assert not [f for f in judged.asked if f.verdict is Verdict.FAILED]


def test_a_namespace_that_goes_away_half_way_is_told_as_that(tmp_path):
    def trouble(world):
        world.clock.at(5.0, lambda: world.cluster.delete("namespace", NAMESPACE))

    told = play(story(tmp_path, told=trouble))
    assert told.ending.how == "broken"
    assert NAMESPACE in str(told.ending.error)
    assert told.ending.unhealed == ()
    assert told.judged().exit_code != 0


def test_a_workload_that_the_step_names_but_nobody_made(tmp_path):
    told = play(story(tmp_path, EXPERIMENT.replace("deployment/front", "deployment/frnt")))
    ends(told, "broken", 3, "there is no deployment/frnt")


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.3, 1.5, 2.4, 2.6, 3.0, 3.566, 3.6, 5.0, 9.57, 10.0, 11.0, 13.2, 13.5])
@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_a_signal_at_any_moment(tmp_path, moment, signal):
    told = play(story(tmp_path, DRAIN, told=lambda world: world.clock.at(moment, Signalled(signal))))
    assert told.ending.how in ("interrupted", "complete")
    ends(told, told.ending.how, 130 if told.ending.how == "interrupted" else 0)
    if told.ending.how == "interrupted":
        assert signal in told.judged().error
        assert told.world.clock.now() < moment + 3 + 2


def test_a_signal_during_a_signal_s_healing_changes_nothing(tmp_path):
    def trouble(world):
        for moment in (5.0, 5.001, 5.2, 5.4):
            world.clock.at(moment, Signalled("SIGINT"))

    ends(play(story(tmp_path, told=trouble)), "interrupted", 130)


LIMITED = EXPERIMENT + "safety: {stop_if: [pulse_failures > 20%]}\n"


def first_requests_fail(world):
    world.load.outage(0.0, 2.4, Outcome.TIMEOUT)


def test_a_fresh_app_that_nobody_misses_yet_may_fail_its_first_requests(tmp_path):
    told = ends(
        play(story(tmp_path, LIMITED.replace("within: 5s", "within: 9s"), told=first_requests_fail)), "complete", 0
    )
    assert any(not sample.ok for sample in read_samples(told.folder / "pulse"))


def test_one_that_was_there_before_may_not(tmp_path):
    text = LIMITED.replace("load:", f"app: {{namespace: {NAMESPACE}}}\nload:")
    told = inside(tmp_path, text)
    told.world.load.outage(told.world.clock.now(), 1e9, Outcome.TIMEOUT)
    ends(play(told), "stopped", 4, "safety.stop_if: pulse_failures > 20%")


@pytest.mark.parametrize("condition", ["pulse_failures > 20%", "ready < 3"])
def test_a_limit_under_stop_if_ends_the_run_at_once(tmp_path, condition):
    def trouble(world):
        world.load.outage(4.0, 8.0, Outcome.REFUSED)

    text = EXPERIMENT + f"safety: {{stop_if: [{condition}]}}\n"
    told = ends(play(story(tmp_path, text, told=trouble)), "stopped", 4, condition)
    assert told.judged().seconds < 9


@pytest.mark.parametrize(
    ("safety", "step", "says"),
    [
        ("keep_ready: 3", "kill_pod: {of: deployment/front}", "safety.keep_ready is 3"),
        ("keep_ready: 2, at_most: 100%", "kill_pod: {of: deployment/front, count: 2}", "safety.keep_ready is 2"),
        ("at_most: 40%", "kill_pod: {of: deployment/front, count: 2}", "the safety limits allow 1"),
        ("keep_ready: 3", "drain_node: {of: deployment/front}", "safety.keep_ready is 3"),
        ("nodes_at_most: 34%", "cordon_node: {of: deployment/front, count: 2}", "the safety limits allow 1"),
    ],
)
def test_a_step_beyond_the_limits_is_refused_before_anything_is_hit(tmp_path, safety, step, says):
    text = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", step) + f"safety: {{{safety}}}\n"
    told = ends(play(story(tmp_path, text)), "stopped", 4, says)
    assert told.hit() == []


def test_the_limits_are_looked_at_again_right_before_each_act(tmp_path):
    """While the first act waits for an answer that never comes, the others die of themselves: no second act."""

    def trouble(world):
        def lose_the_others():
            world.cluster.behave("app.kubernetes.io/name=front", Behaviour(ready=False))
            for pod in [p for p in world.cluster.there("pod", NAMESPACE) if ready(p)]:
                world.cluster.signal(pod, "front", "KILL")

        world.cluster.trouble.next(Fault.LOST, verb="delete", kind="pod")
        world.clock.at(3.7, lose_the_others)

    step = "kill_pod: {of: deployment/front, mode: now, count: 2}"
    text = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", step) + "safety: {keep_ready: 2}\n"
    told = play(story(tmp_path, text, shop=(manifests.deployment("front", 4), SHOP[1]), told=trouble))
    ends(told, "stopped", 4, "safety.keep_ready is 2")
    assert len([a for a in told.hit() if a.verb == "delete"]) == 1


def test_a_right_that_is_missing_is_named(tmp_path):
    right = Right("delete", "", "pods", NAMESPACE)
    told = play(story(tmp_path, told=lambda world: world.cluster.deny(right)))
    assert told.residue() == []
    judged = told.judged()
    assert judged.exit_code == 3
    assert "delete pods" in str([f.reason for f in judged.findings])


def test_what_cannot_be_healed_is_said_with_what_to_type(tmp_path):
    right = Right("delete", "", "namespaces")
    told = play(story(tmp_path, told=lambda world: world.cluster.deny(right)))
    assert told.judged().exit_code == 5
    ((what, fix),) = told.ending.unhealed
    assert NAMESPACE in what
    assert fix == f"chaoskit heal {RUN}"


class Full(Journal):
    """A journal whose disk is full from its line `at` on."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self._at, self._lines = at, 0

    def write(self, kind: str, at: float, **data) -> Entry:
        self._lines += 1
        if self._lines > self._at:
            raise ToolError("the journal cannot be written", why="No space left on device")
        return super().write(kind, at, **data)


@pytest.mark.parametrize("at", [0, 1, 2, 9, 15, 17, 19, 22, 30, 40])
def test_a_disk_that_fills_up_ends_the_run_but_not_the_healing(tmp_path, at):
    told = play(story(tmp_path, DRAIN), lambda path: Full(path, at))
    assert isinstance(told.ending.error, ToolError)
    assert told.ending.unhealed == ()
    assert told.residue() == []
    if at:
        assert told.judged().exit_code == (5 if told.entries("intent") else 3), "what could not be noted is not known"


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """What kill -9 is to the process: nothing of it goes on."""


class Dying(Journal):
    """A journal whose process is killed right before, or right after, its line `at` is on the disk."""

    def __init__(self, path: Path, at: int, after: bool) -> None:
        super().__init__(path)
        self._at, self._after, self._lines = at, after, 0

    def write(self, kind: str, at: float, **data) -> Entry:
        self._lines += 1
        if self._lines > self._at + self._after:
            raise Killed
        entry = super().write(kind, at, **data)
        if self._after and self._lines == self._at + 1:
            self._lines += 1
            raise Killed
        return entry


@pytest.mark.parametrize("from_journal", [True, False], ids=["with its folder", "from the cluster alone"])
@pytest.mark.parametrize("after", [False, True], ids=["before the line", "after the line"])
def test_a_run_killed_at_any_line_of_its_journal_can_be_healed(tmp_path, after, from_journal):
    kinds = [e.kind for e in play(story(tmp_path / "whole", BRIEF)).entries()]
    assert {"phase", "intent", "outcome", "landed", "condition", "step began", "step ended", "ended"} < set(kinds)
    for n in range(len(kinds)):
        told = story(tmp_path / str(n), BRIEF)
        with pytest.raises(Killed):
            play(told, lambda path, n=n: Dying(path, n, after))
        told.world.clock.advance(1.0)
        healed = heal_later(told, from_journal=from_journal)
        assert all(h.done for _, h in healed), (kinds[n], healed)
        assert told.residue() == [], kinds[n]
        assert all(h.done for _, h in heal_later(told, from_journal=from_journal)), "healing twice is healing once"
        assert told.residue() == []


def test_a_killed_run_is_judged_as_broken_and_not_healed(tmp_path):
    told = story(tmp_path)
    with pytest.raises(Killed):
        play(told, lambda path: Dying(path, 20, False))
    judged = told.judged()
    assert judged.exit_code == 5
    assert "it was killed" in judged.sentence
    assert judged.unhealed == ((f"namespace namespace/{NAMESPACE}: it was never healed", f"chaoskit heal {RUN}"),)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no run's folder"):
        Story(FakeWorld(), story(tmp_path).plan, tmp_path / "nothing").judged()


def test_a_pod_that_ignores_its_end_does_not_hold_the_run_for_ever(tmp_path):
    def trouble(world):
        world.cluster.behave("app.kubernetes.io/name=front", Behaviour(stop_s=NEVER))

    text = EXPERIMENT.replace("mode: now", "mode: delete, grace: 1s")
    told = play(story(tmp_path, text, told=trouble))
    assert told.ending.unhealed == ()
    assert told.residue() == []


# ── a load from inside ───────────────────────────────────────────────────────────────────────────────────────────────

INSIDE = EXPERIMENT.replace("load: {", "load: {workers: 2, ")
PODS = {f"chaoskit-{who}-{RUN[-4:]}" for who in ("pulse", "locust", "locust-1", "locust-2")}


def test_a_load_from_inside_has_pods_of_its_own_which_go_again(tmp_path):
    told = ends(play(story(tmp_path, INSIDE)), "complete", 0)
    made = {e.data["target"]["name"] for e in told.entries("intent") if e.data["verb"] == "load_pod"}
    assert made == PODS


def test_load_pods_whose_image_cannot_be_had_end_the_run_with_their_cause(tmp_path):
    told = story(tmp_path, INSIDE)
    told.world.cluster.behave("app.kubernetes.io/name=chaoskit-load", Behaviour(image="ErrImagePull"))
    ends(play(told), "broken", 3, "the load's pods cannot start")
    assert "chaoskit cluster image" in told.ending.error.fix


def test_load_pods_that_find_no_room_end_the_run_with_their_cause(tmp_path):
    many = INSIDE.replace("workers: 2", "workers: 200")
    told = ends(play(story(tmp_path, many.replace("load:", "app: {ready_within: 5s}\nload:"))), "broken", 3)
    assert "the load's pods did not run within 5 s" in str(told.ending.error)


@pytest.mark.parametrize("from_journal", [True, False], ids=["with its folder", "from the cluster alone"])
def test_load_pods_of_a_run_killed_at_any_line_go_when_it_is_healed_and_those_of_others_stay(tmp_path, from_journal):
    text = BRIEF.replace("load: {", "load: {workers: 1, ").replace("load:", f"app: {{namespace: {NAMESPACE}}}\nload:")
    kinds = [e.kind for e in play(inside(tmp_path / "whole", text)).entries()]
    assert kinds.count("intent") > 1
    for n in range(len(kinds)):
        told = inside(tmp_path / str(n), text)
        with pytest.raises(Killed):
            play(told, lambda path, n=n: Dying(path, n, True))
        told.world.clock.advance(1.0)
        assert all(healed.done for _, healed in heal_later(told, from_journal=from_journal)), kinds[n]
        assert told.residue() == [], kinds[n]
        assert "other" in {o["metadata"]["name"] for o in told.world.cluster.there("pod", NAMESPACE)}


def inside(folder: Path, text: str) -> Story:
    """A run in a namespace that is there, in which another run has a pod of its load."""
    world = FakeWorld(7)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    meta = {"name": "other", "labels": {RUN_LABEL: "another-run", loadpods.ROLE_LABEL: "pulse"}}
    other = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    world.cluster.create(space)
    for manifest in (*SHOP, other):
        world.cluster.create(manifest, NAMESPACE)
    return story(folder, text, world=world, shop=())
