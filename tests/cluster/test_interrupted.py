"""A run that is stopped, or killed, at any stage: what it made and broke is put back, by itself or by `heal`."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from started import Started, chaoskit, processes_of, residue

from chaoskit.adapters.kube import KubeCluster
from chaoskit.conditions import measure
from chaoskit.samples import read_samples

pytestmark = pytest.mark.cluster
WEB = (Path(__file__).parent / "web.yaml").read_text().replace("replicas: 4", "replicas: 2")
EXPERIMENT = """\
name: a node is cordoned
app: {manifests: web.yaml, service: web}
load: LOAD
metrics: {nodes: sum(kube_node_info)}
steady_state: {hold: [nodes STEADY], for: 1s}
steps:
  - name: cordon
    cordon_node: {name: node2}
    watch: WATCH
expect:
  - metric: nodes >= 1
"""
PULSE = "{locustfile: none, pulse: {period: 50ms}}"
BUDGET = """
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {maxUnavailable: 0, selector: {matchLabels: {app: web}}}
"""
PROMPT_S = 3.0
"""What a stop may take beside healing: the load's end, the report, the process's own."""


def begin(home: Path, *, load: str = PULSE, steady: str = ">= 1", watch: str = "60s") -> Started:
    (home / "web.yaml").write_text(WEB)
    text = EXPERIMENT.replace("LOAD", load).replace("STEADY", steady).replace("WATCH", watch)
    return Started.begin(home, text)


def result(run: Started) -> dict[str, Any]:
    return dict(json.loads((run.run / "result.json").read_text()))


def ends_well(run: Started, number: signal.Signals, cluster: KubeCluster) -> None:
    """It is signalled, and ends healed, reported and in time."""
    signalled = run.interrupt(number)
    assert run.wait() == 130, run.said()
    took = time.time() - signalled
    assert residue(cluster) == []
    assert processes_of(run.run) == []
    assert {"result.json", "junit.xml", "summary.md", "report.html"} <= {path.name for path in run.run.iterdir()}
    entries = run.entries()
    healing = next(e for e in entries if e.kind == "phase" and e.data["name"] == "heal")
    assert entries[-1].kind == "ended"
    heals = entries[-1].at - healing.at
    waited = run.unix(healing) - signalled
    print(f"{number.name}: healing began after {waited:.2f} s and took {heals:.2f} s; {took:.2f} s in all")
    assert took - heals < PROMPT_S
    assert [e.data["done"] for e in entries if e.kind == "healed"].count(False) == 0


def stopped(run: Started, number: signal.Signals) -> None:
    """Its result says that it did not come to its end, and nothing passed for lack of evidence."""
    said = result(run)
    assert (said["how"], said["exit_code"], said["verdict"]) == ("interrupted", 130, "inconclusive")
    assert number.name in said["error"]


@pytest.mark.parametrize(
    ("stage", "number", "more"),
    [
        ("deploy", signal.SIGINT, {}),
        ("load", signal.SIGTERM, {"load": "{users: 2, pulse: {period: 50ms}}"}),
        ("steady", signal.SIGINT, {"steady": "> 1000"}),
    ],
)
def test_a_signal_before_the_first_step(
    api: KubeCluster, tmp_path: Path, stage: str, number: signal.Signals, more: dict[str, str]
) -> None:
    run = begin(tmp_path, **more)
    run.await_entry("phase", name=stage)
    if stage == "deploy":  # When its namespace is there, and its manifests are on their way.
        run.await_entry("outcome", outcome="done")
    ends_well(run, number, api)
    stopped(run, number)
    assert not [e for e in run.entries() if e.kind == "step began"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_fault(api: KubeCluster, tmp_path: Path, number: signal.Signals) -> None:
    run = begin(tmp_path)
    run.await_entry("landed")
    ends_well(run, number, api)
    stopped(run, number)


def test_a_signal_while_a_drain_waits_for_a_budget(api: KubeCluster, tmp_path: Path) -> None:
    run = draining(tmp_path)
    run.await_entry("outcome", outcome="refused")
    ends_well(run, signal.SIGTERM, api)
    stopped(run, signal.SIGTERM)


def draining(home: Path) -> Started:
    (home / "web.yaml").write_text(WEB + BUDGET)
    text = EXPERIMENT.replace("cordon_node: {name: node2}", "drain_node: {of: deployment/web}")
    return Started.begin(home, text.replace("LOAD", "none").replace("STEADY", ">= 1").replace("WATCH", "60s"))


def test_a_signal_while_it_heals_lets_it_heal_and_keeps_the_verdict(api: KubeCluster, tmp_path: Path) -> None:
    """All is known by then; but whoever stops it does not want the next experiment either."""
    run = begin(tmp_path, load="none", watch="3s")
    run.await_entry("phase", name="heal")
    ends_well(run, signal.SIGINT, api)
    assert result(run)["how"] == "complete"
    assert "passed" in run.said()


def test_what_a_killed_run_broke_is_healed_without_its_folder(api: KubeCluster, tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.await_entry("landed")
    run.kill()
    assert "node2" in residue(api)
    first = chaoskit(tmp_path, "heal", within_s=150)
    assert first.returncode == 0, first.stdout + first.stderr
    assert residue(api) == []
    assert "nothing to heal" in chaoskit(tmp_path, "heal").stdout


STOPPING = """\
name: what users must not meet ends the run
app: {manifests: web.yaml, service: web}
load: {locustfile: none, pulse: {period: 10ms}}
steady_state: {hold: [pulse_failures < 1%], for: 1s}
steps:
  - name: to nobody
    switch_service: {of: service/web, to: {app: nobody}}
    watch: 30s
  - name: never taken
    kill_pod: {of: deployment/web}
    watch: 1s
expect:
  - outage: {of: to nobody, at_most: 30s}
safety: {at_most: 100%, stop_if: [pulse_failures > 20%]}
"""
STOPPED_WITHIN_S = 0.3


def test_a_limit_ends_the_run_as_soon_as_the_pulse_has_met_it(api: KubeCluster, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    run = Started.begin(tmp_path, STOPPING)
    assert run.wait() == 4, run.said()
    assert residue(api) == []
    entries = run.entries()
    healing = next(e.at for e in entries if e.kind == "phase" and e.data["name"] == "heal")
    began = next(e.at for e in entries if e.kind == "phase" and e.data["name"] == "watched")
    ended = sorted((s for s in read_samples(run.run / "pulse") if s.intended > began), key=lambda s: s.end)
    breach = next(
        last.end
        for n, last in enumerate(ended)
        if not last.ok and (measure("pulse_failures", ended[: n + 1], began, last.end) or 0.0) > 0.2
    )
    assert healing - breach < STOPPED_WITHIN_S
    assert not [e for e in entries if e.kind == "intent" and e.data["step"] == "never taken"]
