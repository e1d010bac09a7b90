"""Several experiments by one command, on runs of the public fake: each has its turn, and the pages tell of all."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stories import EXPERIMENT, play, story

from chaoskit import spec
from chaoskit.batchrun import run_all
from chaoskit.errors import UsageError
from chaoskit.session import judge

HOLDS, FAILS = "within: 5s}", "within: 100ms}"
BROKEN = "broken"


class Night:
    """Runs each experiment on a fake world, and remembers which had their turn."""

    def __init__(self, folder: Path, *, interrupt: str = "", times: int = 1) -> None:
        self.folder, self.times, self.interrupt = folder, times, interrupt
        self.turns: list[str] = []

    def run(self, experiment):
        self.turns.append(experiment.name)
        if experiment.name == BROKEN:
            raise UsageError("the experiment asks Prometheus, and none is named", fix="give --prometheus URL")
        for number in range(self.times):
            folder = self.folder / f"{experiment.name} {number}"
            play(story(folder, spec.dumps(experiment), seed=7 + number))
            yield replace(judge(folder), interrupted=experiment.name == self.interrupt)


def experiments(**limits):
    texts = {name: EXPERIMENT.replace("name: lose a pod\nload", f"name: {name}\nload") for name in limits}
    changed = {
        name: text.replace(f"lose a pod, {HOLDS}", f"lose a pod, {limits[name]}") for name, text in texts.items()
    }
    return [(Path(f"{name}.yaml"), spec.loads(text)) for name, text in changed.items()]


def batch_of(folder, night, stop_at="unhealed", **limits):
    return run_all(experiments(**limits), folder, night.run, stop_at, now=count(1_800_000_000.0, 60.0).__next__)


def suites(folder):
    return list(ElementTree.parse(folder / "junit.xml").getroot())  # noqa: S314 - our own text


def test_all_have_their_turn_and_the_worst_decides(tmp_path):
    batch = batch_of(tmp_path, night := Night(tmp_path), first=HOLDS, second=FAILS, third=HOLDS)
    assert night.turns == ["first", "second", "third"]
    assert batch.exit_code == 1
    assert batch.sentence == "2 of 3 experiments held; 1 failed"
    assert [suite.get("name") for suite in suites(tmp_path)] == ["first", "second", "third"]
    assert [suite.get("failures") for suite in suites(tmp_path)] == ["0", "1", "0"]
    page = (tmp_path / "index.html").read_text()
    for link in re.findall(r'href="([^"#]+)"', page):
        assert (tmp_path / link.replace("%20", " ")).is_file(), link
    assert page.count("/report.html") == 3
    assert page.index('part failed"') < page.index('part passed"')
    assert "| ✗ failed | second |" in (tmp_path / "summary.md").read_text()


def test_the_rest_is_left_when_told_and_named_as_not_run(tmp_path):
    batch = batch_of(tmp_path, night := Night(tmp_path), "failed", first=FAILS, second=HOLDS)
    assert night.turns == ["first"]
    assert batch.exit_code == 1
    assert batch.sentence == ("0 of 2 experiments held; 1 failed, 1 not run: “first” was the last, by --stop-at failed")
    (skipped,) = suites(tmp_path)[1].iter("skipped")
    assert "--stop-at failed" in skipped.get("message")
    assert "| – not run | second |" in (tmp_path / "summary.md").read_text()


def test_nothing_is_left_where_the_last_one_failed(tmp_path):
    assert batch_of(tmp_path, Night(tmp_path), "failed", first=HOLDS, second=FAILS).cut == ""


def test_one_that_cannot_be_run_keeps_no_other_from_its_turn(tmp_path):
    batch = batch_of(tmp_path, night := Night(tmp_path), broken=HOLDS, second=HOLDS)
    assert night.turns == ["broken", "second"]
    assert batch.exit_code == 2
    assert batch.sentence == "1 of 2 experiments held; 1 could not be run"
    (error,) = suites(tmp_path)[0].iter("error")
    assert "give --prometheus URL" in error.get("message")
    assert "give --prometheus URL" in (tmp_path / "index.html").read_text()


def test_whoever_interrupts_one_ends_them_all(tmp_path):
    batch = batch_of(tmp_path, night := Night(tmp_path, interrupt="first"), first=HOLDS, second=HOLDS)
    assert night.turns == ["first"]
    assert batch.exit_code == 130
    assert batch.sentence == "1 of 2 experiments held; 1 not run: interrupted"


def test_one_that_is_broken_off_before_it_runs_leaves_pages_that_say_so(tmp_path):
    class Asking(Night):
        def run(self, experiment):
            if experiment.name == "second":
                raise KeyboardInterrupt
            yield from super().run(experiment)

    with pytest.raises(KeyboardInterrupt):
        batch_of(tmp_path, Asking(tmp_path), first=HOLDS, second=HOLDS)
    page = (tmp_path / "index.html").read_text()
    assert "1 of 2 experiments held; 1 not run: broken off" in page
    assert "under way" not in page


def test_repetitions_are_told_apart(tmp_path):
    batch = batch_of(tmp_path, Night(tmp_path, times=2), first=HOLDS)
    assert batch.parts[0].decided.startswith("held in 2 of 2 runs; ")
    assert [suite.get("name") for suite in suites(tmp_path)] == ["first", "first (2)"]
    assert {case.get("classname") for case in suites(tmp_path)[1].iter("testcase")} == {"first (2)"}


def test_the_pages_tell_how_far_it_is(tmp_path):
    """As somebody sees it who opens them while the second runs."""

    class Looking(Night):
        seen = ""

        def run(self, experiment):
            if experiment.name == "second":
                self.seen = (self.folder / "index.html").read_text()
            yield from super().run(experiment)

    night = Looking(tmp_path)
    batch_of(tmp_path, night, first=HOLDS, second=HOLDS)
    assert "still under way" in night.seen
    assert "1 of 2 experiments held; 1 not run yet" in night.seen
    assert "under way" not in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(("stop_at", "turns"), [("never", 3), ("unhealed", 3), ("failed", 2), ("inconclusive", 1)])
def test_what_ends_a_batch(tmp_path, stop_at, turns):
    batch_of(tmp_path, night := Night(tmp_path), stop_at, broken=HOLDS, second=FAILS, third=HOLDS)
    assert len(night.turns) == turns
