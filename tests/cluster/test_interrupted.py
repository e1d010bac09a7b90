"""A run that is stopped, or killed, in the middle of a fault: what it broke is put back, by itself or by `heal`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit import journal
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import MANAGED_BY, UNDO_ANNOTATION

pytestmark = pytest.mark.cluster
EXPERIMENT = """\
name: a node is cordoned
load: {users: 2, pulse: {period: 50ms}}
steps:
  - name: cordon
    cordon_node: {name: node2}
    watch: 60s
expect:
  - outage: {of: cordon, at_most: 5s}
"""
CORDONED_WITHIN_S = 60.0


@pytest.fixture
def cluster(embedded_cluster: EmbeddedCluster) -> Iterator[KubeCluster]:
    found = KubeCluster.connect(embedded_cluster.kubeconfig, None)
    yield found
    found.close()


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """`chaoskit run`, up to the moment in which its node is cordoned and the journal says so."""
    (folder / "cordon.yaml").write_text(EXPERIMENT)
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaoskit", "run", "cordon.yaml", "--out", "run"],
            cwd=folder,
            stdout=said,
            stderr=said,
        )
    deadline = time.monotonic() + CORDONED_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        path = folder / "run" / journal.FILE
        if path.exists() and any(e.kind == "landed" for e in journal.read(path)):
            return process
        time.sleep(0.1)
    process.kill()
    process.wait()
    raise AssertionError((folder / "said").read_text())


def residue(cluster: KubeCluster) -> list[str]:
    """What a run may have left: cordoned or annotated nodes, and namespaces of chaoskit's that are not going away."""
    nodes = [
        str(node["metadata"]["name"])
        for node in cluster.list("node")
        if node["spec"].get("unschedulable")
        or any(key.startswith(UNDO_ANNOTATION) for key in node["metadata"].get("annotations") or {})
    ]
    spaces = [str(s["metadata"]["name"]) for s in cluster.list("namespace", selector=f"{MANAGED_BY}=chaoskit")]
    return nodes + spaces


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_fault_heals_and_reports(
    cluster: KubeCluster, tmp_path: Path, number: signal.Signals
) -> None:
    process = begin(tmp_path)
    process.send_signal(number)
    assert process.wait(60) == 130, (tmp_path / "said").read_text()
    assert residue(cluster) == []
    assert (tmp_path / "run" / "report.html").exists()


def test_what_a_killed_run_broke_is_healed_without_its_folder(
    cluster: KubeCluster, embedded_cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    process = begin(tmp_path)
    process.kill()
    process.wait()
    assert "node2" in residue(cluster)
    heal = [sys.executable, "-m", "chaoskit", "heal"]
    first = subprocess.run(heal, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    assert residue(cluster) == []
    second = subprocess.run(heal, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "nothing to heal" in second.stdout
