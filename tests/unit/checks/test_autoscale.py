"""What users expect of an autoscaler, judged from what the watch told: each limit kept, broken, and undecided."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError
from scaling import SHOP, autoscaler, grown, replicas, workload
from streams import STEP, act, endpoints, gap, life, record, step

from chaoskit.checks.autoscale import Autoscale
from chaoskit.evidence_scaling import HPA
from chaoskit.model import ClusterInfo, Verdict
from chaoskit.report.evidencetext import lines

TIMINGS = {"hpa_downscale_stabilization": 30.0, "hpa_cpu_initialization_period": 10.0, "hpa_sync_period": 2.0}
INFO = ClusterInfo("fake", "fake", "https://fake.invalid", "v1.37.2", timings=TIMINGS)


def run(*events, **changes):
    ordered = tuple(sorted(events, key=lambda e: e.at))
    return record(**{"events": ordered, "info": INFO, "steps": (step(ended=20.0),)} | changes)


def judged(events, **keys):
    return Autoscale(hpa="front", of=STEP, **keys).judge(run(*events))


def idle(trouble="", **spec):
    """A status at which nothing ever changes."""
    statuses = [autoscaler(at, 2, 2, None if trouble else 90 + at, trouble=trouble, **spec) for at in (5, 12, 15)]
    return [*SHOP, *replicas(2), endpoints(0.0, "front-1", "front-2"), *statuses]


@pytest.mark.parametrize(
    ("keys", "value", "unit"),
    [
        ({"up_within": "5s"}, 2.0, "s"),
        ({"serve_within": "5s"}, 3.3, "s"),
        ({"settle_within": "5s"}, 3.3, "s"),
        ({"at_least": 3}, 3.0, "replicas"),
        ({"at_most": 3}, 3.0, "replicas"),
        ({"overshoot": 0}, 0.0, "replicas"),
        ({"reversals": 0}, 0.0, "times"),
    ],
)
def test_what_was_measured_is_told_with_its_limit(keys, value, unit):
    found = judged(grown(at=12.0), **keys)
    assert found.verdict is Verdict.PASSED, found.reason
    assert (found.value, found.unit) == (pytest.approx(value, abs=0.01), unit)
    assert found.limit
    assert found.margin is not None
    assert found.reason.startswith("2 → 3 replicas; ")


def test_a_replica_that_is_seen_just_before_its_decision_is_one_of_the_new_ones():
    """The watches of pods and of autoscalers tell what happens at once in any order."""
    late = [replace(e, at=12.12) if 12.0 <= e.at < 12.1 else e for e in grown(at=12.0)]
    found = judged(late, serve_within="5s")
    assert found.verdict is Verdict.PASSED, found.reason
    assert found.value == pytest.approx(3.3, abs=0.01)


@pytest.mark.parametrize(
    ("keys", "because"),
    [
        ({"up_within": "1s"}, "asked for more replicas after 2 s"),
        ({"serve_within": "2s"}, "had a new replica serve after 3.3 s"),
        ({"settle_within": "3s"}, "was at rest after 3.3 s"),
        ({"down_within": "5s"}, "never asked for fewer replicas in the 10 s that were watched: it read at least cpu 5"),
        ({"at_least": 4}, "3 replicas asked for at the end: it read at most cpu 80 % of a target of 60 %"),
        ({"at_most": 2}, "at most 3 replicas asked for"),
    ],
)
def test_a_limit_that_is_broken_fails(keys, because):
    found = judged(grown(at=12.0), **keys)
    assert found.verdict is Verdict.FAILED
    assert because in found.reason


def test_the_worst_of_several_limits_is_told():
    found = judged(grown(at=12.0), up_within="5s", at_most=2, formula=True)
    assert found.verdict is Verdict.FAILED
    assert found.reason == "at most 3 replicas asked for"
    every = judged(grown(at=12.0), up_within="5s", at_most=3, formula=True)
    assert every.reason == (
        "2 → 3 replicas; asked for more replicas after 2 s; at most 3 replicas asked for; "
        "1 decision and 2 looks as the formula says"
    )


@pytest.mark.parametrize(
    ("events", "because"),
    [
        (idle(most=2, least=2), "it is at its maximum of 2, which is its minimum too (of 2)"),
        (idle(most=2), "it is at its maximum of 2$"),
        (idle(trouble="missing request for cpu"), "it cannot decide: FailedGetResourceMetric: missing request for cpu"),
        (idle(target=400), "it read at most cpu 105 % of a target of 400 %"),
    ],
)
def test_why_it_did_not_grow_is_told(events, because):
    found = judged(events, up_within="5s")
    assert found.verdict is Verdict.FAILED
    assert found.reason.startswith("never asked for more replicas in the 10 s that were watched: ")
    assert found.reason.endswith(because.rstrip("$"))


def test_needing_more_than_the_maximum_is_no_rest():
    found = judged(
        [*SHOP, *replicas(2), endpoints(0.0, "front-1", "front-2"), autoscaler(12, 2, 2, 190, most=2)],
        settle_within="8s",
    )
    assert found.verdict is Verdict.FAILED
    assert "it needs more than its maximum of 2: cpu 190 % of a target of 60 %" in found.reason


def test_replicas_that_never_serve_are_no_rest():
    silent = [e for e in grown(at=12.0) if e.kind != "endpointslice" or e.at < 1]
    found = judged(silent, settle_within="5s", serve_within="6s")
    assert found.verdict is Verdict.FAILED
    assert "no new replica came among the endpoints" in found.reason
    assert "it wants 3 replicas, and 2 serve" in judged(silent, settle_within="5s").reason


def test_thrashing_is_counted():
    there_and_back = [
        *grown(at=11.0),
        workload(14.0, 2),
        autoscaler(14.1, 3, 2, 30, down_s=0),
        workload(16.0, 3),
        autoscaler(16.1, 2, 3, 80),
    ]
    found = judged(there_and_back, reversals=1)
    assert found.verdict is Verdict.FAILED
    assert found.reason == "turned 2 times between more and fewer"
    assert judged(there_and_back, reversals=2).verdict is Verdict.PASSED
    assert judged(there_and_back, overshoot=0).verdict is Verdict.PASSED


def test_a_decision_against_the_formula_fails_with_its_numbers():
    found = judged([*grown(at=12.0)[:-1], autoscaler(15.0, 3, 8, 61)], formula=True)
    assert found.verdict is Verdict.FAILED
    assert "it asked for 8 replicas where ceil(replicas × usage / target) gives 3" in found.reason
    assert "cpu 61 % of a target of 60 %" in found.reason


def test_what_was_not_watched_for_long_enough_is_undecided():
    found = judged(idle(target=400), up_within="30s")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "watch longer" in found.reason


@pytest.mark.parametrize("kind", [HPA, "pod", "endpointslice"])
def test_a_broken_watch_leaves_it_undecided(kind):
    found = judged([*grown(at=12.0), gap(11.0, kind)], up_within="5s")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the watch was broken" in found.reason


def test_without_the_autoscaler_or_its_status_nothing_is_decided():
    assert "no hpa/front was seen" in Autoscale(hpa="front", of=STEP, up_within="5s").judge(record()).reason
    early = autoscaler(25.0, 2, 2, 50)
    assert judged([*SHOP, *replicas(2), early], at_most=3).verdict is Verdict.INCONCLUSIVE
    assert judged([*SHOP, *replicas(2), early], formula=True).verdict is Verdict.INCONCLUSIVE


def test_a_step_that_did_not_land_decides_nothing():
    missed = run(*grown(at=12.0), steps=(step([replace(act(), landed=None)]),))
    assert Autoscale(hpa="front", of=STEP, up_within="5s").judge(missed).verdict is Verdict.INCONCLUSIVE


def test_without_a_step_the_whole_time_counts():
    later = [*grown(at=12.0), *life("front-4", 18.0)]
    found = Autoscale(hpa="front", at_most=3, reversals=0).judge(run(*later))
    assert found.verdict is Verdict.PASSED
    assert found.name == "hpa/front: at most 3, reversals 0"


def test_an_expectation_of_nothing_is_refused():
    with pytest.raises(ValidationError, match="say what is expected: up_within"):
        Autoscale(hpa="front", of=STEP)


def test_the_evidence_shows_decisions_metrics_and_replicas():
    (shown,) = judged(grown(at=12.0), up_within="5s").evidence
    (decision,) = shown.data["decisions"]
    assert (decision["decided_s"], decision["found"], decision["wanted"]) == (12.0, 2, 3)
    assert decision["read"] == ["cpu 80 % of a target of 60 %"]
    (new,) = shown.data["new replicas"]
    assert (new["pod"], new["in_endpoints_s"]) == ("front-3", 13.3)
    assert "by formula 3, allowed 3" in "\n".join(lines(shown))
    assert shown.data["serving"][-1] == {"at": 13.3, "replicas": 3}
