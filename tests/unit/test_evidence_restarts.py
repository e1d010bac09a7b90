"""Restarts as a watch tells them: each end with its code and reason, what the policy asks for, and the pauses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import act, gone, pod, record, seen, step

from chaoskit import evidence_restarts as restarts
from chaoskit.model import ClusterInfo

T0 = datetime(2027, 1, 15, 8, 0, tzinfo=UTC).timestamp()
ACCELERATED = ClusterInfo("embedded", "c", "s", "v1.37.2", timings={"crash_loop_back_off_max": 10.0})
DEFAULTS = ClusterInfo("embedded", "c", "s", "v1.37.2", timings={"crash_loop_back_off_max": 300.0})


def stamp(seconds):
    return datetime.fromtimestamp(T0 + int(seconds), UTC).isoformat().replace("+00:00", "Z")


def end(number, began, ended, code, reason=""):
    reason = reason or ("Completed" if code == 0 else "Error")
    times = {"startedAt": stamp(began), "finishedAt": stamp(ended)}
    return {"exitCode": code, "reason": reason, "containerID": f"id{number}", **times}


def status(number, *, began=None, over=None, before=None, policy="Always", phase="Running", ready=False, own=""):
    """A pod whose container is in its `number`-th run: running since `began`, `over` (its end), or waiting."""
    state = {"running": {"startedAt": stamp(began)}} if began is not None else {"terminated": over} if over else {}
    found = pod("front-1", policy=policy, ready=ready)
    one = {"name": "front", "restartCount": number, "containerID": f"id{number}", "state": state or {"waiting": {}}}
    found["status"]["containerStatuses"] = [one | ({"lastState": {"terminated": before}} if before else {})]
    found["status"]["phase"] = phase
    if own:
        found["spec"]["containers"] = [{"name": "front", "restartPolicy": own}]
    return found


def judged(*events, info=ACCELERATED, ended=20.0):
    hit = act(10.0, "front-1", id="id0", restarts=0, container="front")
    (found,) = restarts.container_restarts(record(events=events, info=info), step([hit], ended=ended))
    return found


# ── one restart ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_restart_is_told_from_the_fault_s_acceptance():
    over = end(0, 0, 10, 1)
    found = judged(
        seen(0.0, status(0, began=0, ready=True), first=True),
        seen(10.2, status(0, over=over)),
        seen(10.9, status(1, began=10, before=over)),
        seen(12.0, status(1, began=10, before=over, ready=True)),
    )
    assert (found.count, found.policy, found.replaced, found.final) == (1, "Always", False, False)
    assert (found.running, found.ready) == (pytest.approx(0.898), pytest.approx(1.998))
    assert (found.exit_code, found.reason, found.ended) == (1, "Error", pytest.approx(0.198))
    assert found.due is True


def test_a_container_whose_end_was_never_reported_by_itself_is_known_by_the_last_state():
    found = judged(
        seen(0.0, status(0, began=0), first=True),
        seen(11.0, status(1, began=10, before=end(0, 0, 10, 137, "OOMKilled"), ready=True)),
    )
    assert (found.exit_code, found.reason, found.count) == (137, "OOMKilled", 1)
    assert found.how == "exit code 137 (OOMKilled)"


def test_a_pod_that_was_replaced_was_not_restarted():
    found = judged(seen(0.0, status(0, began=0), first=True), gone(11.0, status(0, began=0)))
    assert found.replaced
    assert found.count == 0


def test_what_happens_after_the_window_is_not_counted():
    found = judged(seen(21.0, status(9, began=20)))
    assert (found.count, found.ended, found.exit_code) == (0, None, None)
    assert found.due is None


def test_what_ended_in_a_phase_that_is_not_left_ended_for_good():
    over = end(0, 0, 10, 1)
    found = judged(
        seen(0.0, status(0, began=0, policy="Never"), first=True),
        seen(10.5, status(0, over=over, policy="Never", phase="Failed")),
    )
    assert found.final
    assert found.due is False


def test_what_waits_for_its_back_off_has_not_ended_for_good():
    found = judged(
        seen(0.0, status(0, began=0), first=True),
        seen(10.5, status(0, before=end(0, 0, 10, 1))),
    )
    assert not found.final
    assert found.exit_code == 1


def test_a_policy_of_the_container_s_own_counts_before_its_pod_s():
    found = judged(seen(0.0, status(0, began=0), first=True), seen(10.5, status(0, over=end(0, 0, 10, 1), own="Never")))
    assert found.policy == "Never"


@pytest.mark.parametrize(
    ("policy", "code", "asks"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("OnFailure", 137, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_a_policy_asks_for_what_kubernetes_documents(policy, code, asks):
    assert restarts.asks(policy, code) is asks


# ── pauses ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("most", "sequence"),
    [
        (10.0, [0, 10, 10, 10, 10]),
        (300.0, [0, 10, 20, 40, 80, 160, 300, 300]),
        (5.0, [0, 5, 5]),
    ],
)
def test_the_kubelet_s_sequence(most, sequence):
    assert [restarts.predicted(n, most) for n in range(1, len(sequence) + 1)] == sequence


@given(st.integers(1, 10_000), st.floats(1, 300))
def test_a_pause_never_shrinks_and_never_exceeds_the_most(restart, most):
    assert restarts.predicted(restart, most) <= restarts.predicted(restart + 1, most) <= most


@pytest.mark.parametrize(("least", "most"), [(0, 0), (10, 15), (40, 60), (300, 330)])
def test_the_kubelet_looks_again_up_to_half_a_wait_later(least, most):
    assert restarts.latest(least) == most


def crash_loop(pauses, *, ran=1.0, first=0.0):
    """What the watch tells of a container that ends `ran` seconds after each start."""
    began, events, before = first, [], None
    for number, pause in enumerate([*pauses, None]):
        events.append(seen(began, status(number, began=began, before=before)))
        over = end(number, began, began + ran, 1)
        events.append(seen(began + ran, status(number, over=over, before=before)))
        if pause is None:
            break
        events.append(seen(began + ran + 0.1, status(number, before=over)))
        before, began = over, began + ran + pause
    return events


def pauses(events, info=ACCELERATED):
    hit = act(0.0, "front-1", id="id0", restarts=0, container="front")
    ended = events[-1].at + 1
    (found,) = restarts.container_restarts(record(events=events, info=info), step([hit], began=0.0, ended=ended))
    return found.pauses


@given(st.lists(st.floats(0, 400), max_size=6), st.floats(0.1, 20), st.floats(0, 1))
def test_each_pause_is_told_once_and_right_to_a_second(true, ran, first):
    told = pauses(crash_loop(true, ran=ran, first=first))
    assert [p.restart for p in told] == list(range(1, len(true) + 1))
    for pause, was in zip(told, true, strict=True):
        assert abs(pause.pause_s - was) <= restarts.STAMP_S + 1e-6


def test_pauses_stand_beside_what_the_settings_predict():
    assert [p.predicted_s for p in pauses(crash_loop([0, 10, 20, 40]), DEFAULTS)] == [0, 10, 20, 40]
    assert [p.predicted_s for p in pauses(crash_loop([0, 10, 10]))] == [0, 10, 10]


def test_without_the_settings_nothing_is_predicted():
    info = ClusterInfo("existing", "c", "s", "v1.37.2")
    assert [p.predicted_s for p in pauses(crash_loop([0, 10]), info)] == [None, None]


def test_a_run_that_was_long_enough_begins_the_sequence_anew():
    first, second = end(0, 0, 1, 1), end(1, 2, 700, 1)
    events = [
        seen(0.5, status(0, began=0)),
        seen(2.0, status(1, began=2, before=first)),
        seen(701.0, status(2, began=700, before=second)),
        seen(712.0, status(3, began=711, before=end(2, 700, 701, 1))),
    ]
    assert [p.predicted_s for p in pauses(events)] == [0, 0, 10]


def test_a_run_that_nobody_saw_leaves_no_pause_that_would_be_wrong():
    events = [
        seen(0.5, status(0, began=0)),
        seen(30.0, status(3, began=29, before=end(2, 18, 19, 1))),
    ]
    assert [(p.restart, p.pause_s, p.predicted_s) for p in pauses(events)] == [(3, 10.0, 10.0)]
