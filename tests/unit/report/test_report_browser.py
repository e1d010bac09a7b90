"""report.html in a browser: nothing overlaps, nothing complains, and it reads without scripts."""

import re

import pytest
import story
from browser import NARROW, WIDE, browse, looked_at, with_and_without_scripts

from chaoskit.report import html

pytestmark = pytest.mark.slow

STORIES = [story.failing, story.unstarted, story.hostile, story.long]


def page(told):
    return html.render(told.result, told.record, told.experiment, told.logs)


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("told", STORIES)
def test_nothing_overlaps_and_nothing_is_wider_than_the_window(tmp_path, told, width):
    seen = looked_at(tmp_path, page(told()), width)
    assert seen["found"] == []
    assert "Expectations" in seen["text"]


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_pointer_reads_out_all_rows(tmp_path, width):
    read = looked_at(tmp_path, page(story.failing()), width)["read"]
    assert re.match(r"18\.5\d s", read)
    rows = dict(line.split("\t") for line in read.splitlines()[1:])
    assert rows["steps"] == "lose a pod"
    assert rows["pulse, new connections"] == "FAILING"
    assert rows["deployment/front"].startswith("2 ready, 3 wanted; 6d5f7b9c4-k9qpl ")
    assert rows["nodes"] == "3 ready"
    assert {"phases", "acts", "requests", "latency", "errors", "ready_fronts"} <= rows.keys()


def test_dark_and_light_have_their_own_colours(tmp_path):
    text = page(story.failing())
    looks = []
    for scheme in (0, 1):
        look = tmp_path / f"{scheme}.png"
        _, complaints = browse(
            tmp_path, text, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={look}"
        )
        assert complaints == []
        looks.append(look.read_bytes())
    assert looks[0] != looks[1]


@pytest.mark.parametrize("told", STORIES)
def test_the_page_looks_the_same_without_scripts(tmp_path, told):
    seen = with_and_without_scripts(tmp_path, page(told()), WIDE)
    assert seen["differ"] == []
    assert seen["counts"][0] == seen["counts"][1] > 100
    assert seen["readers"] == [1, 0]


def test_nobody_complains_where_a_reader_has_blocked_scripts(tmp_path):
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    preferences.parent.mkdir(parents=True)
    preferences.write_text('{"profile":{"default_content_setting_values":{"javascript":2}}}')
    look = tmp_path / "look.png"
    _, complaints = browse(tmp_path, page(story.hostile()), f"--screenshot={look}")
    assert complaints == []
    assert look.stat().st_size > 20_000
