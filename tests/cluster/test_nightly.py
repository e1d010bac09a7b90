"""deploy/nightly, tried as it stands there: chaoskit runs in a pod, by its own image and with the least rights."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import debian
import pytest
import yaml
from started import residue, until

from chaoskit import history
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.cluster.state import Folder
from chaoskit.model import IN_CLUSTER, OPT_IN_LABEL, Raw, Verdict
from chaoskit.objects import ready
from chaoskit.record import read

pytestmark = pytest.mark.cluster
DEPLOY = Path(__file__).parents[2] / "deploy" / "nightly"
WEB = Path(__file__).parent / "web.yaml"
SHOP, EXPERIMENT = "shop", "lose-a-pod.yaml"
"""As the files there say."""
PUSH, STORE = 9091, 9000


@pytest.fixture
def shop(api: KubeCluster) -> Iterator[str]:
    """An app that has opted in, and that nobody reaches from outside the cluster."""
    about = {"name": SHOP, "labels": {OPT_IN_LABEL: "true"}}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": about})
    for manifest in yaml.safe_load_all(WEB.read_text().replace("LoadBalancer", "ClusterIP")):
        api.apply(manifest, SHOP)
    until("four servers", lambda: sum(map(ready, api.list("pod", SHOP))) == 4)
    yield SHOP
    api.delete("namespace", SHOP)


@pytest.fixture
def kubectl(embedded_cluster: EmbeddedCluster) -> Callable[..., str]:
    base = [str(embedded_cluster.programs / "kubectl"), "--kubeconfig", str(embedded_cluster.kubeconfig)]

    def run(*words: str) -> str:
        return subprocess.run([*base, *words], check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def quick(folder: Path, keeper: str) -> Path:
    """The same with short times, with a second experiment, which asks more than the app can keep, and with everything
    that keeps results."""
    shutil.copytree(DEPLOY, folder)
    held = folder / "experiments" / EXPERIMENT
    held.write_text(held.read_text().replace("for: 10s", "for: 1s").replace("watch: 60s", "watch: 8s"))
    asking = (
        held.read_text().replace("within: 45s", "within: 10ms").replace("name: the shop", "name: in no time the shop")
    )
    (folder / "experiments" / "no-time.yaml").write_text(asking)
    night = folder / "nightly.yaml"
    more = f"--push-gateway=http://{keeper}:{PUSH}, --upload=s3://results/nights"
    night.write_text(night.read_text().replace("--context=in-cluster", f"--context=in-cluster, {more}"))
    listed = folder / "kustomization.yaml"
    listed.write_text(listed.read_text() + "      - experiments/no-time.yaml\n")
    return folder


SINK = """\
import http.server, pathlib, sys
class Bucket(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        path = pathlib.Path(sys.argv[1] + self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200 if "Credential=AKID/" in self.headers["Authorization"] else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer((sys.argv[2], int(sys.argv[3])), Bucket).serve_forever()
"""
"""An object store in which everything is found as a file."""
ASK = "import requests, sys; print(requests.get(sys.argv[1], timeout=5, proxies={'http': ''}).text)"


@pytest.fixture
def keepers(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[Path]:
    """Debian's Pushgateway and an object store in the cluster's network; yields the store's folder."""
    bucket = tmp_path / "objects"
    gateway = [debian.program("prometheus-pushgateway"), f"--web.listen-address={embedded_cluster.gateway}:{PUSH}"]
    store = [sys.executable, "-c", SINK, str(bucket), embedded_cluster.gateway, str(STORE)]
    with contextlib.ExitStack() as stack:
        for argv in (gateway, store):
            process = stack.enter_context(subprocess.Popen(embedded_cluster.inside(argv), stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
        yield bucket


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def ended(api: KubeCluster) -> Raw | None:
    """How the night's container ended."""
    for pod in api.list("pod", SHOP, selector="job-name=tonight"):
        for status in pod["status"].get("containerStatuses") or ():
            if found := status["state"].get("terminated"):
                return found
    return None


@pytest.mark.usefixtures("own_image")
def test_a_night_in_the_cluster_leaves_its_results_where_it_is_told_to(
    api: KubeCluster,
    embedded_cluster: EmbeddedCluster,
    shop: str,
    keepers: Path,
    kubectl: Callable[..., str],
    tmp_path: Path,
) -> None:
    gateway = embedded_cluster.gateway
    folder = quick(tmp_path / "nightly", gateway)
    store = {"AWS_ENDPOINT_URL": f"http://{gateway}:{STORE}", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "x"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "object-store"}, "stringData": store}
    api.apply(secret, shop)
    kubectl("apply", "-k", str(folder))
    kubectl("create", "job", "--namespace", shop, "--from=cronjob/nightly", "tonight")
    night = until("the night's end", lambda: ended(api), 120)
    said = kubectl("logs", "--namespace", shop, "job/tonight", "--tail=-1")
    assert night["exitCode"] == 1, said

    claim = api.get("persistentvolumeclaim", "results", shop)
    (batch,) = (Folder(embedded_cluster.state).volumes / claim["spec"]["volumeName"] / "runs").iterdir()
    runs = {run.experiment: run for run in history.read(batch).runs}
    failed, held = sorted(runs.values(), key=lambda run: run.experiment)
    assert failed.verdict is Verdict.FAILED, said
    # In a pod the pulse has no priority: beside all else on a small machine it may be too late to judge by.
    assert held.verdict in (Verdict.PASSED, Verdict.INCONCLUSIVE), said
    suites = ElementTree.parse(batch / "junit.xml").getroot()  # noqa: S314  # It is our own.
    assert sum(int(suite.get("failures", 0)) for suite in suites.iter("testsuite")) == 1
    assert (batch / "index.html").is_file()
    for run in runs.values():
        _, seen, _ = read(batch / run.folder)
        assert seen.info.context == IN_CLUSTER
        assert len(seen.pulse) > 100
    assert residue(api) == []

    copied = keepers / "results" / "nights" / batch.name
    assert {path.relative_to(copied): path.read_bytes() for path in files(copied)} == {
        path.relative_to(batch): path.read_bytes() for path in files(batch)
    }
    asked = embedded_cluster.inside([sys.executable, "-c", ASK, f"http://{gateway}:{PUSH}/metrics"])
    pushed = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=10).stdout
    assert all(f'experiment="{name}"' in pushed for name in runs)
    kubectl("delete", "-k", str(folder), "--wait=false")
