"""index.html: one page about several experiments; no script, nothing fetched, safe against what things are called."""

import re

import pytest
import story
from browser import NARROW, WIDE, looked_at
from test_report_html import outline

from chaoskit.batch import Batch, Done, Part
from chaoskit.report import index, junit, markdown

TOLD = (story.passing, story.failing, story.inconclusive, story.unhealed, story.hostile)


def part(told, number, runs=1):
    result = told().result
    done = tuple(Done(result, f"20270115-08000{number}-a run-{n}") for n in range(runs))
    return Part(result.experiment, result.why, f"{number}.yaml", done)


def batch():
    parts = [part(told, number, runs=1 + (number == 1)) for number, told in enumerate(TOLD)]
    parts.append(
        Part("nothing to ask", "Why <b>", "x.yaml", error="none is named\n  next: give --prometheus URL", error_code=2)
    )
    return Batch((*parts, Part("had no turn", "", "y.yaml")), 1.8e9, 1.8e9 + 900, over=True, cut="interrupted")


def test_elements_nest_nothing_is_fetched_and_nothing_runs():
    found = outline(index.render(batch()))
    assert all(link.startswith("#part-") or link.endswith("/report.html") for link in found.links)
    assert not {"img", "link", "iframe", "object", "embed", "form", "script"} & set(found.tags)
    assert found.handlers == []


def test_hostile_texts_stay_texts():
    text = index.render(batch())
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text + markdown.render_all(batch())
    assert junit.render_all(batch()).encode()


def test_what_is_left_broken_stands_above_everything_else():
    words = " ".join(" ".join(outline(index.render(batch())).words).split())
    assert words.index("kubectl uncordon node-2") < words.index("Experiments")


def test_failed_first_then_undecided_then_not_run_then_held():
    signs = re.findall(r'<article class="finding part (\w+)"', index.render(batch()))
    assert signs == sorted(signs, key=("failed", "inconclusive", "none", "passed").index)
    assert set(signs) == {"failed", "inconclusive", "none", "passed"}


@pytest.mark.slow
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_in_a_browser_nothing_is_wider_than_the_window(tmp_path, width):
    assert looked_at(tmp_path, index.render(batch()), width)["found"] == []
