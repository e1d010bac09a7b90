"""What changed, and whether by more than the noise: a single pair, several runs, and a row of them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chaoskit.differences import Told, compare, trends
from chaoskit.history import Number, PastRun
from chaoskit.model import Verdict
from chaoskit.report import historytext

PASSED, FAILED = Verdict.PASSED, Verdict.FAILED


def number(value, verdict=PASSED, name="outage at most 3 s", uncertainty=0.01, kind="outage", margin=None):
    margin = 3 - value if margin is None and value is not None else margin
    return Number(name, kind, "lose a pod", verdict, value, "s", uncertainty, "at most 3 s", margin)


def past(*numbers, at=0.0, experiment="the shop"):
    return PastRun(f"f{at}", f"r{at}", experiment, at, 60.0, PASSED, 0, "passed: all", "embedded", tuple(numbers))


def runs(*values, **more):
    return [past(number(value, **more), at=i * 86400.0) for i, value in enumerate(values)]


def only(before, after):
    (found,) = compare(before, after).differences
    return found


@pytest.mark.parametrize(
    ("before", "after", "told"), [(1.0, 1.019, Told.WITHIN), (1.0, 1.03, Told.MEASURED), (1.0, 0.5, Told.MEASURED)]
)
def test_a_pair_differs_by_more_than_it_was_measured_with_or_not(before, after, told):
    found = only(runs(before), runs(after))
    assert (found.told, found.p) == (told, None)
    assert found.shift == pytest.approx(after - before)


def test_a_pair_tells_that_it_does_not_know_how_far_runs_differ():
    assert "one pair does not tell" in only(runs(1.0), runs(2.0)).why


def test_a_pair_without_uncertainties_tells_nothing():
    assert only(runs(1.0, uncertainty=None), runs(2.0)).told is Told.UNKNOWN
    assert only(runs(1.0, uncertainty=None), runs(1.0)).told is Told.WITHIN


def test_series_that_do_not_overlap_differ_and_wide_ones_that_do_do_not():
    found = only(runs(1.0, 1.1, 1.2, 1.3), runs(2.0, 2.1, 2.2, 2.3))
    assert (found.told, found.p) == (Told.MORE, pytest.approx(2 / 70))
    assert found.shift == pytest.approx(1.0)
    assert found.worse is True
    assert only(runs(1.0, 3.0, 2.0, 1.5, 2.5), runs(1.1, 2.9, 2.1, 1.6, 2.4)).told is Told.WITHIN


def test_three_and_three_cannot_show_anything_and_it_says_how_many_could():
    found = only(runs(1.0, 1.1, 1.2), runs(2.0, 2.1, 2.2))
    assert found.told is Told.UNKNOWN
    assert "4 on each side could tell" in found.why


def test_several_expectations_are_allowed_for():
    """Each alone would be below 5 %; beside three others neither is."""

    def group(base):
        names = ("a", "b", "c", "d")
        return [past(*(number(base + i / 10, name=name) for name in names), at=i) for i in range(4)]

    found = compare(group(1.0), group(2.0)).differences
    assert len(found) == 4
    assert {d.told for d in found} == {Told.UNKNOWN}
    assert "5 on each side" in found[0].why


def test_a_difference_that_could_not_be_measured_is_none():
    found = only(runs(1.0, 1.001, 1.002, 1.003), runs(1.01, 1.011, 1.012, 1.013))
    assert found.told is Told.WITHIN
    assert "uncertainty" in found.why


def test_where_there_are_no_numbers_the_verdicts_are_compared():
    held, lost = [past(number(None, PASSED))] * 5, [past(number(None, FAILED))] * 5
    assert only(held, lost).told is Told.MORE
    assert only(held[:1], lost[:1]).told is Told.UNKNOWN
    assert only(held[:1], held[:1]).told is Told.WITHIN


def test_an_expectation_whose_limit_changed_is_the_same_one():
    found = compare([past(number(1.0))], [past(number(2.0, name="outage at most 1 s"))])
    assert [d.name for d in found.differences] == ["outage at most 1 s"]
    assert found.only_before == found.only_after == ()


def test_what_is_on_one_side_only_is_named():
    found = compare([past(number(1.0)), past(experiment="gone")], [past(number(1.0), number(1.0, name="x", kind="y"))])
    assert found.only_before == ("gone",)
    assert found.only_after == ("the shop: x",)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.lists(st.floats(0, 100), min_size=1, max_size=6))
def test_there_and_back_is_told_the_same(a, b):
    there, back = only(runs(*a), runs(*b)), only(runs(*b), runs(*a))
    assert there.told is back.told
    assert there.shift == pytest.approx(-back.shift)


# ── over time ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_steady_rise_is_a_trend_with_its_slope():
    (trend,) = trends(runs(1.0, 1.2, 1.4, 1.6, 1.8, 2.0))["the shop"]
    assert trend.moves
    assert trend.a_day == pytest.approx(0.2)
    assert trend.values == (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def test_few_numbers_or_wild_ones_are_no_trend():
    assert trends(runs(1.0, 2.0, 3.0))["the shop"][0].p is None
    assert not trends(runs(1.0, 3.0, 1.1, 2.9, 1.2, 2.8))["the shop"][0].moves


def test_a_trend_goes_on_when_the_limit_changes():
    changed = [past(number(2.0, name="outage at most 1 s"), at=9e9)]
    (trend,) = trends(runs(1.0, 1.1) + changed)["the shop"]
    assert trend.name == "outage at most 1 s"
    assert trend.values == (1.0, 1.1, 2.0)


# ── in a terminal ────────────────────────────────────────────────────────────────────────────────────────────────────


def printed(show, *given_):
    out = io.StringIO()
    show(*given_, Console(file=out, width=100))
    return out.getvalue()


def test_a_comparison_tells_both_sides_and_how_it_judged():
    text = printed(historytext.print_comparison, compare(runs(1.0, 1.1, 1.2, 1.3), runs(2.0, 2.1, 2.2, 2.3)))
    assert "≠ outage at most 3 s" in text
    assert "1.15 s [1 s … 1.3 s] (held in 4 of 4) → 2.15 s [2 s … 2.3 s] (held in 4 of 4), by +1 s (worse)" in text
    assert "more than the noise: p = 0.029" in text
    assert "rank-sum test" in text
    pair = printed(historytext.print_comparison, compare(runs(1.0), runs(1.0)))
    assert "1 s ± 10 ms (held)" in pair
    assert "sum of both measurements' uncertainties" in pair
    assert "rank-sum" not in pair


def test_a_trend_is_a_row_of_marks_and_one_of_bars():
    text = printed(historytext.print_trends, trends(runs(1.0, 1.2, 1.4, 1.6, 1.8, 2.0)))
    assert "✓✓✓✓✓✓  held in 6 of 6" in text
    assert "▁▂▄▅▇█  1 s to 2 s, last 2 s; rises by 0.2 s a day (p = 0.0028)" in text


@given(st.lists(st.floats(allow_nan=False), max_size=60))
def test_bars_for_every_row(values):
    assert set(historytext.bars(values)) <= set(historytext.BARS)
