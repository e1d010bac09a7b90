"""The recording and alerting rules, by Prometheus' own tool and its own kind of tests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import debian
import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "dashboards" / "rules"


def promtool(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([debian.program("promtool"), *argv], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_rules_are_valid_and_do_what_their_tests_say():
    checked = promtool("check", "rules", str(RULES / "chaoskit.yaml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", str(RULES / "chaoskit_test.yaml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.slow
def test_a_rule_that_changed_would_be_noticed(tmp_path):
    text = (RULES / "chaoskit.yaml").read_text().replace("> 2 * 86400", "> 9 * 86400")
    (tmp_path / "chaoskit.yaml").write_text(text)
    (tmp_path / "chaoskit_test.yaml").write_text((RULES / "chaoskit_test.yaml").read_text())
    tested = promtool("test", "rules", str(tmp_path / "chaoskit_test.yaml"))
    assert tested.returncode != 0
    assert "ChaosExperimentNotRun" in tested.stdout + tested.stderr


def test_every_rule_is_tested_and_every_alert_is_explained():
    groups = yaml.safe_load((RULES / "chaoskit.yaml").read_text())["groups"]
    tests = (RULES / "chaoskit_test.yaml").read_text()
    rules = [rule for group in groups for rule in group["rules"]]
    for rule in rules:
        assert rule.get("alert") or rule["record"]
        assert (rule.get("alert") or rule["record"]) in tests
    for alert in (rule for rule in rules if "alert" in rule):
        assert (ROOT / alert["annotations"]["runbook"]).exists()
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in ("info", "warning", "critical")


def test_rules_name_series_that_are_documented():
    page = (ROOT / "docs" / "grafana.md").read_text()
    for name in re.findall(r"(?<![:\w])chaoskit_\w+(?=\{|\)|\[)", (RULES / "chaoskit.yaml").read_text()):
        assert f"`{name}`" in page, name
