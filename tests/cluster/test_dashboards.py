"""Every query of the dashboards, asked of a real Prometheus after a real run: it gives data, and the data is what its
panel says.

One Prometheus answers, as a user's would: it scrapes a Pushgateway, and reads the embedded cluster's own Prometheus.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import debian
import pytest
import requests
import yaml
from annotations import TOKEN, Annotations, serving
from started import until

from chaoskit import spec
from chaoskit.adapters.grafana import VARIABLE
from chaoskit.adapters.pushgateway import PushGateway
from chaoskit.cluster import toolset
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import Verdict
from chaoskit.report import exposition
from chaoskit.session import Options, Run, Session

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parent.parent.parent
BOARDS = {file.stem: json.loads(file.read_text()) for file in sorted((ROOT / "dashboards" / "json").glob("*.json"))}
PREFIXES = "chaoskit|kube|container|kubelet|apiserver|coredns|workqueue"
FAILED = "the shop that does not hold"
CHANGES = {
    "app": {"manifests": "apps/autoscale-cpu", "ready_within": "60s"},
    "steps": [
        {"name": "lose a pod", "kill_pod": {"of": "deployment/front", "mode": "now"}, "watch": "8s"},
        {"name": "no room", "cordon_node": {"name": "node1"}, "watch": "4s"},
        {"name": "room again", "undo": {"of": "no room"}, "watch": "4s"},
    ],
    "expect": [
        {"recovery": {"of": "lose a pod", "within": "12s"}},
        {"outage": {"of": "lose a pod", "at_most": "1s"}},
        {"error_budget": {"slo": "99%", "at_most": "50%"}},
    ],
    "metrics": {},
    "steady_state": {"hold": ["failures < 5%"], "for": "3s", "within": "40s"},
}


@dataclass(frozen=True)
class Asked:
    """A panel's or an annotation's query."""

    board: str
    title: str
    expr: str
    legend: str
    unit: str
    instant: bool
    shown: frozenset[str]
    """The values that the panel has texts for; empty where it shows numbers."""


def queries() -> Iterator[Asked]:
    for name, board in BOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                defaults = panel["fieldConfig"]["defaults"]
                texts = frozenset(value for m in defaults.get("mappings", ()) for value in m["options"])
                legend = target.get("legendFormat", "")
                instant = bool(target.get("instant"))
                yield Asked(name, panel["title"], target["expr"], legend, defaults["unit"], instant, texts)
        for mark in board["annotations"]["list"]:
            if "expr" in mark:
                yield Asked(name, mark["name"], mark["expr"], mark["textFormat"], "mark", False, frozenset())


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, path: str, **form: Any) -> list[dict[str, Any]]:
        answer = requests.post(f"{self.url}/api/v1/{path}", data=form, timeout=30).json()
        assert answer["status"] == "success", (form, answer)
        assert not answer.get("warnings"), answer["warnings"]
        return answer["data"]["result"]


@pytest.fixture(scope="module")
def annotations() -> Annotations:
    """Grafana's own, as the run made them."""
    return Annotations()


@pytest.fixture(scope="module")
def seen(
    embedded_cluster: EmbeddedCluster, annotations: Annotations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Run]]:
    folder = tmp_path_factory.mktemp("dashboards")
    with debian.serving("prometheus-pushgateway", folder) as gateway:
        configuration = folder / "prometheus.yaml"
        configuration.write_text(yaml.safe_dump(_configuration(gateway, embedded_cluster.prometheus_url)))
        arguments = [f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
        with debian.serving("prometheus", folder, *arguments) as url:
            prometheus = Prometheus(url)
            with serving(annotations) as grafana:
                done = _run(folder, gateway, grafana)
            until("both results are scraped", lambda: _pushed(prometheus, done) == {done.result.experiment, FAILED})
            yield prometheus, done


def _configuration(gateway: str, embedded: str) -> dict[str, Any]:
    target = {"targets": [gateway.removeprefix("http://")]}
    return {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "pushgateway", "honor_labels": True, "static_configs": [target]}],
        "remote_read": [{"url": f"{embedded}/api/v1/read", "read_recent": True}],
    }


def _run(folder: Path, gateway: str, grafana: str) -> Run:
    """The run, and beside it the result of an experiment that failed."""
    experiment = spec.with_changes(spec.load(ROOT / "experiments" / "pod-kill.yaml"), CHANGES)
    options = Options(out=folder / "run", seed=7, push_gateway=gateway, grafana=grafana)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, TOKEN)
        with Session(options, print) as session:
            done = session.run(experiment, lambda _live: None)
    failed = tuple(replace(f, verdict=Verdict.FAILED) for f in done.result.findings)
    result = replace(done.result, verdict=Verdict.FAILED, findings=failed, run=f"{done.result.run}-2")
    PushGateway(gateway).push(exposition.registry(result, done.record), FAILED)
    return done


def _pushed(prometheus: Prometheus, run: Run) -> set[str]:
    """Whose results are seen at one of the moments that the panels' curves have."""
    found = over_the_run(prometheus, run, 'chaoskit_run_verdict{instance=""}')
    return {series["metric"]["experiment"] for series in found}


def over_the_run(prometheus: Prometheus, run: Run, expr: str) -> list[dict[str, Any]]:
    start = run.result.started_unix
    return prometheus.ask("query_range", query=expr, start=start, end=time.time(), step="1s")


def filled(expr: str, run: Run, *, many: bool) -> str:
    """As Grafana fills it in: the one run, or on the nightly dashboard all experiments."""
    result = run.result
    values = {
        "experiment": ".*" if many else result.experiment,
        "cluster": ".*" if many else result.cluster.context,
        "run": result.run,
        "namespace": result.namespace,
        "__rate_interval": "4s",
    }
    for name, value in values.items():
        expr = expr.replace(f"${{{name}}}", value).replace(f"${name}", value)
    assert "$" not in expr, expr
    return expr


def ask(prometheus: Prometheus, run: Run, asked: Asked) -> list[dict[str, Any]]:
    expr = filled(asked.expr, run, many=asked.board == "chaoskit-nightly")
    if asked.instant:
        return prometheus.ask("query", query=expr)
    return over_the_run(prometheus, run, expr)


def numbers(series: dict[str, Any]) -> list[float]:
    points = series.get("values") or [series["value"]]
    return [float(value) for _, value in points]


@pytest.mark.parametrize("asked", [pytest.param(q, id=f"{q.board}: {q.title}: {q.legend}") for q in queries()])
def test_a_query_gives_what_its_panel_says(seen: tuple[Prometheus, Run], asked: Asked) -> None:
    prometheus, run = seen
    found = ask(prometheus, run, asked)
    assert found, "no data"
    for series in found:
        assert set(re.findall(r"\{\{(\w+)\}\}", asked.legend)) <= set(series["metric"]), series["metric"]
    names = {tuple(sorted(series["metric"].items())) for series in found}
    assert len(names) == len(found)
    values = [value for series in found for value in numbers(series) if not math.isnan(value)]
    assert values, "nothing but NaN"
    if asked.shown:
        assert {f"{value:g}" for value in values} <= asked.shown
    elif asked.unit != "mark":
        assert min(values) >= 0
        assert measured_in(asked.expr, prometheus) == asked.unit


def measured_in(expr: str, prometheus: Prometheus) -> str:
    """The unit of a query's result, by the names of its series, as Prometheus' conventions have them."""
    names = [name for name in re.findall(rf"\b(?:{PREFIXES})_\w+", expr) if name != "chaoskit_run_info"]
    name = names[0]
    if len(names) == 2 and " / " in expr:
        return "percentunit"
    if name == "chaoskit_finding_value":
        kind = re.search(r'kind="(\w+)"', expr)
        found = prometheus.ask("query", query=f'{name}{{kind="{kind[1]}"}}' if kind else name)
        units = {series["metric"]["unit"] for series in found}
        return {"seconds": "s", "ratio": "percentunit"}[units.pop()] if kind else "none"
    if name.endswith("_cpu_usage_seconds_total"):
        return "none"  # Seconds per second: cores.
    if "_bytes" in name:
        return "Bps" if "rate(" in expr else "bytes"
    if "_seconds" in name:
        return "s"
    return "reqps" if "rate(" in expr else "none"


# ── what annotations and numbers must say of this run ────────────────────────────────────────────────────────────────


def mark(named: str) -> Asked:
    return next(q for q in queries() if q.board == "chaoskit-run" and q.title == named)


def by_step(found: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {series["metric"]["step"]: numbers(series) for series in found}


def test_marks_stand_where_the_journal_says(seen: tuple[Prometheus, Run]) -> None:
    prometheus, run = seen
    origin = run.record.origin_unix
    acts = {step.name: step.acts for step in run.record.steps}
    ordered = by_step(ask(prometheus, run, mark("Ordered")))
    landed = by_step(ask(prometheus, run, mark("Landed")))
    healed = by_step(ask(prometheus, run, mark("Put back")))
    for name in ("lose a pod", "no room"):
        assert ordered[name][-1] / 1000 == pytest.approx(origin + acts[name][0].ordered, abs=0.05)
        assert landed[name][-1] / 1000 == pytest.approx(origin + acts[name][0].landed, abs=0.05)
    assert set(healed) == {"no room"}
    assert healed["no room"][-1] / 1000 == pytest.approx(origin + acts["no room"][0].healed, abs=0.05)


def test_bands_last_as_long_as_the_steps_and_what_they_changed(seen: tuple[Prometheus, Run]) -> None:
    prometheus, run = seen
    active = by_step(ask(prometheus, run, mark("Step")))
    for step in run.record.steps:
        assert step.ended is not None
        assert sum(value > 0 for value in active[step.name]) == pytest.approx(step.ended - step.began, abs=2.5)
    changed = by_step(ask(prometheus, run, mark("To be put back")))
    (act,) = run.record.step("no room").acts
    assert sum(value > 0 for value in changed["no room"]) == pytest.approx(act.healed - act.ordered, abs=2.5)
    assert max(changed["lose a pod"]) == 0


def test_grafanas_own_annotations_are_exact(seen: tuple[Prometheus, Run], annotations: Annotations) -> None:
    _, run = seen
    shown = {body["tags"][3]: body for body in annotations.kept.values()}
    assert set(shown) == {step.name for step in run.record.steps if step.acts}
    origin = run.record.origin_unix
    for name, ended in (("lose a pod", "landed"), ("no room", "healed")):
        (act,) = run.record.step(name).acts
        assert shown[name]["time"] == round((origin + act.ordered) * 1000)
        assert shown[name]["timeEnd"] == round((origin + getattr(act, ended)) * 1000)
        assert str(act.target) in shown[name]["text"]
        assert run.result.run in shown[name]["tags"]


def test_the_verdict_and_the_outage_are_those_of_the_run(seen: tuple[Prometheus, Run]) -> None:
    prometheus, run = seen
    panel = {q.title: q for q in queries()}
    (verdict,) = ask(prometheus, run, panel["Verdict"])
    assert numbers(verdict) == [float(run.result.verdict.rank)]
    (outage,) = [f for f in run.result.asked if f.kind == "outage"]
    shown = {s["metric"]["experiment"]: numbers(s)[-1] for s in ask(prometheus, run, panel["Outage"])}
    assert shown[run.result.experiment] == pytest.approx(outage.value)
    states = {
        s["metric"]["experiment"]: numbers(s)[-1] for s in ask(prometheus, run, panel["Which held on which night"])
    }
    assert states == {run.result.experiment: float(run.result.verdict.rank), FAILED: 2.0}


def test_the_variables_lead_to_the_run(seen: tuple[Prometheus, Run]) -> None:
    prometheus, run = seen
    result = run.result
    for variable in BOARDS["chaoskit-run"]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
        found = requests.get(
            f"{prometheus.url}/api/v1/series", params={"match[]": filled(series, run, many=False)}, timeout=30
        ).json()["data"]
        wanted = {"cluster": result.cluster.context, "experiment": result.experiment, "run": result.run}
        assert wanted.get(label, result.namespace) in {labels.get(label) for labels in found}


def test_the_kustomization_makes_a_config_map_of_each_dashboard() -> None:
    kubectl = toolset.find().bin / "kubectl"
    argv = [str(kubectl), "kustomize", str(ROOT / "dashboards")]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    maps = list(yaml.safe_load_all(made))
    assert {m["metadata"]["name"] for m in maps} == set(BOARDS)
    for each in maps:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = each["data"].values()
        assert json.loads(text) == BOARDS[each["metadata"]["name"]]
