"""report.html: self-contained, bounded, safe against what a cluster calls its things, and readable without scripts."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
import story

from chaoskit.report import html

pytestmark = pytest.mark.slow

VOID = {"meta", "br", "img", "hr", "link", "input"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────────────────────────

MEASURE = """<script>
const found = [];
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
if (document.documentElement.scrollWidth > innerWidth) found.push("page is too wide");
for (const plot of document.querySelectorAll(".plot")) {
  for (const kind of [".boxtext", ".marktext", ".tick", ".leveltext:not(.limit)"]) {
    const texts = [...plot.querySelectorAll(kind)].map(e => [e, e.getBoundingClientRect()]);
    texts.forEach(([a, ra], i) => texts.slice(i + 1).forEach(([b, rb]) => {
      if (overlap(ra, rb)) found.push(a.textContent + " over " + b.textContent);
    }));
  }
}
const holder = document.getElementById("run-chart"), area = holder.querySelector(".over").getBoundingClientRect();
const place = {clientX: area.left + area.width * 0.4115, clientY: area.top + 80};
holder.dispatchEvent(new PointerEvent("pointermove", place));
document.title = JSON.stringify({found, read: document.querySelector(".readout").innerText});
</script></body>"""


def browse(folder, text, width, *flags):
    """(what the browser printed, what the page complained about)."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--enable-logging=stderr"]
    done = subprocess.run([*command, *flags, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser_nothing_overlaps_and_the_pointer_reads_out_all_rows(tmp_path, width):
    text = page(story.failing()).replace("</body>", MEASURE)
    open_to_measuring = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    dom, complaints = browse(tmp_path, open_to_measuring, width, "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]
    assert '"found":[]' in title
    assert re.search(r'"read":"18\.5\d s', title)
    assert "FAILING" in title
    assert "2 ready, 3 wanted" in title
    assert complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_in_a_browser_the_page_looks_the_same_without_scripts_and_nobody_complains(tmp_path):
    text = page(story.hostile())
    looks = []
    for scripts in (1, 2):  # allowed, and blocked as a reader's settings block them
        folder = tmp_path / str(scripts)
        preferences = folder / "profile" / "Default" / "Preferences"
        preferences.parent.mkdir(parents=True)
        preferences.write_text(f'{{"profile":{{"default_content_setting_values":{{"javascript":{scripts}}}}}}}')
        _, complaints = browse(folder, text, 1400, f"--screenshot={folder / 'look.png'}")
        assert complaints == []
        looks.append((folder / "look.png").read_bytes())
    assert len(looks[0]) > 20_000
    assert looks[0] == looks[1]
