"""pytest meets experiments: which files are collected, what a broken one says, and what options are refused.

Runs on a cluster are shown in tests/cluster.
"""

from __future__ import annotations

from chaoskit import session  # noqa: F401 - loaded before pytester looks which modules it must forget again
from chaoskit.adapters import kube  # noqa: F401

pytest_plugins = ["pytester"]

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


def test_an_experiment_is_collected_with_one_item_for_each_expectation(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytester.runpytest_inprocess("--collect-only", "-q")
    assert done.ret == 0, done.stdout
    items = [line for line in done.outlines if line.startswith("pod-kill.yaml::")]
    assert len(items) == 2
    assert "recovered from" in items[0]
    assert "outage" in items[1]


def test_other_yaml_is_left_alone(pytester):
    (pytester.path / "deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: front}\n")
    (pytester.path / "workflow.yaml").write_text("name: ci\njobs:\n  test:\n    steps: []\n")
    assert pytester.runpytest_inprocess("--collect-only", "-q").ret == 5


def test_an_experiment_with_a_misspelt_key_is_an_error_and_not_passed_over(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT.replace("expect:", "expct:"))
    done = pytester.runpytest_inprocess("-q")
    assert done.ret == 2, done.stdout
    assert "pod-kill.yaml:6:1" in str(done.stdout)
    assert "did you mean 'expect'?" in str(done.stdout)


def test_what_keeps_a_run_from_starting_is_told_in_plain_words(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    (pytester.path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    where = ["--chaoskit-kubeconfig", "kubeconfig", "--chaoskit-context", "nowhere"]
    done = pytester.runpytest_inprocess("-q", *where, "--junitxml", "junit.xml")
    assert done.ret == 1, done.stdout
    assert "2 errors" in str(done.stdout)
    for said in (str(done.stdout), (pytester.path / "junit.xml").read_text()):
        assert "nowhere" in said
        assert "pluggy" not in said
        assert "Traceback" not in said


def test_a_seed_must_be_a_number(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytester.runpytest_inprocess("-q", "--chaoskit-seed", "abc", "--chaoskit-context", "nowhere")
    assert "--chaoskit-seed takes a number, not 'abc'" in str(done.stdout) + str(done.stderr)
