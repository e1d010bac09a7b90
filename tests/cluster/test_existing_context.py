"""The embedded cluster as if it were a company's: an ordinary context of a kubeconfig, and a Prometheus somewhere.

Then nothing of it is chaoskit's own: the namespace has to agree, the user has to, and `plan` shows what for.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from started import chaoskit, kubeconfig_of, residue

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import OPT_IN_LABEL, Raw
from chaoskit.notices import REASON
from chaoskit.objects import name, uid

pytestmark = pytest.mark.cluster
EXPERIMENT = """\
name: a server is lost
app: {namespace: NAMESPACE, service: web, url: "http://127.0.0.1:PORT"}
load: {locustfile: none, pulse: {period: 50ms}}
metrics: {ready: 'kube_deployment_status_replicas_ready{namespace="$namespace",deployment="web"}'}
steady_state: {hold: [ready >= 4, pulse_failures < 1%], for: 1s}
steps:
  - {name: lose one, kill_pod: {of: deployment/web, mode: now}, watch: 8s}
  - {name: cordon, cordon_node: {name: node2}, watch: 1s}
expect:
  - recovery: {of: lose one, within: 8s}
  - outage: {of: lose one, at_most: 4s}
  - metric: {holds: ready >= 4, of: lose one, when: at the end}
"""
KINDS = ("pod", "deployment", "replicaset", "service", "endpointslice", "poddisruptionbudget", "event")


@pytest.fixture
def written(api: KubeCluster, web: str, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Path]:
    """A folder with the experiment in it. The load comes from outside the cluster, through a port of the host's."""
    address = api.get("service", "web", web)["status"]["loadBalancer"]["ingress"][0]["ip"]
    port = embedded_cluster.expose(address, 80)
    (tmp_path / "my.yaml").write_text(EXPERIMENT.replace("NAMESPACE", web).replace("PORT", str(port)))
    yield tmp_path
    embedded_cluster.unexpose(port)


@pytest.fixture
def where(embedded_cluster: EmbeddedCluster) -> list[str]:
    kubeconfig = ["--kubeconfig", str(embedded_cluster.kubeconfig), "--context", "chaoskit"]
    return [*kubeconfig, "--prometheus", embedded_cluster.prometheus_url]


@pytest.fixture
def opted_in(api: KubeCluster, web: str) -> Iterator[None]:
    api.patch("namespace", web, {"metadata": {"labels": {OPT_IN_LABEL: "true"}}})
    yield
    api.patch("namespace", web, {"metadata": {"labels": {OPT_IN_LABEL: None}}})


def pods(api: KubeCluster, namespace: str) -> set[str]:
    return {uid(p) for p in api.list("pod", namespace)}


def events(api: KubeCluster, namespace: str) -> list[Raw]:
    return [e for e in api.list("event", namespace) if e["reason"] == REASON]


def answering(answer: str, folder: Path, *words: str) -> tuple[int, str]:
    """Runs a command at a terminal, answers its question, and returns (exit code, what it said)."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    argv = [sys.executable, "-m", "chaoskit", *words]
    with open(theirs, "rb", buffering=0) as terminal:  # noqa: PTH123 - a descriptor
        done = subprocess.run(
            argv, cwd=folder, stdin=terminal, capture_output=True, text=True, timeout=120, check=False
        )
    os.close(ours)
    return done.returncode, done.stdout + done.stderr


# ── who has to agree ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_namespace_that_has_not_opted_in_is_not_touched(
    api: KubeCluster, web: str, written: Path, where: list[str]
) -> None:
    before = pods(api, web)
    done = chaoskit(written, "run", "my.yaml", *where, "--yes")
    assert done.returncode == 2, done.stdout
    assert f"kubectl label namespace {web} {OPT_IN_LABEL}=true" in done.stderr
    assert pods(api, web) == before
    assert not (written / "runs").exists()


@pytest.mark.usefixtures("opted_in")
def test_where_nobody_can_confirm_nothing_is_touched(
    api: KubeCluster, web: str, written: Path, where: list[str]
) -> None:
    before = pods(api, web)
    done = chaoskit(written, "run", "my.yaml", *where)
    assert done.returncode == 2, done.stdout
    assert "give --yes" in done.stderr
    assert "hits pod/web-" in done.stdout
    assert "kubectl uncordon node2" in done.stdout
    assert pods(api, web) == before
    assert not (written / "runs").exists()


@pytest.mark.usefixtures("opted_in")
def test_who_says_no_is_obeyed(api: KubeCluster, web: str, written: Path, where: list[str]) -> None:
    before = pods(api, web)
    code, said = answering("n", written, "run", "my.yaml", *where)
    assert code == 130, said
    assert "Break these?" in said
    assert pods(api, web) == before
    assert not (written / "runs").exists()


# ── a run ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("opted_in")
def test_a_run_that_its_user_confirmed(api: KubeCluster, web: str, written: Path, where: list[str]) -> None:
    before = pods(api, web)
    code, said = answering("y", written, "run", "my.yaml", *where, "--out", "run")
    assert code == 0, said
    result: dict[str, Any] = json.loads((written / "run" / "result.json").read_text())
    assert (result["cluster"]["provider"], result["cluster"]["context"]) == ("existing", "chaoskit")
    kinds = {f["kind"]: f for f in result["findings"] if f["asked"]}
    assert all(kinds[kind]["value"] is not None for kind in ("recovery", "outage", "metric")), kinds
    assert kinds["metric"]["evidence"][0]["data"]["query"]
    (lost,) = before - pods(api, web)
    told = {e["regarding"]["uid"]: e["note"] for space in (web, "default") for e in events(api, space)}
    assert f"run {result['run']} of " in told[lost]
    assert told[uid(api.get("node", "node2"))].startswith("cordon node/node2: step “cordon”")
    assert residue(api) == []
    assert api.get("namespace", web)["status"]["phase"] == "Active"


# ── planning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reader(api: KubeCluster, web: str, embedded_cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig of somebody who may read everything and write nothing."""
    rbac = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    meta = {"name": f"reader-{web}"}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}, web)
    api.apply({"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules})
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": meta["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": web}],
    }
    api.apply(binding)
    yield kubeconfig_of(api, "reader", web, embedded_cluster.kubeconfig, tmp_path / "reader.kubeconfig")
    for kind in ("clusterrole", "clusterrolebinding"):
        api.delete(kind, meta["name"])


def present(api: KubeCluster, namespace: str) -> dict[str, str]:
    """Everything that a plan could touch, with its version. Of nodes, which report all the time, what is set."""
    found = {f"{kind}/{name(o)}": o["metadata"]["resourceVersion"] for kind in KINDS for o in api.list(kind, namespace)}
    found |= {f"namespace/{name(o)}": "" for o in api.list("namespace") if o["status"]["phase"] == "Active"}
    return found | {f"node/{name(o)}": f"{o['spec']} {o['metadata'].get('annotations')}" for o in api.list("node")}


@pytest.mark.usefixtures("opted_in")
def test_a_plan_needs_no_right_to_write_and_touches_nothing(
    api: KubeCluster, web: str, written: Path, where: list[str], reader: Path
) -> None:
    where[where.index("--kubeconfig") + 1] = str(reader)
    before = present(api, web)
    done = chaoskit(written, "plan", "my.yaml", *where)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "hits pod/web-" in said
    assert "hits node/node2" in said
    assert "✗ missing: delete pods" in said
    assert "ready = 4" in said
    assert present(api, web) == before
    assert sorted(path.name for path in written.iterdir()) == ["my.yaml", "reader.kubeconfig"]
