"""The back-off check: measured pauses beside those that the kubelet's settings predict, right to a second."""

from __future__ import annotations

import pytest
from streams import STEP, act, record, step
from test_evidence_restarts import ACCELERATED, DEFAULTS, crash_loop

from chaoskit.checks.back_off import BackOff
from chaoskit.model import ClusterInfo, Verdict


def judged(pauses, info=ACCELERATED, **more):
    events = crash_loop(pauses)
    hit = act(0.0, "front-1", id="id0", restarts=0, container="front")
    taken = step([hit], began=0.0, ended=events[-1].at + 1)
    check = BackOff.model_validate({"of": STEP, "within": "4s", "restarts": 3, **more})
    return check.judge(record(events=events, steps=(taken,), info=info))


@pytest.mark.parametrize(
    ("pauses", "info", "verdict"),
    [
        ([1, 11, 10], ACCELERATED, Verdict.PASSED),
        ([1, 11, 21, 41], DEFAULTS, Verdict.PASSED),
        ([0, 0, 0], ACCELERATED, Verdict.FAILED),
        ([0, 10, 25], ACCELERATED, Verdict.FAILED),
        ([0, 10, 10], DEFAULTS, Verdict.FAILED),
        ([0, 10, 15], ACCELERATED, Verdict.PASSED),
        ([0, 10, 19], ACCELERATED, Verdict.INCONCLUSIVE),
        ([0, 10], ACCELERATED, Verdict.INCONCLUSIVE),
        ([0, 10, 10], ClusterInfo("existing", "c", "s", "v"), Verdict.INCONCLUSIVE),
    ],
)
def test_pauses_are_judged_beside_the_settings(pauses, info, verdict):
    found = judged(pauses, info)
    assert found.verdict is verdict, found.reason


def test_the_sequence_is_told():
    assert judged([0, 10, 11]).reason == (
        "front-1: restart 1 after 0 s (0 s predicted), 2 after 10 s (10 to 15 s predicted), "
        "3 after 11 s (10 to 15 s predicted)"
    )


def test_too_few_pauses_are_said_to_be():
    assert "front-1: 1 pause of 3 seen" in judged([0]).reason


def test_nothing_can_be_told_from_stamps_of_a_second_within_less():
    with pytest.raises(ValueError, match="within"):
        BackOff(of=STEP, within="1s")
