"""The run's folder: what is written is read back; damage is told; nothing secret is kept."""

from __future__ import annotations

import json

import pytest
from stories import EXPERIMENT, play, story

from chaoskit import record
from chaoskit.errors import UsageError
from chaoskit.journal import FILE
from chaoskit.model import Answer, Series


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return play(story(tmp_path_factory.mktemp("run")))


@pytest.fixture
def copied(told, tmp_path):
    for path in told.folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_finished_run_is_read(told):
    experiment, seen, seed = record.read(told.folder)
    assert (experiment.name, seed, seen.run) == ("lose a pod", 7, told.plan.run)
    assert list(seen.phases) == ["deploy", "load", "steady", "watched", "after", "steady again", "metrics", "heal"]
    assert all(began <= ended for began, ended in seen.phases.values())
    (step,) = seen.steps
    (act,) = step.acts
    assert step.began <= act.ordered <= act.accepted <= act.landed <= step.ended
    assert act.how == "the pod is gone"
    assert seen.pulse
    assert seen.locust
    assert [s.intended for s in seen.pulse] == sorted(s.intended for s in seen.pulse)
    assert seen.answers["ready"].series[0].points[0][0] == pytest.approx(seen.origin_unix, abs=1.1)
    assert {s["who"] for s in seen.statuses} == {"pulse", "locust"}
    assert {e.kind for e in seen.events} >= {"pod", "node", "endpointslice", "deployment"}
    assert record.read(told.folder) == (experiment, seen, seed)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("run.json", "{"),
        ("run.json", "{}"),
        ("run.json", "5"),
        ("events.jsonl", "{\n"),
        ("events.jsonl", '{"at": 1}\n'),
        ("metrics.json", "[]"),
        ("metrics.json", '{"a": {}}'),
        (FILE, "{}\n"),
    ],
)
def test_a_damaged_folder_is_told_and_no_traceback(copied, file, text):
    (copied / file).write_text(text)
    with pytest.raises(UsageError) as caught:
        record.read(copied)
    assert str(copied) in str(caught.value)
    assert "next:" in str(caught.value)


@pytest.mark.parametrize("file", ["events.jsonl", "metrics.json", "pulse.bin", "locust.bin", "pulse.names"])
def test_what_a_broken_run_never_wrote_is_simply_not_there(copied, file):
    (copied / file).unlink()
    record.read(copied)


def test_a_torn_last_event_is_left_out(copied):
    whole = (copied / "events.jsonl").read_bytes()
    (copied / "events.jsonl").write_bytes(whole[:-20])
    assert len(record.read(copied)[1].events) == whole.count(b"\n") - 1


@pytest.mark.parametrize("missing", ["run.json", FILE])
def test_a_folder_that_is_none_is_refused(copied, missing):
    (copied / missing).unlink()
    with pytest.raises(UsageError, match="no run's folder"):
        record.read(copied)


def test_secrets_are_not_kept():
    container = {"name": "c", "env": [{"name": "PASSWORD", "value": "hush"}], "args": ["--token=hush"], "image": "i"}
    spec = {"template": {"spec": {"containers": [container], "volumes": [{"secret": "hush"}]}}, "replicas": 3}
    o = {
        "metadata": {
            "name": "a",
            "managedFields": ["hush"],
            "annotations": {record._LAST_APPLIED: "hush", "kept": "1"},
        },
        "spec": spec,
        "data": {"password": "hush"},
        "stringData": "hush",
        "status": {"images": ["hush"], "phase": "Running"},
    }
    text = json.dumps(record.trimmed(o))
    assert "hush" not in text
    for kept in ("kept", "replicas", "Running", "image"):
        assert kept in text


def test_answers_are_read_back(tmp_path):
    answers = {
        "a": Answer("q", (Series({"x": "1"}, ((1.5, 2.0), (2.5, float("inf")))),), ("w",)),
        "b": Answer("q", (), error="e"),
    }
    record.write_answers(tmp_path, answers)
    assert record._answers(tmp_path / record.METRICS) == answers
    record.write_answers(tmp_path, {"a": Answer("q", (Series({}, ((1.0, float("nan")),)),))})
    assert str(record._answers(tmp_path / record.METRICS)["a"].series[0].points) == "((1.0, nan),)"


def test_an_act_says_when_it_was_healed_and_one_that_needs_no_healing_does_not(tmp_path):
    cordoned = EXPERIMENT.replace("kill_pod: {of: deployment/front, mode: now}", "cordon_node: {of: deployment/front}")
    cordoned = cordoned.replace("- recovery: {of: lose a pod, within: 5s}", "")
    told = play(story(tmp_path / "cordoned", cordoned))
    (act,) = record.read(told.folder)[1].steps[0].acts
    heal = record.read(told.folder)[1].phases["heal"]
    assert act.landed is not None
    assert heal[0] <= act.healed <= heal[1]
    (killed,) = record.read(play(story(tmp_path / "killed")).folder)[1].steps[0].acts
    assert killed.healed is None
