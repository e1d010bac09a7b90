"""When the platform had caught up, from recorded events with known answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import NS, gap, gone, pod, record, seen

from chaoskit.checks.caught_up import CaughtUp
from chaoskit.evidence_platform import SERVICE_LABEL, TOLD_BY, caught_up

SERVICE = {"metadata": {"name": "front", "namespace": NS, "uid": "s"}, "spec": {"selector": {"app": "front"}}}


def deployment(at, have, wanted=2, *, seen_by=1, first=False):
    meta = {"name": "front", "namespace": NS, "uid": "d", "generation": 1}
    status = {"readyReplicas": have, "observedGeneration": seen_by}
    o = {"metadata": meta, "spec": {"replicas": wanted}, "status": status}
    return seen(at, o, "deployment", first=first)


def slice_(at, *pods, first=False):
    meta = {"name": "front-x", "namespace": NS, "uid": "e", "labels": {SERVICE_LABEL: "front"}}
    listed = [{"conditions": {"ready": True}, "targetRef": {"uid": p}} for p in pods]
    return seen(at, {"metadata": meta, "endpoints": listed}, "endpointslice", first=first)


WHOLE = (
    seen(0, SERVICE, "service", first=True),
    seen(0, pod("a"), first=True),
    seen(0, pod("b"), first=True),
    slice_(0, "a", "b", first=True),
    deployment(0, 2, first=True),
)
LOST = (gone(11, pod("b")), deployment(11.1, 1), slice_(11.2, "a"))
BACK = (seen(14, pod("c")), slice_(14.2, "a", "c"), deployment(14.5, 2))


def looked(*events, ended=20.0):
    return caught_up(record(events=(*WHOLE, *events)), 10.0, ended)


def test_where_nothing_was_behind_there_was_nothing_to_catch_up_with():
    found = looked()
    assert (found.behind_until, found.by, found.what) == (10, 10, "")


def test_it_has_caught_up_when_the_last_of_it_is_in_order():
    found = looked(*LOST, *BACK)
    assert (found.behind_until, found.by) == (14.5, 14.5)
    assert found.what == "deployment/front had 1 of 2 ready pods"


def test_what_is_still_behind_at_the_end_is_told():
    found = looked(*LOST)
    assert (found.by, found.what) == (None, "deployment/front had 1 of 2 ready pods")


def test_a_service_that_leads_to_a_pod_that_is_gone_is_behind():
    found = looked(gone(11, pod("b")), deployment(11.5, 2))
    assert found.what == "service/front led to pods that are not ready"


def test_what_nobody_has_seen_yet_is_behind():
    assert looked(deployment(11, 2, seen_by=0)).what == "deployment/front was not seen by its controller"


def test_what_changed_while_the_watch_was_broken_is_known_within_the_break():
    breaks = [gap(12, kind) for kind in TOLD_BY]
    again = (seen(15, pod("c"), first=True), slice_(15, "a", "c", first=True), deployment(15, 2, first=True))
    found = looked(*LOST, *breaks, *again)
    assert (found.behind_until, found.by) == (12, 15)


@given(st.lists(st.tuples(st.floats(10, 20), st.sampled_from(["lost", "back", "gap"])), max_size=10))
def test_the_bracket_is_ordered_and_within_the_window(told):
    events = []
    for at, what in sorted(told):
        have = {"lost": 1, "back": 2}.get(what)
        events.append(gap(at, "pod") if have is None else deployment(at, have))
    found = looked(*events)
    assert 10 <= found.behind_until <= 20
    assert found.by is None or found.behind_until <= found.by <= 20


@pytest.mark.parametrize(("within", "verdict"), [("5s", "passed"), ("4s", "failed"), ("4.52s", "inconclusive")])
def test_it_is_judged_from_the_last_act_on(within, verdict):
    found = CaughtUp(of="lose a pod", within=within).judge(record(events=(*WHOLE, *LOST, *BACK)))
    assert found.verdict.value == verdict, found.reason


def test_a_window_that_is_too_short_convicts_nobody():
    found = CaughtUp(of="lose a pod", within="1m").judge(record(events=(*WHOLE, *LOST)))
    assert found.verdict.value == "inconclusive"
    assert "not watched for long enough" in found.reason
