"""report.html: self-contained, bounded, safe against what a cluster calls its things, and readable without scripts."""

import re
from html.parser import HTMLParser

import pytest
import story

from chaoskit.report import html

pytestmark = pytest.mark.slow

VOID = {"meta", "br", "img", "hr", "link", "input"}


def page(told):
    return html.render(told.result, told.record, told.experiment, told.logs)


class Outline(HTMLParser):
    """Checks that elements nest, and collects what tests ask for."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.handlers, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("href", "src", "srcset", "action", "xlink:href")]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def outline(text):
    found = Outline()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


STORIES = [story.passing, story.failing, story.inconclusive, story.unstarted, story.unhealed, story.hostile]


@pytest.mark.parametrize("told", STORIES)
def test_elements_nest_and_nothing_is_fetched(told):
    found = outline(page(told()))
    assert all(link.startswith("#") for link in found.links)
    assert not {"img", "link", "iframe", "object", "embed", "form"} & set(found.tags)
    assert found.handlers == []
    assert found.tags.count("script") == 2  # the read-out and its data


def test_the_policy_names_the_one_script_by_its_digest():
    text = page(story.failing())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src &#39;none&#39;" in policy
    assert "script-src &#39;sha256-" in policy


def test_hostile_texts_stay_texts():
    text = page(story.hostile())
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert text.encode()  # no lone surrogate is left
    assert "<script>alert(1)</script>" in " ".join(outline(text).words)  # shown, as what it is


def test_the_verdict_is_a_sentence_above_everything():
    words = " ".join(" ".join(outline(page(story.failing())).words).split())
    head = words[: words.index("Expectations")]
    assert "✗ failed Users had no answer for 0.81 s ± 10 ms after “lose a pod”, limit 0.5 s" in head
    assert "seed 7" in head
    assert "commit 4f2c1e9a0b7d-dirty" in head
    assert "v1.37.0" in head


def test_failed_before_passed_with_limit_margin_and_evidence():
    words = " ".join(" ".join(outline(page(story.failing())).words).split())
    assert words.index("✗ failed outage") < words.index("✓ passed recovered")
    assert "limit at most 0.5 s margin 0.31" in words
    assert "beyond the limit" in words
    assert "sum(rate(refapp_requests_total" in words
    assert "16 samples, lowest 0 %, highest 0.42 %" in words


def test_a_saturated_generator_stands_above_the_expectations():
    words = " ".join(" ".join(outline(page(story.inconclusive())).words).split())
    assert words.index("Locust used 97 % of a core") < words.index("Expectations Timeline")


def test_what_is_left_broken_stands_above_everything_else():
    words = " ".join(" ".join(outline(page(story.unhealed())).words).split())
    assert words.index("kubectl uncordon node-2") < words.index("Expectations Timeline")


def test_events_logs_quality_and_the_way_to_do_it_again_are_there():
    words = " ".join(" ".join(outline(page(story.failing())).words).split())
    assert "⚠ Warning Unhealthy" in words
    assert '"msg":"GET /cart 200"' in words
    assert words.index("Last lines of front-6d5f7b9c4-x2x4z, which was hit") < words.index("Last lines of back-")
    assert "lateness of the pulse" in words
    assert "chaoskit run experiment.yaml --seed 7" in words
    assert "uid-front-6d5f7b9c4-x2x4z" in words


def test_a_run_that_never_began_has_a_report():
    words = " ".join(" ".join(outline(page(story.unstarted())).words).split())
    assert "no answer from https://127.0.0.1:6443" in words
    assert "No request failed." in words


def test_ten_minutes_with_many_pods_stay_below_a_megabyte():
    text = page(story.long())
    outline(text)
    assert len(text.encode()) < 1_000_000
    assert "pods more" in text
    assert "events more in events.jsonl" in text
