"""Values are judged by when they were scraped, not by when they were shown."""

from __future__ import annotations

import pytest
from stories import EXPERIMENT, play, story

from chaoskit import promql, scrapes
from chaoskit.adapters.fake import FakeWorld
from chaoskit.model import Answer, Series

READY = "ready_fronts"


@pytest.mark.parametrize(
    ("query", "series"),
    [
        ("up", ("up",)),
        ('sum(up{job="$namespace"}) / count(up)', ('up{job="namespace"}', "up")),
        ("rate(a_total[1m])", ()),
        ("max_over_time(a[5m:])", ()),
        ("a offset 5m", ()),
        ("a @ 5", ()),
        ("rate(a_total[1m]) / on() b > 0", ("b",)),
        ("vector(0)", ()),
        ("no promql (", ()),
    ],
)
def test_the_series_are_found_whose_present_values_are_shown(query, series):
    assert promql.instant_series(query) == series


def asked(*pairs: tuple[float, float], query="up", **more) -> dict[str, Answer]:
    """Pairs of when it was asked, and when it had last been scraped."""
    return {f"scrapes: {query}": Answer("q", (Series({}, pairs),) if pairs else (), **more)}


def test_a_value_that_is_shown_on_is_one_value_at_its_own_time():
    shown = (Series({}, ((1.0, 5.0), (2.0, 5.0), (3.0, 6.0))),)
    answers = asked((1.0, 0.5), (2.0, 0.5), (3.0, 2.5))
    assert scrapes.retimed("up", shown, answers) == (Series({}, ((0.5, 5.0), (2.5, 6.0))),)
    assert scrapes.retimed("up", shown, {}) == shown


def test_of_several_series_the_oldest_sample_tells_the_age():
    shown = (Series({}, ((10.0, 1.0),)),)
    answers = asked((10.0, 9.5)) | asked((10.0, 3.0), query="down")
    assert scrapes.retimed("up / down", shown, answers)[0].points == ((3.0, 1.0),)


def test_how_often_it_is_scraped_is_the_median():
    times = asked(*((float(t), float(t // 15 * 15)) for t in range(100)))
    assert scrapes.usual_s("up", times) == 15
    assert scrapes.usual_s("up", {}) == 0


def test_that_it_is_not_known_is_said():
    assert "timeout" in scrapes.lacking("up", asked(error="timeout"))
    assert scrapes.lacking("up", asked()) == ""
    assert scrapes.lacking("up", {}) == ""


def still(began: float, ended: float) -> FakeWorld:
    """A Prometheus that stands still for a while, and shows on what it saw before."""
    world = FakeWorld(7)
    world.metrics.still = [(began, ended)]
    return world


def finding(run):
    (found,) = [f for f in run.judged().asked if f.name.startswith("ready")]
    return found


def test_a_prometheus_that_stands_still_after_the_step_decides_nothing(tmp_path):
    whole = play(story(tmp_path / "whole"))
    assert finding(whole).verdict.value == "passed"
    began = next(e.at for e in whole.entries("step began"))
    run = play(story(tmp_path / "still", world=still(began - 0.5, began + 9)))
    assert finding(run).verdict.value == "inconclusive"
    assert "nothing was scraped in the window" in finding(run).reason


def test_what_was_bad_before_the_window_and_is_shown_on_convicts_nobody(tmp_path):
    whole = play(story(tmp_path / "whole"))
    began = next(e.at for e in whole.entries("step began"))
    text = EXPERIMENT.replace("{ready:", "{ready: other, seen:").replace(
        "{holds: ready >= 3, of: lose a pod, when: at the end}", "ready >= 3"
    )
    world = still(began - 0.5, began + 9)
    world.metrics.table["other"] = lambda at: 1.0 if began - 2 < at < began else 3.0
    told = play(story(tmp_path / "still", text.replace("ready >= 3], for: 1s", "seen >= 0], for: 1s"), world=world))
    assert finding(told).verdict.value == "inconclusive"


def test_a_steady_state_is_not_reached_by_old_samples(tmp_path):
    run = play(story(tmp_path, EXPERIMENT.replace("for: 1s", "for: 4s"), world=still(2.0, 60.0)))
    assert run.judged().exit_code == 3
    assert any("ago" in f.reason for f in run.judged().findings)
    assert run.hit() == []
