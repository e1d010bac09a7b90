"""deploy/nightly, tried as it stands there: chaoskit runs in a pod, by its own image and with the least rights."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

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


def quick(folder: Path) -> Path:
    """The same with short times, and with a second experiment, which asks more than the app can keep."""
    shutil.copytree(DEPLOY, folder)
    held = folder / "experiments" / EXPERIMENT
    held.write_text(held.read_text().replace("for: 10s", "for: 1s").replace("watch: 60s", "watch: 8s"))
    asking = (
        held.read_text().replace("within: 45s", "within: 10ms").replace("name: the shop", "name: in no time the shop")
    )
    (folder / "experiments" / "no-time.yaml").write_text(asking)
    listed = folder / "kustomization.yaml"
    listed.write_text(listed.read_text() + "      - experiments/no-time.yaml\n")
    return folder


def ended(api: KubeCluster) -> Raw | None:
    """How the night's container ended."""
    for pod in api.list("pod", SHOP, selector="job-name=tonight"):
        for status in pod["status"].get("containerStatuses") or ():
            if found := status["state"].get("terminated"):
                return found
    return None


@pytest.mark.usefixtures("own_image")
def test_a_night_in_the_cluster_leaves_its_results_on_the_volume(
    api: KubeCluster, embedded_cluster: EmbeddedCluster, shop: str, kubectl: Callable[..., str], tmp_path: Path
) -> None:
    folder = quick(tmp_path / "nightly")
    kubectl("apply", "-k", str(folder))
    kubectl("create", "job", "--namespace", shop, "--from=cronjob/nightly", "tonight")
    night = until("the night's end", lambda: ended(api), 120)
    said = kubectl("logs", "--namespace", shop, "job/tonight", "--tail=-1")
    assert night["exitCode"] == 1, said

    claim = api.get("persistentvolumeclaim", "results", shop)
    (batch,) = (Folder(embedded_cluster.state).volumes / claim["spec"]["volumeName"] / "runs").iterdir()
    runs = {run.experiment: run for run in history.read(batch).runs}
    assert {name.startswith("in no time"): run.verdict for name, run in runs.items()} == {
        True: Verdict.FAILED,
        False: Verdict.PASSED,
    }
    suites = ElementTree.parse(batch / "junit.xml").getroot()  # noqa: S314  # It is our own.
    assert int(suites.get("failures", 0)) == 1
    assert (batch / "index.html").is_file()
    for run in runs.values():
        _, seen, _ = read(batch / run.folder)
        assert seen.info.context == IN_CLUSTER
        assert len(seen.pulse) > 100
    assert residue(api) == []
    kubectl("delete", "-k", str(folder), "--wait=false")
