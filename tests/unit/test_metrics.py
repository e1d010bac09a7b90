"""chaoskit's own metrics: the document names them all, and each by what Prometheus asks of a name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import debian
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from stories import EXPERIMENT, play, story

from chaoskit import session
from chaoskit.adapters.locust import TOLD, as_told
from chaoskit.load.metrics import PulseMetrics
from chaoskit.report import exposition
from chaoskit.samples import Outcome, Stream

ROOT = Path(__file__).parent.parent.parent
RUN = {"experiment": "e", "run": "r", "seed": "7", "app_namespace": "n", "cluster": "c"}
STEP = {"step": "lose a node"}
DRAIN = EXPERIMENT.replace(
    "kill_pod: {of: deployment/front, mode: now}", "drain_node: {of: deployment/front, within: 20s}"
)


def during() -> CollectorRegistry:
    """All that is served while a run is on."""
    metrics = PulseMetrics(RUN, 1e9)
    metrics.request(Stream.FRESH, Outcome.OK, 1.0, 1.0, 1.1)
    metrics.hear({"load": {"users": 3, "outcomes": {"ok": 5}}})
    for entry in (
        {"kind": "step began", "at": 1.0, **STEP},
        {"kind": "intent", "at": 1.0, "n": 1, "change": True, **STEP},
        {"kind": "landed", "at": 2.0, **STEP},
        {"kind": "healed", "at": 3.0, "n": 1, "done": True},
    ):
        metrics.hear({"journal": entry})
    return metrics._registry


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> CollectorRegistry:
    done = session.judge(play(story(tmp_path_factory.mktemp("run"))).folder)
    return exposition.registry(done.result, done.record)


def families(registry: CollectorRegistry) -> dict[str, Metric]:
    """By the name that queries use."""
    return {f"{f.name}_total" if f.type == "counter" else f.name: f for f in registry.collect()}


def documented(heading: str) -> dict[str, set[str]]:
    """The series in a chapter of the document, and their labels; `likewise` takes those of the row before."""
    chapter = (ROOT / "docs" / "grafana.md").read_text().split(f"## {heading}")[1].split("\n## ")[0]
    found: dict[str, set[str]] = {}
    labels = set[str]()
    for names, said in re.findall(r"^\| (`chaoskit_[^|]*)\|([^|]*)\|", chapter, re.MULTILINE):
        labels = labels if said.strip() == "likewise" else set(re.findall(r"`(\w+)`", said))
        found |= dict.fromkeys(re.findall(r"`(chaoskit_\w+)`", names), labels)
    return found


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


@pytest.mark.parametrize("heading", ["chaoskit's own metrics", "Results that stay"])
def test_the_document_has_every_series_with_its_labels(heading, pushed):
    exported = families(during() if heading.startswith("chaoskit") else pushed)
    told = documented(heading)
    assert set(told) == set(exported)
    for name, family in exported.items():
        assert labels_of(family) <= told[name], name
        assert not family.samples or labels_of(family) == told[name], name


def test_names_are_in_base_units_and_say_what_they_count(pushed):
    for name, family in {**families(during()), **families(pushed)}.items():
        assert name.startswith("chaoskit_"), name
        assert family.documentation.endswith("."), name
        assert not re.search(r"_(ms|milliseconds|minutes|percent|kilobytes)(_|$)", name), name
        if family.type == "histogram" or "timestamp" in name or "duration" in name:
            assert name.endswith("_seconds"), name


@pytest.mark.slow
def test_prometheus_own_linter_has_nothing_against_them(pushed):
    for registry in (during(), pushed):
        argv = [debian.program("promtool"), "check", "metrics"]
        done = subprocess.run(argv, input=generate_latest(registry), capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_what_a_run_journals_is_what_its_metrics_say(tmp_path):
    told = play(story(tmp_path, DRAIN))
    metrics = PulseMetrics(RUN, 0.0)
    for kind, at, data in told.world.load.told:
        if kind in TOLD:
            metrics.hear(as_told(kind, at, data))
    shown = families(metrics._registry)
    entries = {kind: [e.at for e in told.entries(kind)] for kind in ("intent", "landed", "healed")}
    for name, at in (("ordered", entries["intent"][1]), ("landed", max(entries["landed"]))):
        (sample,) = shown[f"chaoskit_step_{name}_timestamp_seconds"].samples
        assert sample.value == pytest.approx(at, abs=1e-5)
    (healed,) = shown["chaoskit_step_healed_timestamp_seconds"].samples
    assert healed.value in [pytest.approx(at, abs=1e-5) for at in entries["healed"]]
    assert [s.value for s in shown["chaoskit_step_unhealed"].samples] == [0.0]
    assert {s.labels["phase"] for s in shown["chaoskit_run_phase"].samples if s.value} == {"heal"}


def test_a_run_more_makes_one_more_series_only():
    """The run's id is on one series: all others of a second run have the labels that those of the first had."""
    carriers = [f.name for f in during().collect() if "run" in labels_of(f)]
    assert carriers == ["chaoskit_run_info"]
