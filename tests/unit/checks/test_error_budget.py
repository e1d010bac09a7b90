"""What failed requests cost of a budget, with numbers that can be checked by hand."""

from __future__ import annotations

import pytest
from streams import STEP, paced, record

from chaoskit.checks.error_budget import ErrorBudget
from chaoskit.model import Verdict
from chaoskit.samples import Stream

LOCUST = Stream.LOCUST


def judged(*, down=(), unsent=(), locust=True, **given):
    pulse = paced(25.0, down=down, unsent=unsent)
    users = paced(25.0, period=0.05, down=down, stream=LOCUST) if locust else ()
    check = ErrorBudget.model_validate({"slo": "99.9%", "at_most": "1%", "of": STEP, **given})
    return check.judge(record(pulse=pulse, locust=users))


def test_nothing_that_fails_spends_nothing():
    found = judged()
    assert (found.verdict, found.value, found.uncertainty) == (Verdict.PASSED, 0.0, 0.0)


def test_an_outage_of_a_second_spends_its_part_of_thirty_days():
    """One second of 30 days at 99.9 %: 1 / 2592 of the budget. The step lasts 10 s and a tenth of its requests fail."""
    found = judged(down=[(12.0, 13.0)])
    assert found.verdict is Verdict.PASSED
    assert found.value == pytest.approx(1 / 2592, rel=0.01)
    assert found.evidence[0].data["burn_rate"] == pytest.approx(100, rel=0.01)


def test_too_much_fails_and_says_how_fast_it_burnt():
    found = judged(down=[(12.0, 13.0)], over="1h")
    assert found.verdict is Verdict.FAILED
    assert found.value == pytest.approx(1 / 3.6, rel=0.01)
    assert found.reason == "20 of 200 requests failed; burn rate 100, at most 100 over 60 s"
    assert found.margin == pytest.approx(0.01 - 1 / 3.6, rel=0.01)


def test_without_users_the_pulse_counts_and_what_it_did_not_send_widens_the_answer():
    found = judged(locust=False, unsent=[(15.0, 16.0)], over="1h", at_most="10%")
    assert found.uncertainty == pytest.approx(0.5 / 3.6, rel=0.02)
    assert found.verdict is Verdict.INCONCLUSIVE


def test_no_request_decides_nothing():
    found = ErrorBudget(slo="99%", at_most="1%", of=STEP).judge(record(pulse=(), locust=()))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no request" in found.reason


def test_its_line_says_what_is_allowed():
    assert ErrorBudget(slo="99.9%", at_most="5%", of=STEP).title() == (
        "at most 5 % of the error budget of 99.9 % over 30 days spent by “lose a pod”"
    )
