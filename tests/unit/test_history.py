"""Past runs: the folders are the truth, and the index beside them never says anything else."""

from __future__ import annotations

import math
import shutil
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_result import FINDINGS, result

from chaoskit import history, journal
from chaoskit import result as results
from chaoskit.errors import UsageError
from chaoskit.model import Finding, Verdict


def run(root, name, *, started=1.8e9, value=1.0, **changes):
    """A judged run's folder, as far as the history reads it."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / journal.FILE).touch()
    found = Finding("outage", "outage", Verdict.PASSED, "", value=value, unit="s", uncertainty=0.01, margin=1 - value)
    results.write(result([found], started_unix=started, run=name, **changes), folder)
    return folder


def names(root):
    return [past.folder for past in history.indexed(root).runs]


def test_runs_are_found_in_batches_and_repetitions_in_order_of_time(tmp_path):
    run(tmp_path, "night/b", started=3.0)
    run(tmp_path, "repeated-x2/01", started=1.0)
    run(tmp_path, "alone", started=2.0)
    (tmp_path / "notes").mkdir()
    assert names(tmp_path) == ["repeated-x2/01", "alone", "night/b"]
    assert history.indexed(tmp_path) == history.read(tmp_path)


def test_the_index_follows_the_folders(tmp_path):
    first = run(tmp_path, "a")
    assert names(tmp_path) == ["a"]
    run(tmp_path, "b", started=2.0e9)
    results.write(replace(results.from_json((first / "result.json").read_text()), verdict=Verdict.FAILED), first)
    assert [(r.folder, r.verdict) for r in history.indexed(tmp_path).runs] == [
        ("a", Verdict.FAILED),
        ("b", Verdict.PASSED),
    ]
    shutil.rmtree(first)
    assert names(tmp_path) == ["b"]
    (tmp_path / "b" / "result.json").unlink()
    assert history.indexed(tmp_path) == history.History((), ("b",))


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_an_index_that_is_no_index_is_made_anew(tmp_path, damage):
    run(tmp_path, "a")
    (tmp_path / history.INDEX).write_bytes(damage)
    assert names(tmp_path) == ["a"]
    assert names(tmp_path) == ["a"]


def test_an_index_of_another_version_is_made_anew(tmp_path):
    run(tmp_path, "a")
    old = sqlite3.connect(tmp_path / history.INDEX)
    old.executescript(
        "CREATE TABLE runs (folder, stamp); INSERT INTO runs VALUES ('gone', 'x'); PRAGMA user_version = 99"
    )
    old.close()
    assert names(tmp_path) == ["a"]


def test_where_no_index_can_be_written_none_is_needed(tmp_path):
    run(tmp_path, "a")
    (tmp_path / history.INDEX).mkdir()
    assert names(tmp_path) == ["a"]


def test_an_index_is_a_database_that_can_be_asked(tmp_path):
    run(tmp_path, "a", value=2.5)
    history.indexed(tmp_path)
    rows = sqlite3.connect(tmp_path / history.INDEX).execute(
        "SELECT experiment, name, value FROM findings JOIN runs USING (folder)"
    )
    assert rows.fetchall() == [("x", "outage", 2.5)]


@settings(max_examples=30)
@given(st.lists(FINDINGS, max_size=3))
def test_the_index_gives_back_what_the_folder_says(tmp_path_factory, findings):
    root = tmp_path_factory.mktemp("runs")
    folder = run(root, "a")
    results.write(result(findings), folder)
    assert history.indexed(root) == history.read(root) == history.indexed(root)


def test_a_number_that_is_none_is_no_number(tmp_path):
    run(tmp_path, "a", value=math.nan)
    (past,) = history.indexed(tmp_path).runs
    assert past.numbers[0].value is None


def test_a_damaged_result_is_told_and_hides_no_other(tmp_path):
    run(tmp_path, "a")
    (run(tmp_path, "b") / "result.json").write_text("{")
    assert history.indexed(tmp_path).unjudged == ("b",)
    assert names(tmp_path) == ["a"]


def test_a_run_without_an_end_may_be_under_way_until_it_was_silent_for_an_hour(tmp_path):
    folder = run(tmp_path, "a")
    wrote = max(path.stat().st_mtime for path in folder.iterdir())
    assert history.may_be_under_way(folder, wrote + 3599)
    assert not history.may_be_under_way(folder, wrote + 3601)
    writing = journal.Journal(folder / journal.FILE)
    writing.write("ended", 1.0, how="complete", error="")
    writing.close()
    assert not history.may_be_under_way(folder, wrote + 1)


def test_links_are_not_followed(tmp_path):
    run(tmp_path / "elsewhere", "a")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "runs") == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        history.indexed(tmp_path / "nowhere")
