"""Conditions on named values, and the load's measures, with the rule that no data decides nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LIMITS, conditions

from chaoskit import conditions as c
from chaoskit.samples import Outcome, Sample, Stream

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


def sample(at, outcome=Outcome.OK, took=0.01, stream=Stream.LOCUST):
    return Sample(at, at, at + took, 200, outcome, stream, "/", "")


@pytest.mark.parametrize(
    ("text", "name", "op", "limit", "unit"),
    [
        ("errors < 0.1%", "errors", "<", 0.001, "%"),
        ("p99<300ms", "p99", "<", 0.3, "s"),
        ("  rate >= 200/s ", "rate", ">=", 200.0, "/s"),
        ("ready == 3", "ready", "==", 3.0, ""),
        ("memory <= 64 Mi", "memory", "<=", 64 * 2**20, "B"),
    ],
)
def test_a_condition_is_read(text, name, op, limit, unit):
    found = c.parse(text)
    assert (found.name, found.op, found.unit) == (name, op, unit)
    assert found.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "wrong",
    ["", "errors", "errors <", "< 3", "errors < banana", "a < 1 < 2", 5, None, ["a < 1"], "a != 1", "x" * 10**5],
)
def test_a_condition_that_is_none_is_refused_in_a_line(wrong):
    with pytest.raises(ValueError, match=r"errors < 0.1%|no number") as caught:
        c.parse(wrong)
    assert len(str(caught.value)) < 250


@given(conditions(st.just("a")))
def test_a_condition_is_read_back_from_its_text(text):
    assert c.parse(c.parse(text).text) == c.parse(text)


@given(LIMITS, st.sampled_from(list(c._COMPARE)), st.sampled_from([None, math.nan, math.inf, -math.inf]))
def test_no_value_neither_satisfies_nor_violates_anything(limit, op, value):
    assert c.parse(f"a {op} {limit}").holds(value) is None


@given(st.sampled_from(["<", "<=", ">", ">=", "=="]), FINITE, st.lists(FINITE, min_size=1))
def test_the_worst_value_decides_for_all(op, limit, values):
    condition = c.Condition("a", op, limit, "", "")
    everything = all(condition.holds(v) for v in values)
    assert condition.holds(condition.worst(values)) is everything
    if not everything:
        assert condition.margin(condition.worst(values)) <= 0


@given(st.lists(FINITE, min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_enough_values_do_not_exceed(values, share):
    found = c.percentile(values, share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    assert sum(v < found for v in values) < share * len(values)


def test_measures_come_from_the_requests_that_were_due_in_the_window():
    samples = [sample(0.5), sample(1.0), sample(1.5, Outcome.TIMEOUT, 1.0), sample(2.0)]
    assert c.measure("rate", samples, 1.0, 2.0) == 1.0
    assert c.measure("failures", samples, 1.0, 2.0) == 0.5
    assert c.measure("slowest", samples, 1.0, 2.0) == pytest.approx(1.0)


def test_the_pulse_and_the_users_are_not_mixed():
    samples = [sample(1.0, Outcome.REFUSED, stream=Stream.FRESH), sample(1.0), sample(1.1, stream=Stream.KEPT)]
    assert c.measure("pulse_failures", samples, 0, 2) == 0.5
    assert c.measure("failures", samples, 0, 2) == 0.0


@pytest.mark.parametrize("name", [n for n in c.MEASURES if n != "rate"])
def test_no_requests_give_no_value(name):
    assert c.measure(name, [], 0, 1) is None


def test_what_was_not_sent_is_neither_good_nor_bad():
    unsent = sample(1.0, Outcome.NOT_SENT, stream=Stream.FRESH)
    assert c.measure("pulse_failures", [unsent], 0, 2) is None
    assert c.measure("pulse_failures", [unsent, sample(1.1, stream=Stream.FRESH)], 0, 2) == 0.0


def test_an_empty_window_gives_no_rate():
    assert c.measure("rate", [], 1, 1) is None


@pytest.mark.parametrize(
    ("values", "says"), [([], "no data"), ([1.0, math.nan], "NaN"), ([math.inf], "infinite"), ([1.0], "")]
)
def test_undecidable_values_say_why(values, says):
    assert c.undecidable(values).startswith(says)
    assert bool(c.undecidable(values)) == bool(says)
