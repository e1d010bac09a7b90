"""A finished run as Prometheus' metrics."""

from __future__ import annotations

import debian
import pytest
import requests
import story
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from chaoskit import session
from chaoskit.adapters.pushgateway import PushGateway
from chaoskit.model import Finding, Verdict
from chaoskit.report import exposition


def read(told: story.Told) -> dict[tuple[str, frozenset], float]:
    """The series as Prometheus' own text format has them: name and labels to value."""
    text = generate_latest(exposition.registry(told.result, told.record)).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value(told: story.Told, name: str, **labels: str) -> float:
    """Of the only series of that name whose labels are among these."""
    (found,) = [
        number
        for (named, having), number in read(told).items()
        if named == name and having >= frozenset(labels.items())
    ]
    return found


def test_the_run_and_its_verdict():
    told = story.failing()
    run = told.result.run
    assert (
        value(told, "chaoskit_run_info", run=run, seed=str(told.result.seed), cluster=told.result.cluster.context) == 1
    )
    assert value(told, "chaoskit_run_verdict", verdict="failed") == 1
    assert value(told, "chaoskit_run_verdict", verdict="passed") == 0
    assert value(told, "chaoskit_run_start_timestamp_seconds") == pytest.approx(told.result.started_unix)
    assert value(told, "chaoskit_run_duration_seconds") == pytest.approx(told.result.seconds)
    ended = value(told, "chaoskit_run_end_timestamp_seconds")
    assert ended == pytest.approx(told.result.started_unix + told.result.seconds)


def test_what_was_measured_and_its_limit_in_base_units():
    told = story.failing()
    (outage,) = [f for f in told.result.asked if f.kind == "outage"]
    of = {"finding": outage.name, "kind": "outage", "step": "lose a pod"}
    assert value(told, "chaoskit_finding_verdict", **of, verdict="failed") == 1
    assert value(told, "chaoskit_finding_value", **of, unit="seconds") == pytest.approx(outage.value)
    assert value(told, "chaoskit_finding_uncertainty", **of, unit="seconds") == pytest.approx(outage.uncertainty)
    assert value(told, "chaoskit_finding_limit", **of, unit="seconds") == 0.5


def test_what_chaoskit_checks_by_itself_is_told_only_where_it_is_not_in_order():
    def kinds(told):
        return {dict(labels)["kind"] for (name, labels) in read(told) if name == "chaoskit_finding_verdict"}

    assert "precondition" not in kinds(story.passing())
    assert "precondition" in kinds(story.inconclusive())


def test_a_step_is_told_by_when_it_was_ordered_and_landed():
    told = story.passing()
    (act,) = told.record.steps[0].acts
    ordered = value(told, "chaoskit_step_ordered_timestamp_seconds", step="lose a pod")
    assert ordered == pytest.approx(told.record.origin_unix + act.ordered)
    landed = value(told, "chaoskit_step_landed_timestamp_seconds", step="lose a pod")
    assert landed == pytest.approx(told.record.origin_unix + act.landed)
    assert "chaoskit_step_healed_timestamp_seconds" not in {name for name, _ in read(told)}, "a killed pod stays so"


def test_what_is_left_broken_is_told():
    assert value(story.unhealed(), "chaoskit_run_unhealed") == 1
    assert value(story.passing(), "chaoskit_run_unhealed") == 0


@pytest.mark.parametrize("told", [story.unstarted, story.hostile, story.inconclusive])
def test_every_run_can_be_told(told):
    assert value(told(), "chaoskit_run_info") == 1


@pytest.mark.parametrize(
    ("limit", "number"),
    [
        ("at most 1 s", 1.0),
        ("within 500 ms", 0.5),
        ("at least 60/s", 60.0),
        ("errors < 0.1%", 0.001),
        ("ready_fronts >= 3", 3.0),
        ("memory < 64Mi", 64 * 2**20),
        ("at most 2 pods", 2.0),
        ("at most 1.5 times", 1.5),
        ("50 % ± 5 %", None),
        ("as the formula says", None),
        ("", None),
    ],
)
def test_a_limit_is_a_number_where_it_is_one(limit, number):
    found = exposition.limit_of(Finding("x", "metric", Verdict.PASSED, "", limit=limit))
    assert found == (number if number is None else pytest.approx(number))


@pytest.mark.slow
def test_a_whole_run_is_taken_even_with_names_that_deceive(tmp_path):
    with debian.serving("prometheus-pushgateway", tmp_path) as url:
        for told in (story.failing(), story.hostile()):
            run = session.Run(tmp_path, told.result, told.record, told.experiment)
            session.push(run, PushGateway(url), pytest.fail)
        page = requests.get(f"{url}/metrics", timeout=5).text
        assert len([line for line in page.splitlines() if line.startswith("chaoskit_run_info")]) == 2


def test_a_gateway_that_is_away_or_refuses_is_told_with_the_next_command(tmp_path):
    told = story.passing()
    run = session.Run(tmp_path, told.result, told.record, told.experiment)
    said: list[str] = []
    session.push(run, PushGateway("http://user:secret@127.0.0.1:1/"), said.append)
    assert "the Pushgateway does not answer" in said[0]
    assert "secret" not in " ".join(said)
    assert f"chaoskit judge {tmp_path} --push-gateway" in said[1]
