"""A page of ours in a real headless Chromium."""

import html as markup
import json
import re
import subprocess

import debian

NARROW, WIDE = 380, 1400
HOLDER = """<!doctype html><meta charset="utf-8"><title>waiting</title>
<style>body { margin: 0 } iframe { border: 0; height: 900px; width: WIDTHpx }</style>
<iframe srcdoc="PAGE"></iframe>
<script>
const frame = document.querySelector("iframe");
const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
frame.onload = () => {
  const page = frame.contentDocument, found = [];
  if (page.documentElement.scrollWidth > WIDTH) found.push("the page is wider than its window");
  for (const plot of page.querySelectorAll(".plot, .over")) {
    const texts = [...plot.querySelectorAll(".boxtext, .marktext, .tick, .leveltext")]
      .map(e => [e, e.getBoundingClientRect()]);
    texts.forEach(([a, ra], i) => texts.slice(i + 1).forEach(([b, rb]) => {
      if (overlap(ra, rb)) found.push(a.textContent + " over " + b.textContent);
    }));
  }
  const text = page.body.innerText, chart = page.getElementById("run-chart");
  if (chart) {
    const over = chart.querySelector(".over").getBoundingClientRect();
    const place = {clientX: over.left + over.width * 0.4115, clientY: over.top + 80};
    chart.dispatchEvent(new frame.contentWindow.PointerEvent("pointermove", place));
  }
  const read = page.querySelector(".readout")?.innerText;
  document.title = JSON.stringify({found, read, text});
};
</script>"""
"""A page that shows another in a frame of a width (a window of Chromium's is never narrower than 500 pixels), and
writes into its own title what it sees there."""
PAIR = """<!doctype html><meta charset="utf-8"><title>waiting</title>
<style>body { margin: 0 } iframe { border: 0; height: 900px; width: WIDTHpx }</style>
<iframe sandbox="allow-same-origin allow-scripts" srcdoc="PAGE"></iframe>
<iframe sandbox="allow-same-origin" srcdoc="PAGE"></iframe>
<script>
const STYLES = ["color", "backgroundColor", "borderColor",
  "fill", "stroke", "opacity", "fontFamily", "fontSize", "zIndex"];
function drawn(page, frame) {
  const seen = [];
  for (const each of page.querySelectorAll("body, body *")) {
    const box = each.getBoundingClientRect(), style = frame.contentWindow.getComputedStyle(each);
    if (!box.width || !box.height || style.visibility !== "visible" || each.className === "reader") continue;
    const own = [...each.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join("");
    seen.push([each.tagName, box.x, box.y, box.width, box.height, own, ...STYLES.map(name => style[name])].join("|"));
  }
  return seen;
}
window.onload = () => {
  const frames = [...document.querySelectorAll("iframe")];
  const [on, off] = frames.map(frame => drawn(frame.contentDocument, frame));
  const readers = frames.map(frame => frame.contentDocument.querySelectorAll(".reader").length);
  const differ = on.map((each, i) => [each, off[i]]).filter(([a, b]) => a !== b).slice(0, 5);
  document.title = JSON.stringify({counts: [on.length, off.length], readers, differ});
};
</script>"""
"""A page that shows another twice, with its scripts and with them blocked, and writes into its title what is drawn
differently: places, sizes, texts and colours. Only the script's own holder of the read-out is passed over: it is
see-through until a pointer comes. Pictures are no measure for this: Chromium may paint the same page differently."""


def browse(folder, text, *flags, width=WIDE):
    """(what the browser printed, what the page complained about)."""
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command = [debian.browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", *quiet]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", "--enable-logging=stderr"]
    done = subprocess.run([*command, *flags, path.as_uri()], capture_output=True, text=True, timeout=240, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def looked_at(folder, text, width):
    """What the holder found: overlaps, the read-out, all text. The page must not have complained."""
    seen, complaints = _told(folder, HOLDER, text, width)
    assert complaints == []
    return seen


def with_and_without_scripts(folder, text, width):
    """How many elements are drawn with scripts and without, how many read-outs there are, what differs at first."""
    return _told(folder, PAIR, text, width)[0]


def _told(folder, holder, text, width):
    framed = holder.replace("WIDTH", str(width)).replace("PAGE", markup.escape(text))
    dom, complaints = browse(folder, framed, "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)[1]
    return json.loads(markup.unescape(title)), complaints
