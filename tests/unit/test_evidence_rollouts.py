"""The bounds of a rollout as Kubernetes computes them, and what each moment of a recorded one is made of."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.evidence_rollouts import Bounds, bounds


def deployment(replicas, **rolling):
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


# What Kubernetes' own tables say (pkg/controller/deployment/util/deployment_util_test.go, TestResolveFenceposts,
# TestMaxUnavailable), in replicas.
@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "least", "most"),
    [
        (10, "0%", "0%", 9, 10),
        (1, "0%", "0%", 0, 1),
        (10, 1, 0, 10, 11),
        (10, "10%", "10%", 9, 11),
        (3, "25%", "25%", 3, 4),
        (4, "25%", "25%", 3, 5),
        (10, 0, 10, 0, 10),
        (10, 0, "99%", 1, 10),
        (10, 0, 11, 0, 10),
        (0, "25%", "25%", 0, 0),
    ],
)
def test_bounds_are_those_of_the_deployment_controller(replicas, surge, unavailable, least, most):
    assert bounds(deployment(replicas, maxSurge=surge, maxUnavailable=unavailable)) == Bounds(least, most)


def test_a_strategy_that_says_nothing_is_a_quarter_each():
    assert bounds({"spec": {"replicas": 8}}) == Bounds(6, 10)


def test_recreate_has_no_floor_and_no_surge():
    assert bounds({"spec": {"replicas": 3, "strategy": {"type": "Recreate"}}}) == Bounds(0, 3)


@given(st.integers(1, 500), st.integers(0, 100), st.integers(0, 100))
def test_there_is_always_room_to_move_and_never_less_than_nothing(replicas, surge, unavailable):
    found = bounds(deployment(replicas, maxSurge=f"{surge}%", maxUnavailable=f"{unavailable}%"))
    assert 0 <= found.least <= replicas <= found.most
    assert found.least < found.most, "otherwise a rollout could never take a step"
    assert found.most - replicas < Fraction(surge * replicas, 100) + 1
