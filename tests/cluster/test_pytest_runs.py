"""Experiments as tests, on the real cluster: what pytest reports of them, and what CI reads in the JUnit file.

One pytest, as a user starts it, runs an experiment file with one expectation of each verdict, and a test in Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# What is parsed was written by the command just run.
from xml.etree import ElementTree

import pytest

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster

pytestmark = pytest.mark.cluster
EXPERIMENT = """\
name: a server is lost
app: {namespace: NAMESPACE, service: web}
load: none
metrics:
  ready: kube_deployment_status_replicas_ready{namespace="$namespace",deployment="web"}
  nothing: no_such_series{namespace="$namespace"}
steps: [{name: lose one, kill_pod: {of: deployment/web, mode: now}, watch: 8s}]
expect:
  - recovery: {of: lose one, within: 8s}
  - metric: ready >= 5
  - metric: nothing < 1
"""
TEST = """\
def test_the_web_survives_losing_a_server(chaos):
    load = {"locustfile": "none", "pulse": {"period": "50ms"}}
    run = chaos.run("lose-one.yaml", load=load, expect=[{"recovery": {"of": "lose one", "within": "8s"}}])
    assert run.verdict != "failed", run.explain()
    assert run.outage("lose one").seconds < 4
    (chain,) = run.recovery("lose one")
    assert 0 < chain.seconds < 8
    assert (run.folder / "report.html").exists()


def test_what_is_expected_in_vain_is_explained(chaos):
    run = chaos.run("lose-one.yaml", expect=[{"metric": "ready >= 5"}])
    assert run.passed, run.explain()
"""


@dataclass(frozen=True)
class Session:
    """A finished pytest."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def suite(self) -> ElementTree.Element:
        found = ElementTree.parse(self.folder / "junit.xml").getroot().find("testsuite")  # noqa: S314 - our own file
        assert found is not None
        return found

    def case(self, part: str) -> ElementTree.Element:
        (found,) = [c for c in self.suite.findall("testcase") if part in str(c.get("name"))]
        return found

    @property
    def report(self) -> Path:
        """The report of the experiment file's run."""
        properties = {p.get("name"): str(p.get("value")) for p in self.case("recovered from").iter("property")}
        return self.folder / properties["chaoskit_report"]


@pytest.fixture(scope="module")
def session(web_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "lose-one.yaml").write_text(EXPERIMENT.replace("NAMESPACE", web_namespace))
    (folder / "test_shop.py").write_text(TEST)
    options = ["-p", "no:cacheprovider", "--rootdir", ".", "--junitxml", "junit.xml", "--chaoskit-seed", "7"]
    argv = [sys.executable, "-m", "pytest", *options, "--chaoskit-out", "runs"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    return Session(folder, done)


def test_each_expectation_is_a_test(session: Session) -> None:
    counts = {key: session.suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "2", "errors": "1", "skipped": "0"}, session.done.stdout
    assert session.done.returncode == 1


def test_what_held_passed(session: Session) -> None:
    case = session.case("recovered from")
    assert case.find("failure") is None
    assert case.find("error") is None
    assert session.report.exists()


def test_what_did_not_hold_failed_with_its_numbers(session: Session) -> None:
    failure = session.case("ready >= 5").find("failure")
    assert failure is not None
    said = f"{failure.get('message')} {failure.text}"
    assert re.search(r"failed: ready >= 5\n.*\n  measured [0-4], limit ready >= 5\n  report: .*report.html", said)
    assert "Traceback" not in said


def test_what_could_not_be_decided_is_an_error_and_says_why(session: Session) -> None:
    case = session.case("nothing < 1")
    error = case.find("error")
    assert error is not None
    assert case.find("failure") is None
    assert "no data" in f"{error.get('message')} {error.text}"


def test_an_experiment_runs_once_whatever_it_expects(session: Session) -> None:
    """Three runs: of the file, and of each test in Python."""
    assert len(list((session.folder / "runs").iterdir())) == 3


def test_the_fixture_runs_one_from_python(session: Session) -> None:
    case = session.case("survives_losing_a_server")
    assert list(case.iter("failure")) == []
    assert list(case.iter("error")) == []


def test_a_failed_assertion_explains_the_run(session: Session) -> None:
    failure = session.case("expected_in_vain").find("failure")
    assert failure is not None
    assert "failed: ready >= 5" in f"{failure.get('message')} {failure.text}"


def test_the_run_s_own_junit_says_the_same(session: Session) -> None:
    folder = session.report.parent
    suite = ElementTree.parse(folder / "junit.xml").getroot().find("testsuite")  # noqa: S314 - our own file
    assert suite is not None
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    (failure,) = suite.iter("failure")
    assert re.match(r"measured [0-4], limit:? ready >= 5", str(failure.get("message")))


def test_the_cluster_that_was_up_was_used_and_stays(
    session: Session, api: KubeCluster, embedded_cluster: EmbeddedCluster
) -> None:
    found = embedded.find(embedded_cluster.name)
    assert found is not None
    assert found.pid == embedded_cluster.pid
    assert api.version()
