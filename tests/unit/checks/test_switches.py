"""Traffic that goes over to another colour, and traffic that is shared: judged from the answers alone."""

from __future__ import annotations

import math

import pytest
import streams
from hypothesis import given
from hypothesis import strategies as st
from stories import EXPERIMENT, play, story

from chaoskit.adapters.fake import manifests
from chaoskit.checks.share import Share as ShareCheck
from chaoskit.checks.share import Z
from chaoskit.checks.switched import Switched
from chaoskit.contracts import Act, StepRecord
from chaoskit.evidence_answers import wilson
from chaoskit.model import Target, Verdict
from chaoskit.samples import Outcome, Stream

BLUE, GREEN = "front-1|1|blue", "front-2|2|green"


def answered(until, by, *, period=0.01, stream=Stream.FRESH, lost=()):
    """Requests every `period`; `by` says of the time who answers, or None for an answer without a name."""
    return tuple(
        streams.sample(
            n * period,
            Outcome.RESET if n in lost else Outcome.OK,
            stream=stream,
            answerer=by(n * period),
        )
        for n in range(round(until / period))
    )


def switching(at):
    return lambda t: BLUE if t < at else GREEN


def step(*, began=10.0, ended=20.0, took=0.01):
    act = Act("switch", Target("service", "front", streams.NS, "s"), began, began + took, began + 0.05, "switched")
    return StepRecord("switch", "switch_service", began, ended, (act,))


def judged(pulse, check=None, *, locust=(), **about):
    check = check or Switched(of="switch", to="green", within="1s")
    return check.judge(streams.record(pulse=pulse, locust=locust, steps=(step(**about),), pulse_period_s=0.01))


def test_a_switch_in_time_without_a_loss_passes_with_its_time():
    finding = judged(answered(20, switching(10.3)))
    assert finding.verdict is Verdict.PASSED, finding.reason
    assert finding.value == pytest.approx(0.29, abs=0.011)


def test_a_request_that_the_old_colour_answers_too_late_fails_it():
    finding = judged(answered(20, lambda t: BLUE if t < 10.2 or 15 <= t < 15.01 else GREEN))
    assert finding.verdict is Verdict.FAILED
    assert finding.value == pytest.approx(5, abs=0.02)


def test_a_single_lost_request_fails_it():
    finding = judged(answered(20, switching(10.3), lost={1500}))
    assert finding.verdict is Verdict.FAILED
    assert finding.reason == "1 of 1,000 requests lost in this step, at most 0 allowed"


def test_a_loss_before_the_step_is_not_its_own():
    assert judged(answered(20, switching(10.3), lost={500})).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (lambda t: GREEN, "nothing was switched"),
        (lambda t: BLUE if t < 10.3 else "" if t > 18 else GREEN, "did not tell their colour"),
    ],
)
def test_what_cannot_be_known_is_undecided(by, why):
    finding = judged(answered(20, by))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert why in finding.reason


def test_a_step_that_was_watched_too_briefly_is_undecided():
    check = Switched(of="switch", to="green", within="30s")
    assert judged(answered(20, switching(10.3)), check).verdict is Verdict.INCONCLUSIVE


def test_kept_connections_are_judged_where_they_are_meant():
    fresh = answered(20, switching(10.2))
    kept = answered(20, lambda t: BLUE, stream=Stream.KEPT)
    assert judged((*fresh, *kept)).verdict is Verdict.PASSED
    for connections in ("kept", "all"):
        check = Switched(of="switch", to="green", within="1s", connections=connections)
        assert judged((*fresh, *kept), check).verdict is Verdict.FAILED


# ── shares ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def shared(every):
    """One of `every` answers by version 2."""
    return answered(20, lambda t: GREEN if round(t * 100) % every == 0 else BLUE)


def share(**more):
    return ShareCheck.model_validate({"of": "switch", "is": "2", "expected": "25%", "tolerance": "8%", **more})


def test_a_share_as_expected_passes():
    finding = judged(shared(4), share())
    assert finding.verdict is Verdict.PASSED, finding.reason
    assert finding.value == pytest.approx(0.25)
    assert "Wilson" in finding.reason


def test_another_share_fails():
    assert judged(shared(2), share()).verdict is Verdict.FAILED
    assert judged(answered(20, lambda t: BLUE), share()).verdict is Verdict.FAILED


def test_too_few_requests_decide_nothing():
    finding = judged(shared(4), share(settle="9800ms"))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "cannot tell" in finding.reason


def test_what_happens_before_it_settles_does_not_count():
    late = answered(20, lambda t: BLUE if t < 12 else GREEN if round(t * 100) % 4 == 0 else BLUE)
    assert judged(late, share(settle="2s")).verdict is Verdict.PASSED


@given(st.integers(1, 2000), st.data(), st.floats(0.5, 5))
def test_wilson_s_interval_contains_what_was_measured_and_lies_within_the_possible(of, data, z):
    hits = data.draw(st.integers(0, of))
    low, high = wilson(hits, of, z)
    assert 0 <= low <= hits / of + 1e-12
    assert hits / of - 1e-12 <= high <= 1


@given(st.integers(1, 500), st.data())
def test_wilson_s_bounds_are_the_shares_from_which_the_measured_one_is_z_away(of, data):
    """How the interval is defined: |p̂ - p| = z·√(p(1-p)/n) at its ends."""
    hits = data.draw(st.integers(0, of))
    for bound in wilson(hits, of, Z):
        if 0 < bound < 1:
            assert abs(hits / of - bound) == pytest.approx(Z * math.sqrt(bound * (1 - bound) / of), rel=1e-6)


def test_wilson_s_interval_as_published():
    """5 of 10 at 95 %: 0.2366 to 0.7634, as in R. G. Newcombe, Statistics in Medicine 17, 1998."""
    assert wilson(5, 10, 1.959964) == pytest.approx((0.2366, 0.7634), abs=1e-4)


# ── on the double ────────────────────────────────────────────────────────────────────────────────────────────────────


def coloured(named, colour, replicas=3):
    made = manifests.deployment(named, replicas)
    spec = made["spec"]
    for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
        labels["colour"] = colour
    spec["template"]["spec"]["containers"][0]["env"] = [{"name": "COLOUR", "value": colour}]
    return made


def blue_green():
    service = manifests.service("front", kind="LoadBalancer")
    service["spec"]["selector"] = {"colour": "blue"}
    return (coloured("front", "blue"), coloured("green", "green"), service)


def text(check):
    head = EXPERIMENT.split("steps:")[0]
    switch = "switch_service: {of: service/front, to: {colour: green}}"
    return f"{head}steps: [{{name: switch, {switch}, watch: 6s}}]\nexpect: [{{{check}}}]\n"


def test_new_connections_go_over_and_kept_ones_stay(tmp_path):
    fresh = "switched: {of: switch, to: green, within: 2s}"
    assert play(story(tmp_path / "a", text(fresh), shop=blue_green())).judged().exit_code == 0
    kept = "switched: {of: switch, to: green, within: 2s, connections: kept}"
    assert play(story(tmp_path / "b", text(kept), shop=blue_green())).judged().exit_code == 1
