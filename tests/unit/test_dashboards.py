"""The dashboards as files: fresh, complete, and by the rules that Grafana publishes for its dashboards' linter.

The linter itself is not run, for it cannot be had everywhere: its rules are written down here, by their documents
(docs/rules in its repository). What the queries give is seen in tests/cluster/test_dashboards.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
from itertools import combinations
from pathlib import Path
from types import ModuleType

import promql_parser
import pytest
import test_docs
import yaml

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "dashboards" / "json").glob("*.json"))
every_file = pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in FILES])
UNITS = {"none", "s", "reqps", "percentunit", "bytes", "Bps"}


def board(file: Path) -> dict:
    return json.loads(file.read_text())


def panels(file: Path) -> list[dict]:
    return [panel for panel in board(file)["panels"] if panel["type"] != "row"]


def generator() -> ModuleType:
    specified = importlib.util.spec_from_file_location("generate_dashboards", ROOT / "dashboards" / "generate.py")
    module = importlib.util.module_from_spec(specified)
    specified.loader.exec_module(module)
    return module


def expressions(file: Path) -> list[str]:
    """All PromQL of a dashboard, of annotations too."""
    marks = [mark["expr"] for mark in board(file)["annotations"]["list"] if "expr" in mark]
    return [target["expr"] for panel in panels(file) for target in panel["targets"]] + marks


def filled(expr: str) -> str:
    """With something in place of each variable, so that it is PromQL."""
    return re.sub(r"\$\w+", "x", expr.replace("$__rate_interval", "1m"))


def test_the_files_are_what_the_generator_writes():
    texts = generator().texts()
    assert {file.name for file in FILES} == set(texts)
    for file in FILES:
        assert file.read_text() == texts[file.name], "stale: python dashboards/generate.py writes it"


@every_file
def test_every_panel_says_what_it_shows_in_which_unit_and_where_it_is_explained(file):
    for panel in panels(file):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        (link,) = panel["links"]
        page, _, anchor = link["url"].removeprefix("$docs/").partition("#")
        to = ROOT / "docs" / page
        assert to.exists(), f"{panel['title']}: {link['url']}"
        assert not anchor or anchor in test_docs.anchors(to), f"{panel['title']}: {link['url']}"


@every_file
def test_every_query_is_promql(file):
    for expr in expressions(file):
        promql_parser.parse(filled(expr))


@every_file
def test_every_variable_that_is_used_is_there_and_the_other_way_round(file):
    known = {variable["name"] for variable in board(file)["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board(file)))) - {"__rate_interval"}
    assert used == known


def test_the_run_is_chosen_by_data_source_cluster_namespace_experiment_and_run():
    (file,) = (file for file in FILES if file.stem == "chaoskit-run")
    names = {variable["name"] for variable in board(file)["templating"]["list"]}
    assert {"datasource", "cluster", "namespace", "experiment", "run"} <= names


@every_file
def test_panels_have_numbers_of_their_own_and_do_not_overlap(file):
    everything = board(file)["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    for one, other in combinations([panel["gridPos"] for panel in everything], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
        assert one["x"] + one["w"] <= 24


@every_file
def test_series_of_chaoskit_are_the_documented_ones(file):
    page = (ROOT / "docs" / "grafana.md").read_text()
    for expr in expressions(file):
        for name in re.findall(r"chaoskit_\w+", expr):
            assert f"`{name.removesuffix('_bucket')}`" in page, name


# ── the linter's rules ───────────────────────────────────────────────────────────────────────────────────────────────


def excluded() -> set[str]:
    return set(yaml.safe_load((ROOT / "dashboards" / "json" / ".lint").read_text())["exclusions"])


def test_exclusions_say_why():
    for rule, said in yaml.safe_load((ROOT / "dashboards" / "json" / ".lint").read_text())["exclusions"].items():
        assert said["reason"], rule


@every_file
def test_template_datasource_rule(file):
    sources = [v for v in board(file)["templating"]["list"] if v["type"] == "datasource"]
    assert [(v["name"], v["query"], v["label"]) for v in sources] == [("datasource", "prometheus", "Data source")]


@every_file
def test_panel_datasource_rule(file):
    for panel in panels(file):
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"]["uid"] in ("$datasource", "${datasource}"), panel["title"]


@every_file
def test_panel_title_description_and_no_targets_rules(file):
    for panel in panels(file):
        assert panel["title"] and panel["description"] and panel["targets"]


@every_file
def test_panel_units_rule(file):
    """A unit, unless the values are mapped to texts."""
    for panel in panels(file):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults.get("unit") or defaults.get("mappings"), panel["title"]


@every_file
def test_target_rate_interval_rule(file):
    for expr in expressions(file):
        assert set(re.findall(r"\[([^\]]+)\]", expr)) <= {"$__rate_interval"}, expr


@every_file
def test_target_counter_agg_rule(file):
    """Counters are rated, or said as they are (restarts since a pod began, quantiles over all of a kubelet's pods)."""
    for expr in expressions(file):
        for found in re.finditer(r"\w+_(total|bucket)\{", expr):
            plain = expr[max(0, found.start() - 5) : found.start()] != "rate("
            assert not plain or found[0].startswith(("kube_pod_container_status_restarts", "kubelet_pod_start")), expr


@every_file
def test_template_label_promql_and_on_time_change_reload_rules(file):
    for variable in board(file)["templating"]["list"]:
        if variable["type"] != "query":
            continue
        assert variable["refresh"] == 2
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()
        assert label.removeprefix("app_") == variable["name"]
        promql_parser.parse(filled(series))


@every_file
def test_template_uneditable_rule(file):
    assert board(file)["editable"] is False


@every_file
def test_panel_job_instance_rules_are_the_only_ones_left_out(file):
    assert excluded() == {"template-job-rule", "template-instance-rule", "target-job-rule", "target-instance-rule"}


# ── ways into a Grafana ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_kustomization_and_the_provisioning_have_every_file():
    kustomization = yaml.safe_load((ROOT / "dashboards" / "kustomization.yaml").read_text())
    named = [file for made in kustomization["configMapGenerator"] for file in made["files"]]
    assert sorted(named) == [f"json/{file.name}" for file in FILES]
    assert kustomization["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    (provider,) = yaml.safe_load((ROOT / "dashboards" / "provisioning" / "dashboards.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] in (ROOT / "docs" / "grafana.md").read_text()
