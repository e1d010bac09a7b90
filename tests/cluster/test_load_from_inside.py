"""The load comes from pods of the cluster, as an account with exactly the rights that `chaoskit rbac` writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from audited import granting
from started import kubeconfig_of, residue, until

from chaoskit import journal, rbac, spec
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.engine import Live
from chaoskit.lease import SHARED
from chaoskit.loadpods import ROLE_LABEL
from chaoskit.model import Verdict
from chaoskit.objects import labels, name, node_of
from chaoskit.rbac import ACCOUNT
from chaoskit.samples import read_samples
from chaoskit.session import Options, Run, Session

pytestmark = pytest.mark.cluster
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "pod-kill-from-inside.yaml"
NODE = """\
name: the load keeps off the node that is drained
app: refapp
load: {users: 10, workers: 1, pulse: {period: 50ms}}
steps: [{name: drain a node, drain_node: {of: deployment/store, within: 20s}, watch: 1s}]
expect: [{drained: {of: drain a node, within: 20s}}]
"""
BRIEF_S = 5.0


@pytest.fixture(scope="module")
def account(embedded_cluster: EmbeddedCluster, api: KubeCluster, tmp_path_factory) -> Iterator[Path]:
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": SHARED}})
    path = tmp_path_factory.mktemp("account") / "kubeconfig"
    yield kubeconfig_of(api, ACCOUNT, SHARED, embedded_cluster.kubeconfig, path)
    api.delete("serviceaccount", ACCOUNT, SHARED)


class Ran:
    """A run, and what the cluster showed meanwhile."""

    def __init__(self, cluster: EmbeddedCluster, api: KubeCluster, account: Path, folder: Path) -> None:
        self.api = api
        self.options = Options(cluster=cluster.name, kubeconfig=account, runs=folder)
        self.phase = ""
        self.pods: dict[str, str] = {}
        """By whose process it carries, the node that each pod of the load was on."""

    def go(self, experiment: spec.Experiment) -> Run:
        with Session(self.options, print) as session:
            roles = rbac.documents([session.plan_anywhere(experiment)])
            with granting([r for r in roles if r["kind"] != "ServiceAccount"], self.api):
                return session.run(experiment, self.see)

    def see(self, live: Live) -> None:
        if live.phase != self.phase and live.phase == "watched":
            found = self.api.list("pod", "", ROLE_LABEL)
            self.pods = {labels(pod)[ROLE_LABEL]: node_of(pod) for pod in found}
        self.phase = live.phase


def held(done: Run) -> bool:
    """Two cores that carry it all, and that others may use meanwhile, may hold up the load: that is told."""
    doubts = [f.reason for f in done.result.findings if f.verdict is Verdict.INCONCLUSIVE]
    failed = any(f.verdict is Verdict.FAILED for f in done.result.findings)
    return not failed and all("late by" in why or "not sent" in why for why in doubts)


@pytest.fixture
def ran(embedded_cluster, api, account, tmp_path) -> Iterator[Ran]:
    yield Ran(embedded_cluster, api, account, tmp_path)
    assert residue(api) == []
    assert not api.list("pod", "", ROLE_LABEL)


def test_a_load_of_workers_in_pods_is_recorded_whole_and_judged(ran):
    done = ran.go(spec.load(EXPERIMENT))
    assert held(done), done.result.sentence
    assert set(ran.pods) == {"pulse", "locust", "locust-1", "locust-2"}
    assert ran.pods["locust-1"] != ran.pods["locust-2"]
    assert all(len(list(read_samples(done.folder / f"locust-{n}"))) > 500 for n in (1, 2))
    assert 0 < done.record.load_clock_s < 0.05
    assert "clocks of the load" in done.report.read_text(encoding="utf-8")


def test_where_nodes_are_hit_the_load_keeps_to_another_one(ran):
    done = ran.go(spec.loads(NODE))
    assert held(done), done.result.sentence
    (drained,) = (target.name for target in done.result.targets if target.kind == "node")
    assert len(set(ran.pods.values())) == 1
    assert drained not in ran.pods.values()


def test_a_worker_that_dies_ends_the_run_within_a_second_and_what_it_lost_is_told(ran):
    experiment = spec.load(EXPERIMENT)
    long = replace(experiment, steps=tuple(replace(step, watch_s=60.0) for step in experiment.steps))
    killed = list[float]()

    def kill() -> None:
        until("the step", lambda: ran.phase.startswith("step: "), 90.0)
        time.sleep(BRIEF_S)
        (victim,) = ran.api.list("pod", "", f"{ROLE_LABEL}=locust-2")
        ran.api.delete("pod", name(victim), victim["metadata"]["namespace"], grace_s=0)
        killed.append(time.time())

    thread = threading.Thread(target=kill)
    thread.start()
    done = ran.go(long)
    thread.join()
    assert done.result.verdict is Verdict.INCONCLUSIVE
    assert "locust-2 in pod/chaoskit-locust-2-" in done.result.error
    assert "what it sent after" in done.result.error
    entries = journal.read(done.folder / journal.FILE)
    healing = next(e.at for e in entries if e.kind == "phase" and e.data["name"] == "heal")
    assert done.record.origin_unix + healing - killed[0] < 1.0
