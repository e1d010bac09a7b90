"""pytest meets experiments: which files are collected, what a broken one says, and what options are refused.

Each test runs pytest as a user does, in a process of its own. Runs on a cluster are shown in tests/cluster.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXPERIMENT = """\
name: the shop survives losing a pod
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front}
    watch: 5s
expect:
  - recovery: {of: lose a pod, within: 12s}
  - outage: {of: lose a pod, at_most: 1s}
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_an_experiment_is_collected_with_one_item_for_each_expectation(tmp_path):
    (tmp_path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytest_in(tmp_path, "--collect-only", "-q")
    assert done.returncode == 0, done.stdout
    items = [line for line in done.stdout.splitlines() if line.startswith("pod-kill.yaml::")]
    assert len(items) == 2
    assert "recovered from" in items[0]
    assert "outage" in items[1]


def test_other_yaml_is_left_alone(tmp_path):
    (tmp_path / "deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: front}\n")
    (tmp_path / "workflow.yaml").write_text("name: ci\njobs:\n  test:\n    steps: []\n")
    assert pytest_in(tmp_path, "--collect-only", "-q").returncode == 5


def test_an_experiment_with_a_misspelt_key_is_an_error_and_not_passed_over(tmp_path):
    (tmp_path / "pod-kill.yaml").write_text(EXPERIMENT.replace("expect:", "expct:"))
    done = pytest_in(tmp_path, "-q")
    assert done.returncode == 2, done.stdout
    assert "pod-kill.yaml:6:1" in done.stdout
    assert "did you mean 'expect'?" in done.stdout


def test_what_keeps_a_run_from_starting_is_told_in_plain_words(tmp_path):
    (tmp_path / "pod-kill.yaml").write_text(EXPERIMENT)
    (tmp_path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    where = ["--chaoskit-kubeconfig", "kubeconfig", "--chaoskit-context", "nowhere"]
    done = pytest_in(tmp_path, "-q", *where, "--junitxml", "junit.xml")
    assert done.returncode == 1, done.stdout
    assert "2 errors" in done.stdout
    for said in (done.stdout, (tmp_path / "junit.xml").read_text()):
        assert "nowhere" in said
        assert "pluggy" not in said
        assert "Traceback" not in said


def test_a_seed_must_be_a_number(tmp_path):
    (tmp_path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytest_in(tmp_path, "-q", "--chaoskit-seed", "abc", "--chaoskit-context", "nowhere")
    assert "--chaoskit-seed takes a number, not 'abc'" in done.stdout + done.stderr
