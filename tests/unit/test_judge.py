"""The verdict: the worst finding wins, a check that crashes decides nothing, and the exit code says how it ended."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import PHASES, look, paced, points, record, step
from streams import answer as answered

from chaoskit import judge, spec
from chaoskit.contracts import Check, Intent, Record
from chaoskit.errors import PortError
from chaoskit.heal import as_data
from chaoskit.journal import Entry
from chaoskit.model import Finding, Target, Verdict, worst
from chaoskit.samples import Stream

EXPERIMENT = spec.loads(
    """
name: x
why: it matters
load: {users: 4, must_reach: 10/s}
metrics: {errors: q}
steady_state: {hold: [errors < 1%], for: 5s}
steps: [{name: lose a pod, kill_pod: {of: deployment/front}, watch: 10s}]
expect:
  - recovery: {of: lose a pod, within: 5s}
  - outage: {of: lose a pod, at_most: 1s}
  - metric: errors < 1%
"""
)
BAD = {"answers": {"errors": answered(points(0.5))}}
UNKNOWN = {"answers": {}}


def entry(kind: str, **data) -> Entry:
    return Entry(0, 26.0, kind, data)


def judged(how: str | None = "complete", *, entries=(), experiment=EXPERIMENT, **changes):
    ended = () if how is None else (entry("ended", how=how, error="" if how == "complete" else "why"),)
    return judge.judge(experiment, record(**changes), (*entries, *ended), 7)


def healed(n: int, done: bool) -> Entry:
    return entry("healed", n=n, done=done, how="still cordoned", fix="kubectl uncordon node1")


def intent(n: int) -> Entry:
    target = Target("node", "node1", "", "u")
    return entry(
        "intent", what="cordon", **as_data(Intent("r1", n, "a", "cordon_node", target, {"unschedulable": True}))
    )


@pytest.mark.parametrize(
    ("how", "changes", "entries", "code"),
    [
        ("complete", {}, (), 0),
        ("complete", BAD, (), 1),
        ("complete", UNKNOWN, (), 3),
        ("broken", {}, (), 3),
        (None, {}, (), 3),
        ("broken", BAD, (), 1),
        ("stopped", {}, (), 4),
        ("stopped", BAD, (), 4),
        ("interrupted", {}, (), 130),
        ("interrupted", BAD, (), 130),
        ("complete", {}, (intent(1), healed(1, False)), 5),
        ("complete", BAD, (intent(1), healed(1, False)), 5),
        ("interrupted", {}, (intent(1), healed(1, False)), 5),
        ("stopped", {}, (intent(1), healed(1, False)), 5),
        ("complete", {}, (intent(1), healed(1, False), healed(1, True)), 0),
        ("complete", {}, (intent(1), intent(2), healed(1, True), healed(2, False)), 5),
    ],
)
def test_the_exit_code_says_how_it_ended(how, changes, entries, code):
    result = judged(how, entries=entries, **changes)
    assert result.exit_code == code
    if code == 5:
        assert result.unhealed == (("cordon_node node/node1: still cordoned", "kubectl uncordon node1"),)


def test_a_run_that_was_killed_before_it_healed_says_what_to_type():
    result = judged(None, entries=(intent(1),))
    assert result.exit_code == 5
    assert result.unhealed == (("cordon_node node/node1: it was never healed", "chaoskit heal r1"),)


@given(st.lists(st.sampled_from(Verdict)))
def test_the_worst_finding_wins(verdicts):
    expected = Verdict.INCONCLUSIVE
    if verdicts:
        expected = Verdict.PASSED if all(v is Verdict.PASSED for v in verdicts) else Verdict.INCONCLUSIVE
    if Verdict.FAILED in verdicts:
        expected = Verdict.FAILED
    assert worst(verdicts) is expected


def test_a_failure_beside_something_unknown_is_a_failure():
    assert judged(**BAD, pulse=()).verdict is Verdict.FAILED


def test_the_same_record_is_judged_the_same():
    assert judged() == judged()


def test_the_sentence_tells_the_number_that_decided():
    nearest = "recovered from “lose a pod” within 5 s, measured 1.08 s ± 50 ms"
    assert judged().sentence == f"passed: x; all 3 expectations held, nearest to its limit: {nearest}"
    alone = replace(EXPERIMENT, expect=EXPERIMENT.expect[:1])
    assert judged(experiment=alone).sentence == f"passed: x; the expectation held, nearest to its limit: {nearest}"
    assert judged(**BAD).sentence == "failed: errors < 1%, measured 50 %; the worst of 11 samples"
    assert judged(**UNKNOWN).sentence == "inconclusive: errors < 1%; the query was never run"


@pytest.mark.parametrize(
    ("how", "changes", "sentence"),
    [
        ("broken", {}, "the run broke off: why"),
        ("interrupted", {}, "the run was interrupted: why"),
        ("stopped", {}, "the run was stopped by a safety limit: why"),
        (None, {}, "the run broke off: chaoskit was killed, or its machine went down"),
        ("complete", {"steps": ()}, "the step “lose a pod” was never reached"),
        ("complete", {"steps": (step([]),)}, "the step “lose a pod” did nothing: it had nothing to act on"),
        (
            "complete",
            {"locust": paced(25.0, period=0.2, stream=Stream.LOCUST)},
            "too few good answers to Locust's users in the steady state, measured 5/s, limit at least 10/s",
        ),
    ],
)
def test_what_the_verdict_rests_on_is_told_by_what_is_wrong_with_it(how, changes, sentence):
    assert judged(how, **changes).sentence == f"inconclusive: {sentence}"


def test_a_headline_has_the_first_line_of_an_error_alone():
    ended = entry("ended", how="broken", error="the app cannot start\n  because: no such image")
    result = judge.judge(EXPERIMENT, record(), (ended,), 7)
    assert result.sentence == "inconclusive: the run broke off: the app cannot start"
    assert "no such image" in own(result, "came to its end").reason


def test_findings_stand_in_the_experiment_s_order_behind_chaoskit_s_own():
    result = judged()
    assert [f.asked for f in result.findings] == [False] * 4 + [True] * 3
    assert [f.kind for f in result.asked] == ["recovery", "outage", "metric"]
    assert len(result.targets) == 1
    assert (result.seed, result.why, result.how, result.namespace) == (7, "it matters", "complete", "shop")


class Crashing(Check):
    """A check of somebody's."""

    kind: ClassVar[str] = "crashing"

    title_too: bool = False

    def title(self) -> str:
        if self.title_too:
            raise KeyError("title")
        return "it crashes"

    def judge(self, record: Record) -> Finding:
        self.title()
        raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("title_too", [False, True])
def test_a_check_that_crashes_is_inconclusive(title_too):
    from dataclasses import replace

    result = judged(experiment=replace(EXPERIMENT, expect=(Crashing(title_too=title_too),)))
    assert result.exit_code == 3
    assert "the check crashed" in result.asked[0].reason


def test_nothing_expected_is_not_passed():
    from dataclasses import replace

    bare = replace(EXPERIMENT, expect=(), steps=(), load=None, steady_state=None)
    assert judged(experiment=bare).verdict is Verdict.INCONCLUSIVE


def own(result, title):
    return next(f for f in result.findings if title in f.name)


def test_how_each_fault_landed_is_told():
    assert own(judged(), "landed").reason == "pod/front-1: the pod is gone"


def test_why_the_steady_state_was_never_reached_is_told():
    phases = {k: v for k, v in PHASES.items() if k in ("deploy", "load", "steady")}
    looks = (look(5.0, False, phase="steady", value=0.4), look(6.0, None, phase="steady", reason="no data"))
    found = own(judged("broken", phases=phases, steps=(), conditions=looks), "steady state before")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "the steady state was never reached: errors < 1% (no data)"
    assert (
        own(judged("broken", phases=phases, steps=(), conditions=()), "steady state before").reason
        == "the steady state was never reached"
    )


def test_the_load_is_measured_while_the_steady_state_held():
    found = own(judged(), "load was there")
    assert (found.value, found.limit) == (pytest.approx(20.0), "at least 10/s")


def test_a_run_without_a_step_that_ended_is_still_judged():
    result = judged("interrupted", steps=(step(ended=None),), pulse=paced(12.0))
    assert {f.verdict for f in result.asked} == {Verdict.INCONCLUSIVE, Verdict.PASSED} or result.exit_code == 130


def test_port_errors_of_a_check_decide_nothing():
    class Asking(Crashing):
        kind: ClassVar[str] = "asking"

        def judge(self, record: Record) -> Finding:
            raise PortError("gone")

    assert judge._guarded(Asking(), record()).verdict is Verdict.INCONCLUSIVE
