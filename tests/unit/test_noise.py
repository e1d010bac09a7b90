"""The tests behind “more than the noise”: against published tables, against counting all out, and by symmetry."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import noise

FEW = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("before", "after", "p"),
    [
        ([1, 2, 3], [4, 5, 6], 0.1),
        ([1, 2, 3, 4], [5, 6, 7, 8], 2 / 70),
        ([1, 2, 3, 4, 5], [6, 7, 8, 9, 10], 2 / 252),
        ([1, 3, 5], [2, 4, 6], 0.7),  # U = 3: 7 of the 20 choices give no more, on either side
        ([2, 2, 2], [2, 2], 1.0),
        ([7], list(range(1, 7)), 2 / 7),
    ],
)
def test_rank_sums_that_can_be_counted_by_hand(before, after, p):
    assert noise.mann_whitney(before, after) == pytest.approx(p)


@given(FEW, FEW)
def test_it_is_twice_the_share_of_choices_that_are_as_far_out_on_that_side(before, after):
    values = [*before, *after]
    ranks = [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]
    sums = [sum(ranks[i] for i in some) for some in itertools.combinations(range(len(values)), len(before))]
    seen = sum(ranks[: len(before)])
    tail = min(sum(total <= seen for total in sums), sum(total >= seen for total in sums))
    assert noise.mann_whitney(before, after) == pytest.approx(min(1, 2 * tail / len(sums)))


@given(FEW, FEW)
def test_which_of_the_two_comes_first_does_not_matter(before, after):
    assert noise.mann_whitney(before, after) == pytest.approx(noise.mann_whitney(after, before))
    assert noise.shift(before, after) == pytest.approx(-noise.shift(after, before))
    assert noise.mann_whitney(before, after) >= noise.least_p(len(before), len(after)) - 1e-12


def test_the_normal_curve_goes_on_where_counting_ends():
    """Beside each other, 30 and 30 counted out and 31 and 31 by the curve must be about the same."""
    small = [float(i) for i in range(30)]
    counted = noise.mann_whitney(small, [x + 5.5 for x in small])
    larger = [float(i) for i in range(31)]
    curved = noise.mann_whitney(larger, [x + 5.5 for x in larger])
    assert curved == pytest.approx(counted, rel=0.15)


def test_fishers_tea():
    """The lady tasting tea (Agresti, 3.5): three of four right, p = 0.486 two-sided."""
    assert noise.fisher(3, 4, 1, 4) == pytest.approx(0.4857, abs=1e-4)
    assert noise.fisher(5, 5, 0, 5) == pytest.approx(2 / 252)
    assert noise.fisher(3, 3, 3, 3) == pytest.approx(1.0)


def test_holms_correction():
    assert noise.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert noise.holm([]) == []


@pytest.mark.parametrize(
    ("number", "score", "p"),
    [(4, 6, 0.042), (5, 8, 0.042), (6, 13, 0.0083), (8, 16, 0.031), (10, 21, 0.036)],
)
def test_kendalls_table(number, score, p):
    """Upper tails of Kendall's score as published (Kendall, Rank Correlation Methods, 4th edition, table 1)."""
    pairs = number * (number - 1) // 2
    tail = sum(n for k, n in enumerate(noise._inversions(number)) if pairs - 2 * k >= score) / math.factorial(number)
    assert tail == pytest.approx(p, abs=6e-4)


def test_a_row_that_rises_and_one_that_does_not():
    assert noise.mann_kendall([1, 2, 3, 4, 5, 6]) == pytest.approx(2 / 720)
    assert noise.mann_kendall([3, 1, 4, 1.5, 9, 2.6, 5]) > 0.3
    assert noise.mann_kendall([1.0] * 12) == pytest.approx(1.0)


@given(st.lists(st.integers(0, 5).map(float), min_size=2, max_size=12))
def test_backwards_is_the_same_trend(values):
    assert noise.mann_kendall(values) == pytest.approx(noise.mann_kendall(values[::-1]))


def test_the_slope_is_not_moved_by_one_wild_value():
    points = [(float(t), 2.0 * t) for t in range(9)]
    assert noise.slope([*points, (9.0, 1e6)]) == pytest.approx(2.0)
    assert noise.slope([(1.0, 2.0), (1.0, 3.0)]) == 0
