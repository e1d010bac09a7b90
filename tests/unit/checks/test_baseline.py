"""Comparing with the steady state: right when it is sure, and silent when it is not."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError
from streams import STEP, record, sample

from chaoskit.checks.baseline import Baseline
from chaoskit.model import Verdict
from chaoskit.samples import Outcome, Stream


def users(during_s, *, steady_s=0.01, jitter=0.2, every=0.02, bad=0.0):
    """Requests from 3 s to 20 s; from 10 s on (the step) they take `during_s`."""
    rng, found, at = random.Random(3), [], 3.0  # noqa: S311 - repeatable
    while at < 20.0:
        took = (during_s if at >= 10.0 else steady_s) * (1 + jitter * (2 * rng.random() - 1))
        outcome = Outcome.HTTP_ERROR if at >= 10.0 and rng.random() < bad else Outcome.OK
        found.append(sample(at, outcome, took=took, stream=Stream.LOCUST))
        at += every
    return tuple(found)


def judged(measure, times, locust, **changes):
    return Baseline(of=STEP, measure=measure, times=times).judge(record(locust=locust, **changes))


def test_what_stayed_as_it_was_passes():
    found = judged("p95", 1.5, users(0.01))
    assert found.verdict is Verdict.PASSED
    assert found.value == pytest.approx(1.0, abs=0.1)
    assert "with 95% confidence" in found.reason


def test_what_became_much_slower_fails_by_how_much():
    found = judged("p95", 1.5, users(0.03))
    assert found.verdict is Verdict.FAILED
    assert found.value == pytest.approx(3.0, rel=0.1)
    assert found.margin == pytest.approx(-1.5, rel=0.2)


def test_what_cannot_be_told_apart_from_the_limit_is_open():
    found = judged("p50", 1.5, users(0.015, jitter=0.3, every=0.05))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.uncertainty > 0


def test_for_a_rate_more_is_better():
    assert judged("rate", 0.8, users(0.01)).verdict is Verdict.PASSED
    assert judged("rate", 0.8, users(0.01, bad=0.6)).verdict is Verdict.FAILED


def test_few_seconds_decide_nothing():
    found = judged("p95", 1.5, users(0.01)[:60])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "5 are needed" in found.reason


def test_nothing_in_the_steady_state_is_no_ground_for_a_ratio():
    found = judged("failures", 1.5, users(0.01, bad=0.1))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no ratio" in found.reason


def test_the_same_run_is_judged_the_same_again():
    assert judged("p95", 1.5, users(0.02)) == judged("p95", 1.5, users(0.02))


def test_only_measures_of_the_load_can_be_compared():
    with pytest.raises(ValidationError, match="p98"):
        Baseline(of=STEP, measure="p98", times=2.0)
