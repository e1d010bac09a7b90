"""The main job, both ways: the demo passes, a weak app fails for its weakness, and what cannot be known is no pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaoskit import session as sessions
from chaoskit import spec
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import Verdict
from chaoskit.session import Options, Run, Session

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parent.parent.parent
DEMO = ROOT / "experiments" / "pod-kill.yaml"
WEAK = "../tests/weak/one-replica-unprobed"


def run(folder: Path, **changes: Any) -> Run:
    experiment = spec.load(DEMO)
    with Session(Options(out=folder / "run", seed=7), print) as session:
        return session.run(spec.with_changes(experiment, changes) if changes else experiment, lambda _live: None)


def said(done: Run) -> str:
    return "\n".join(f"{f.verdict.mark} {f.name}: {f.value} {f.reason}" for f in done.result.findings)


@pytest.fixture(scope="module")
def passed(embedded_cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("demo"))


def test_the_demo_passes(passed: Run) -> None:
    assert passed.result.verdict is Verdict.PASSED, said(passed)
    assert passed.result.exit_code == 0


def test_the_fault_was_real(passed: Run) -> None:
    (act,) = passed.record.steps[0].acts
    assert act.landed is not None
    assert act.target.name.startswith("front-")


def test_prometheus_decides_with_data_of_the_app_and_of_the_cluster(passed: Run) -> None:
    for name in ("errors", "ready_fronts"):
        assert passed.record.answers[name].series, name
        finding = next(f for f in passed.result.asked if name in f.name)
        shown = finding.evidence[0].data
        assert shown["query"]
        assert sum(series["samples"] for series in shown["series"]) >= 5


def test_every_link_of_the_recovery_was_seen(passed: Run) -> None:
    finding = next(f for f in passed.result.asked if f.kind == "recovery")
    links = {link["link"]: link["at"] for link in finding.evidence[0].data["links"]}
    assert all(at is not None for at in links.values()), links


def test_the_namespace_is_gone_afterwards(passed: Run) -> None:
    from chaoskit.errors import NotFoundError

    with Session(Options(), print) as session:
        cluster = session.connect()
        with pytest.raises(NotFoundError):
            cluster.get("namespace", passed.result.namespace)
        cluster.close()


def test_the_folder_holds_everything_and_is_judged_again_with_the_same_answer(passed: Run) -> None:
    names = {path.name for path in passed.folder.iterdir()}
    assert {
        "result.json",
        "junit.xml",
        "summary.md",
        "report.html",
        "journal.jsonl",
        "pulse.bin",
        "locust.bin",
    } <= names
    before = json.loads((passed.folder / "result.json").read_text())
    assert sessions.judge(passed.folder).result == passed.result
    assert json.loads((passed.folder / "result.json").read_text()) == before


def test_one_replica_without_a_readiness_probe_fails_by_its_outage(
    embedded_cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    done = run(tmp_path, app={"manifests": WEAK})
    outage = next(f for f in done.result.asked if f.kind == "outage")
    assert done.result.exit_code == 1, said(done)
    assert outage.verdict is Verdict.FAILED, said(done)
    assert outage.value is not None
    assert outage.value > 1.0


def test_a_query_without_data_is_inconclusive(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    expect = [{"metric": "nothing < 1"}]
    done = run(tmp_path, metrics={"nothing": 'no_such_series{namespace="$namespace"}'}, expect=expect)
    (finding,) = done.result.asked
    assert finding.verdict is Verdict.INCONCLUSIVE, said(done)
    assert "no data" in finding.reason
    assert done.result.exit_code == 3


def test_a_load_that_cannot_be_reached_is_inconclusive(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    steady = {"hold": ["failures < 1%"], "for": "3s"}
    expect = [{"outage": {"of": "lose a pod", "at_most": "1s"}}]
    done = run(tmp_path, load={"users": 5, "must_reach": "5000/s"}, steady_state=steady, expect=expect)
    assert done.result.exit_code == 3, said(done)
    assert "too few good answers" in done.result.sentence
