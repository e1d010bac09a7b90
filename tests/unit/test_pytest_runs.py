"""Experiments as tests, on runs of the public fake: marks, parameters, numbers in JUnit, other plugins, processes."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

# What is parsed was written by the command just run.
from xml.etree import ElementTree

import pytest
from stories import EXPERIMENT

from chaoskit import (
    session,  # noqa: F401 - loaded before pytester looks which modules it must forget again
    spec,
)
from chaoskit.adapters import kube  # noqa: F401
from chaoskit.errors import ChaoskitError, UsageError
from chaoskit.pytest_runs import Runner
from chaoskit.session import Options

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

CONFTEST = f"""\
import sys

sys.path[:0] = [{str(Path(__file__).parent)!r}]
from stories import play, story

from chaoskit import pytest_plugin, session, spec


class OnFake:
    started = False

    def __init__(self, options):
        self.folder = options.runs

    def runs(self, experiment, show):
        self.folder.mkdir(exist_ok=True)
        number = len(list(self.folder.iterdir()))
        folder = self.folder / f"{{experiment.name}} {{number}}".replace(" ", "-")
        play(story(folder, spec.dumps(experiment)))
        yield session.judge(folder)

    def close(self):
        pass


def pytest_configure(config):
    config.stash[pytest_plugin.RUNS] = pytest_plugin.runs_on(config, OnFake)
"""
WITH_LABELS = EXPERIMENT.replace("name: lose a pod\nload", "name: lose a pod\nlabels: {tier: nightly}\nload")
FAILING = EXPERIMENT.replace("within: 5s}", "within: 100ms}").replace("name: lose a pod\nload", "name: too slow\nload")


@pytest.fixture
def shop(pytester):
    pytester.makeconftest(CONFTEST)
    (pytester.path / "pod-kill.yaml").write_text(WITH_LABELS)
    return pytester


def cases(folder):
    suite = ElementTree.parse(folder / "junit.xml").getroot().find("testsuite")  # noqa: S314 - our own file
    return {case.get("name"): case for case in suite.findall("testcase")}


def properties(case):
    return {p.get("name"): p.get("value") for p in case.iter("property")}


def runs(folder):
    return sorted(path.name for path in (folder / "runs").iterdir())


def test_each_expectation_is_a_test_with_its_numbers_in_junit(shop):
    shop.runpytest_inprocess("-q", "--junitxml", "junit.xml").assert_outcomes(passed=4)
    assert runs(shop.path) == ["lose-a-pod-0"]
    (outage,) = [properties(case) for name, case in cases(shop.path).items() if "outage" in name]
    assert outage["chaoskit_verdict"] == "passed"
    assert outage["chaoskit_unit"] == "s"
    assert 0 <= float(outage["chaoskit_value"]) < 1
    assert float(outage["chaoskit_margin"]) == pytest.approx(1 - float(outage["chaoskit_value"]))
    assert outage["chaoskit_limit"] == "at most 1 s"
    assert Path(outage["chaoskit_report"]).name == "report.html"


def test_what_failed_shows_its_files_and_the_clusters_events(shop):
    (shop.path / "pod-kill.yaml").write_text(FAILING)
    done = shop.runpytest_inprocess("-q")
    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(["*chaoskit: the run's folder*", "*journal.jsonl*", "*chaoskit: the cluster's events*"])
    assert "Scheduled pod/front-" in str(done.stdout)


def test_a_test_in_python_shows_them_too(shop):
    shop.makepyfile("def test_shop(chaos):\n    assert not chaos.run('pod-kill.yaml').passed\n")
    done = shop.runpytest_inprocess("-q", "-k", "test_shop", "--junitxml", "junit.xml")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*chaoskit: the cluster's events*"])
    assert "chaoskit_report" in properties(cases(shop.path)["test_shop"])


def test_marks_choose_experiments_by_their_labels(shop):
    (shop.path / "slow.yaml").write_text(FAILING)
    shop.makepyfile("def test_shop(chaos):\n    pass\ndef test_other():\n    pass\n")

    def collected(expression):
        done = shop.runpytest_inprocess("--collect-only", "-q", "--strict-markers", "-m", expression)
        return {line.partition("::")[0] for line in done.outlines if "::" in line}

    python = "test_marks_choose_experiments_by_their_labels.py"
    assert collected("chaoskit") == {"pod-kill.yaml", "slow.yaml", python}
    assert collected("not chaoskit") == {python}
    assert collected("chaoskit(tier='nightly')") == {"pod-kill.yaml"}


def test_parameters_and_marks_change_the_experiment_and_the_nearest_wins(shop):
    shop.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.chaos_changes(name="of the module", why="of the module")

        @pytest.mark.chaos_changes(why="of the test")
        @pytest.mark.parametrize("users", [2, 4])
        def test_shop(chaos, users):
            run = chaos.run("pod-kill.yaml", load={"users": users})
            text = (run.folder / "experiment.yaml").read_text()
            assert f"users: {users}" in text
            assert "name: of the module" in text
            assert "why: of the test" in text
        """
    )
    shop.runpytest_inprocess("-q", "-k", "test_shop").assert_outcomes(passed=2)
    assert runs(shop.path) == ["of-the-module-0", "of-the-module-1"]


@pytest.mark.slow
def test_over_several_processes_each_experiment_is_run_once(shop):
    """Its items are spread, as pytest-xdist does without being told."""
    (shop.path / "slow.yaml").write_text(FAILING)
    done = shop.runpytest_subprocess("-q", "-p", "xdist", "-n", "2", "--dist", "load", "--junitxml", "junit.xml")
    done.assert_outcomes(passed=7, failed=1)
    assert len(runs(shop.path)) == 2
    reports = {properties(case)["chaoskit_report"] for case in cases(shop.path).values()}
    assert len(reports) == 2


@pytest.mark.slow
@pytest.mark.parametrize("required", [False, True])
def test_over_several_processes_a_cluster_that_is_not_there_is_told_of_every_item(pytester, required):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    (pytester.path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    where = ["--chaoskit-kubeconfig", "kubeconfig", "--chaoskit-context", "nowhere"]
    done = pytester.runpytest_subprocess("-q", "-n", "2", *where, *(["--chaoskit-require"] if required else []))
    done.assert_outcomes(**({"errors": 4} if required else {"skipped": 4}))


@pytest.mark.slow
def test_with_pytest_html_there_is_a_link_to_the_report(shop):
    shop.runpytest_subprocess("-q", "--html", "report.html", "--self-contained-html").assert_outcomes(passed=4)
    page = (shop.path / "report.html").read_text()
    assert "runs/lose-a-pod-0/report.html" in page


@pytest.mark.slow
def test_with_allure_the_report_is_attached(shop):
    shop.runpytest_subprocess("-q", "--alluredir", "allure").assert_outcomes(passed=4)
    told = [json.loads(path.read_text()) for path in (shop.path / "allure").glob("*-result.json")]
    assert len(told) == 4
    everything = json.dumps([json.loads(path.read_text()) for path in (shop.path / "allure").glob("*.json")])
    assert ".html" in everything
    assert "result.json" in everything


# ── what runs beside what ────────────────────────────────────────────────────────────────────────────────────────────


class Looking:
    """Instead of a session: while it runs an experiment it looks whether another process could run one."""

    started = False

    def __init__(self, shared):
        self.shared, self.beside = shared, []

    def runs(self, experiment, show):
        with (self.shared / "cluster.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                self.beside.append(False)
            else:
                self.beside.append(True)
        raise UsageError("nothing is run here")
        yield

    def close(self):
        pass


@pytest.mark.parametrize(
    ("change", "beside"),
    [
        ({}, True),
        ({"steps": [{"name": "lose a pod", "drain_node": {"of": "deployment/front"}}]}, False),
        ({"app": {"namespace": "shop", "service": "front"}}, False),
    ],
)
def test_what_disturbs_others_runs_alone(tmp_path, change, beside):
    looking = Looking(tmp_path)
    runner = Runner(Options(), tmp_path, lambda _options: looking)
    with pytest.raises(UsageError):
        runner.run(spec.with_changes(spec.loads(EXPERIMENT), change))
    assert looking.beside == [beside]


def test_what_kept_an_experiment_from_running_is_told_to_the_other_processes(tmp_path):
    first, second = (Looking(tmp_path), Looking(tmp_path))
    for looking in (first, second):
        runner = Runner(Options(), tmp_path, lambda _options, one=looking: one)
        with pytest.raises(ChaoskitError, match="nothing is run here"):
            runner.run_once("pod-kill.yaml", spec.loads(EXPERIMENT))
    assert (len(first.beside), len(second.beside)) == (1, 0)
