"""What several runs of one experiment say together: how often it held, and how far its numbers were apart."""

from __future__ import annotations

import json

import pytest
from test_result import result

from chaoskit import repetitions
from chaoskit.model import Finding, Verdict

PASSED, FAILED, UNKNOWN = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE


def run(name, verdict, value):
    return result([Finding("outage | of a", "outage", verdict, "", value=value, unit="s")], run=name, verdict=verdict)


def test_it_says_how_often_it_held_and_the_spread_of_each_number():
    found = repetitions.summarise([run("a", PASSED, 1.0), run("b", FAILED, 3.0), run("c", PASSED, 2.0)])
    assert found.sentence == "x: held in 2 of 3 runs"
    assert repetitions.lines(found)[1].endswith("held in 2 of 3; 1 s to 3 s, median 2 s, standard deviation 1 s")


def test_what_could_not_be_decided_did_not_hold_and_counts_apart():
    found = repetitions.summarise([run("a", PASSED, 1.0), run("b", UNKNOWN, None)])
    assert found.sentence == "x: held in 1 of 2 runs, 1 of them inconclusive"
    (spread,) = found.spreads
    assert (spread.passed, spread.failed, spread.inconclusive) == (1, 0, 1)
    assert (spread.median, spread.deviation) == (pytest.approx(1.0), None)


def test_no_number_anywhere_is_no_number():
    found = repetitions.summarise([run("a", UNKNOWN, None)])
    assert repetitions.lines(found)[1] == "  outage | of a: held in 0 of 1"


def test_the_summary_is_json_and_a_page_with_a_link_to_each_report():
    found = repetitions.summarise([run("a", PASSED, 1.0), run("b", FAILED, 3.0)])
    assert json.loads(repetitions.to_json(found))["verdicts"] == ["passed", "failed"]
    page = repetitions.to_markdown(found)
    assert "2. ✗ [b](02/report.html)" in page
    assert "| outage \\| of a | 1 of 2 | 1 s | 2 s | 3 s | 1.41 s |" in page
