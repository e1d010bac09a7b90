"""What only a real cluster can refuse: each is told with the object's name, its cause and what to type, and leaves
nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from started import Started, chaoskit, processes_of, residue

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.cluster.state import Folder

pytestmark = pytest.mark.cluster
WEB = Path(__file__).parent / "web.yaml"
EXPERIMENT = """\
name: a server is lost
app: {manifests: web.yaml, service: web}
load: {locustfile: none, pulse: {period: 50ms}}
metrics: {nodes: sum(kube_node_info)}
steps: [{name: lose one, kill_pod: {of: deployment/web, mode: now}, watch: 8s}]
expect: [metric: nodes >= 1, recovery: {of: lose one, within: 8s}]
"""


def write(home: Path, web: str = WEB.read_text()) -> None:
    (home / "experiment.yaml").write_text(EXPERIMENT)
    (home / "web.yaml").write_text(web)


def text(done: subprocess.CompletedProcess[str]) -> str:
    """What was said, as if the terminal were wide."""
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_an_image_that_does_not_exist(api: KubeCluster, tmp_path: Path) -> None:
    write(tmp_path, WEB.read_text().replace("chaoskit/python:1", "chaoskit/pyhton:1"))
    done = chaoskit(tmp_path, "run", "experiment.yaml", "--out", "run")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "the app cannot start" in text(done)
    assert "pod/web-" in text(done)
    assert "localhost/chaoskit/pyhton:1" in text(done)
    assert "correct the manifests' image" in text(done)
    assert residue(api) == []


def test_a_namespace_that_is_there_already_is_left_alone(api: KubeCluster, web: str, tmp_path: Path) -> None:
    write(tmp_path)
    before = api.get("namespace", web)
    done = chaoskit(tmp_path, "run", "experiment.yaml", "--namespace", web)
    assert done.returncode == 2, done.stdout
    assert f"namespace {web} is there already" in text(done)
    assert f"choose another with --namespace, or kubectl delete namespace {web}" in text(done)
    assert api.get("namespace", web) == before
    assert not (tmp_path / "runs").exists()
    assert residue(api) == []


def test_a_prometheus_that_does_not_answer(api: KubeCluster, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    write(tmp_path)
    where = ["--kubeconfig", str(embedded_cluster.kubeconfig), "--context", "chaoskit"]
    done = chaoskit(tmp_path, "run", "experiment.yaml", *where, "--prometheus", "http://127.0.0.1:9", "--yes")
    assert done.returncode == 2, done.stdout
    for said in ("Prometheus does not answer", "127.0.0.1:9", "Connection refused", "--prometheus"):
        assert said in text(done)
    assert not (tmp_path / "runs").exists()
    assert residue(api) == []


# ── a cluster that goes away ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def doomed() -> Iterator[str]:
    """A small cluster of its own, which the test brings down."""
    name = "doomed"
    embedded.up(name, nodes=1, say=print)
    yield name
    embedded.down(name)


def test_a_cluster_that_goes_away_half_way(doomed: str, tmp_path: Path) -> None:
    """What the run made is gone with it: there is nothing to put back, and nothing that can be known of the app."""
    shutil.copy(WEB, tmp_path)
    run = Started.begin(tmp_path, EXPERIMENT, "--cluster", doomed)
    run.await_entry("landed")
    down = [sys.executable, "-m", "chaoskit", "cluster", "down", "--name", doomed]
    subprocess.run(down, check=True, capture_output=True, timeout=60)
    assert run.wait(60) == 3, run.said()
    said = " ".join(run.said().split())
    assert "Traceback" not in said
    assert "NOT PUT BACK" not in said
    assert "the embedded cluster 'doomed' has ended" in said
    assert "chaoskit cluster up --name doomed" in said
    assert "✓" not in said
    assert processes_of(run.run) == []
    assert not Folder.of(doomed).path.exists()
    later = chaoskit(tmp_path, "heal", "run", "--cluster", doomed)
    assert later.returncode == 2
    assert "the embedded cluster 'doomed' is not up" in later.stderr
    assert "what runs did to it is gone with it" in later.stderr
