"""Who is still under way, told by looking: no clock but the observer's own, and only time that was looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaoskit.model import RUN_LABEL
from chaoskit.silence import LOOK_EVERY_S, RENEW_EVERY_S, SILENT_AFTER_S, Life, Silence


def lease(run="r1", renewed="a", uid=""):
    meta = {"name": "x", "uid": uid or run, "labels": {RUN_LABEL: run}}
    return {"metadata": meta, "spec": {"renewTime": renewed}}


def test_a_lease_whose_time_does_not_change_is_silent_after_15_s():
    silence, now = Silence(), 0.0
    while now < SILENT_AFTER_S:
        assert silence.look([lease()], now) == {"r1": Life.UNSURE}
        now += 1.0
    assert silence.look([lease()], now) == {"r1": Life.SILENT}


@given(st.lists(st.floats(0.1, RENEW_EVERY_S), min_size=12, max_size=30), st.floats(0.1, LOOK_EVERY_S))
def test_a_run_that_renews_in_time_is_never_silent(pauses, every):
    silence, now, renewals = Silence(), 0.0, [0.0]
    for pause in pauses:
        renewals.append(renewals[-1] + pause)
    while now < renewals[-1]:
        latest = max(r for r in renewals if r <= now)
        assert silence.look([lease(renewed=str(latest))], now)["r1"] is not Life.SILENT
        now += every


def test_a_renewal_is_heard_whatever_the_time_it_tells():
    silence = Silence()
    silence.look([lease(renewed="2030-01-01")], 0.0)
    assert silence.look([lease(renewed="1999-01-01")], 1.0) == {"r1": Life.UNDER_WAY}
    assert silence.look([lease(renewed="1999-01-01")], 2.0) == {"r1": Life.UNDER_WAY}


def test_an_observer_that_stood_still_has_not_heard_silence():
    silence = Silence()
    silence.look([lease()], 0.0)
    assert silence.look([lease()], 3600.0) == {"r1": Life.UNSURE}


def test_a_look_that_failed_begins_the_count_anew():
    silence = Silence()
    for second in range(15):
        silence.look([lease()], float(second))
    silence.missed()
    for second in range(15, 30):
        assert silence.look([lease()], float(second)) == {"r1": Life.UNSURE}
    assert silence.look([lease()], 30.0) == {"r1": Life.SILENT}


def test_a_run_is_silent_when_all_of_its_leases_are():
    silence = Silence()
    for second in range(20):
        found = silence.look([lease(uid="a"), lease(uid="b", renewed=str(second)), lease("r2")], float(second))
    assert found == {"r1": Life.UNDER_WAY, "r2": Life.SILENT}
