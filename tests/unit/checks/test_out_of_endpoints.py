"""When a pod that was hit leaves the endpoints: told from the slices, whether it ended or only hangs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import STEP, act, endpoints, gap, kill, record, step

from chaoskit.checks.out_of_endpoints import OutOfEndpoints
from chaoskit.evidence_endpoints import endpoint_exits
from chaoskit.model import Verdict

CHECK = OutOfEndpoints(of=STEP, within="3s")
BEFORE = endpoints(0.0, "front-1", "front-2", first=True)


def judged(*events, check=CHECK, **more):
    return check.judge(record(events=events, steps=(step(**more),)))


def test_a_pod_that_was_killed_leaves_at_once():
    found = judged(*kill())
    assert found.verdict is Verdict.PASSED
    assert found.value == pytest.approx(0.058)
    assert "front-1 left after" in found.reason


def test_a_pod_that_hangs_leaves_and_comes_back():
    found = judged(BEFORE, endpoints(12.0, "front-2"), endpoints(18.0, "front-1", "front-2"))
    assert found.verdict is Verdict.PASSED
    assert "came back after 8" in found.reason


def test_one_that_leaves_too_late_fails():
    assert judged(BEFORE, endpoints(15.0, "front-2")).verdict is Verdict.FAILED


def test_one_that_stays_fails():
    found = judged(BEFORE)
    assert found.verdict is Verdict.FAILED
    assert "was still among the endpoints" in found.reason


def test_one_that_stays_for_too_short_a_window_is_undecided():
    found = judged(BEFORE, ended=12.0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "watch longer" in found.reason


def test_a_pod_of_no_service_decides_nothing():
    assert "no pod that was hit" in judged(endpoints(0.0, "front-2")).reason


def test_a_broken_watch_decides_nothing():
    found = judged(BEFORE, gap(10.5, "endpointslice"), endpoints(11.0, "front-2"))
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_pod_of_two_services_leaves_when_the_last_one_lets_it_go():
    other = endpoints(0.0, "front-1", name="other")
    found = judged(BEFORE, other, endpoints(10.5, "front-2"), endpoints(12.0, name="other"))
    assert found.value == pytest.approx(2.0, abs=0.01)


@given(st.lists(st.booleans(), max_size=12))
def test_what_left_was_there_and_what_is_back_had_left(presence):
    events = [BEFORE, *(endpoints(10.5 + n, *(["front-1"] if there else [])) for n, there in enumerate(presence))]
    (found,) = endpoint_exits(record(events=tuple(events)), step([act()], ended=30.0))
    assert found.served
    assert (found.out is None) == all(presence)
    if found.back is not None:
        assert found.out is not None
        assert found.out < found.back
