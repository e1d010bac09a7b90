"""What every check owes its reader: a title, a limit, a margin, and evidence for what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import checks
from streams import STEP, answer, paced, points, record

from chaoskit.checks.judging import at_most, landed_or_why
from chaoskit.checks.metric import SHOWN_POINTS, Metric
from chaoskit.checks.outage import Outage
from chaoskit.checks.recovery import Recovery
from chaoskit.checks.restart import Restart
from chaoskit.checks.steady_state import SteadyState
from chaoskit.model import Verdict

EVERY = (
    Recovery(of=STEP, within="5s"),
    Restart(of=STEP, within="5s"),
    Outage(of=STEP, at_most="1s", lost=3),
    Metric(holds="errors < 1%", of=STEP),
    Metric(holds="p99 < 300ms"),
    SteadyState(),
)


@given(checks([STEP, "another"], st.sampled_from(["errors", "p99", "pulse_failures", "nothing"])))
def test_any_check_on_a_good_run_gives_a_finding_that_can_be_shown(check):
    found = check.judge(record())
    assert found.name == check.title()
    assert found.kind == check.kind
    assert found.reason
    assert "\n" not in found.name
    if found.verdict is not Verdict.INCONCLUSIVE and found.kind != "steady_state":
        assert found.limit


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.title())
def test_a_check_reads_nothing_into_an_empty_record(check):
    empty = record(steps=(), events=(), pulse=(), locust=(), answers={}, conditions=(), statuses=())
    assert check.judge(empty).verdict is Verdict.INCONCLUSIVE


@given(st.floats(0, 10), st.floats(0, 1), st.floats(0, 10))
def test_a_number_passes_or_fails_only_with_its_whole_uncertainty(value, uncertainty, limit):
    found = at_most(EVERY[0], value, limit, "s", uncertainty=uncertainty)
    possible = [value - uncertainty <= limit, value + uncertainty > limit]
    if found.verdict is Verdict.PASSED:
        assert possible == [True, False]
    elif found.verdict is Verdict.FAILED:
        assert possible == [False, True]
    else:
        assert possible == [True, True]
        assert "within the uncertainty" in found.reason
    assert found.margin == pytest.approx(limit - value)


def test_a_metric_shows_query_window_samples_and_value():
    found = Metric(holds="errors < 1%", of=STEP).judge(record())
    (shown,) = found.evidence
    assert shown.data["query"] == "q"
    assert (shown.data["from"], shown.data["to"]) == (10.0, 20.0)
    assert shown.data["series"][0]["samples"] == 11
    assert (found.value, found.unit, found.limit, found.margin) == (0.0, "%", "errors < 1%", 0.01)


def test_long_evidence_is_thinned_out():
    many = record(answers={"errors": answer(points(0.0, every=0.01))})
    (shown,) = Metric(holds="errors < 1%", of=STEP).judge(many).evidence
    assert len(shown.data["series"][0]["points"]) <= SHOWN_POINTS
    assert shown.data["series"][0]["samples"] == 1001


def test_an_outage_shows_its_bracket():
    found = Outage(of=STEP, at_most="1s").judge(record(pulse=paced(25.0, down=[(12.0, 12.5)])))
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.uncertainty == pytest.approx(0.01, abs=0.001)
    (outage,) = found.evidence[0].data["outages"]
    assert outage["seconds"] == pytest.approx(found.value)
    assert outage["last_good"] <= 12.0 <= outage["first_bad"]
    assert outage["lost"] == 50
    assert found.reason == "50 of 1,000 requests lost, in one stretch"
    several = Outage(of=STEP, at_most="1s", lost=200).judge(record(pulse=paced(25.0, down=[(12, 12.5), (14, 14.2)])))
    assert several.reason == "70 of 1,000 requests lost, in 2 stretches of 0.7 s ± 20 ms in all"
    assert Outage(of=STEP, at_most="1500ms", lost=1).title().endswith("at most 1.5 s, at most 1 request lost")
    assert Outage(of=STEP, at_most="1s", lost=0).title().endswith("at most 1 s, no request lost")


def test_lost_requests_are_reported_as_a_number_of_requests():
    found = Outage(of=STEP, at_most="1s", lost=10).judge(record(pulse=paced(25.0, down=[(12.0, 12.5)])))
    assert (found.value, found.unit, found.margin) == (50.0, "requests", -40)


def test_a_recovery_shows_its_chain():
    found = Recovery(of=STEP, within="5s").judge(record())
    links = [link["link"] for link in found.evidence[0].data["links"]]
    assert links[0] == "fault accepted"
    assert "replacement in endpoints" in links
    assert found.reason.startswith("front-1 → front-4; longest link: ")


def test_a_step_that_landed_is_the_one_that_is_judged():
    step, why = landed_or_why(record(), STEP)
    assert step is not None
    assert why == ""
    assert landed_or_why(record(), "another") == (None, "the step “another” was never reached")


@pytest.mark.parametrize(("check", "rests"), list(zip(EVERY, (False, False, True, False, True, False), strict=True)))
def test_a_check_says_whether_it_rests_on_the_load(check, rests):
    assert check.rests_on_load() is rests


def test_a_measure_counts_the_requests_of_its_window_alone():
    """Those before and after the step are other people's evidence."""
    found = Metric(holds="failures < 1%", of=STEP).judge(record())
    assert found.evidence[0].data["requests"] == 200
    assert found.reason == "200 requests in 10 s"
    pulse = Metric(holds="pulse_failures < 1%", of=STEP).judge(record())
    assert pulse.evidence[0].data["requests"] == 1000
    nobody = Metric(holds="failures < 1%", of=STEP).judge(record(locust=()))
    assert nobody.evidence[0].data["requests"] == 0
