"""A run is killed and nobody does anything: the cluster's janitor puts back what it broke, its own faults included.

And where no supervisor heals: the two pods of deploy/janitor, of which one is enough.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from started import Started, chaoskit, residue, until

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import Raw
from chaoskit.objects import condition, name, ready, terminating
from chaoskit.silence import LOOK_EVERY_S, RENEW_EVERY_S, SILENT_AFTER_S

pytestmark = pytest.mark.cluster
WEB = (Path(__file__).parent / "web.yaml").read_text().replace("replicas: 4", "replicas: 2")
DEPLOY = Path(__file__).parents[2] / "deploy" / "janitor"
NAMESPACE = "chaoskit-janitor"
EXPERIMENT = """\
name: its user is gone
app: {manifests: web.yaml, service: web}
load: none
metrics: {nodes: sum(kube_node_info)}
steps:
  - name: break
    ACTION
    watch: 120s
expect:
  - metric: nodes >= 1
"""
DRAIN = "drain_node: {name: node2}"
EARLIEST_S = SILENT_AFTER_S - RENEW_EVERY_S
LATEST_S = SILENT_AFTER_S + 2 * LOOK_EVERY_S
HEALING_S = 45.0
"""The start of a heal, the namespace's end, and a node's start where there is one."""


def begin(home: Path, action: str = DRAIN) -> Started:
    (home / "web.yaml").write_text(WEB)
    return Started.begin(home, EXPERIMENT.replace("ACTION", action))


def left(api: KubeCluster) -> list[str]:
    """What is not as it was before."""
    dark = [name(node) for node in api.list("node") if not condition(node, "Ready")]
    return [*residue(api), *dark]


def heals(cluster: EmbeddedCluster) -> list[int]:
    """The processes by which the cluster's own janitor heals."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has just ended.
            if {b"heal", b"--inside", cluster.name.encode()} <= set(path.read_bytes().split(b"\0")):
                found.append(int(path.parent.name))
    return found


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("action", [DRAIN, "power_off_node: {name: node2}", "freeze_node: {name: node2}"])
def test_what_a_killed_run_broke_is_put_back_by_itself(api: KubeCluster, tmp_path: Path, action: str) -> None:
    run = begin(tmp_path, action)
    run.await_entry("landed", within_s=100)
    run.kill()
    killed = time.monotonic()
    assert "node2" in left(api)
    until("the janitor to have healed", lambda: not left(api), LATEST_S + HEALING_S)
    took = time.monotonic() - killed
    print(f"{action}: all was put back {took:.1f} s after the kill")
    assert took > EARLIEST_S


def test_a_heal_that_is_killed_is_begun_anew(
    api: KubeCluster, embedded_cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    run = begin(tmp_path)
    run.await_entry("landed")
    run.kill()
    for _ in range(2):
        (pid,) = until("a heal", lambda: heals(embedded_cluster), LATEST_S + 10)
        end(pid)
    until("the janitor to have healed", lambda: not left(api), LATEST_S + HEALING_S)


def test_a_second_run_on_the_same_nodes_is_refused_and_told_whose_they_are(api: KubeCluster, tmp_path: Path) -> None:
    for home in ("first", "second"):
        (tmp_path / home).mkdir()
    run = begin(tmp_path / "first")
    run.await_entry("landed")
    second = begin(tmp_path / "second")
    assert second.wait() == 4, second.said()
    assert "is being tested by another run" in second.said()
    assert f"run {json.loads((run.run / 'run.json').read_text())['run']}" in second.said()
    assert not second.run.exists()
    healed = chaoskit(tmp_path, "heal", within_s=150)
    assert healed.returncode == 0, healed.stdout
    assert "is under way and left alone" in healed.stdout
    assert "node2" in left(api)
    run.kill()
    assert chaoskit(tmp_path, "heal", str(run.run), within_s=150).returncode == 0
    assert left(api) == []


def test_a_run_that_is_healed_under_its_feet_ends_and_leaves_nothing(api: KubeCluster, tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.await_entry("landed")
    assert chaoskit(tmp_path, "heal", str(run.run), within_s=150).returncode == 0
    assert run.wait(60) == 3, run.said()
    assert "lost its Lease" in run.said() or "lost its Lease" in (run.run / "summary.md").read_text()
    assert left(api) == []


@pytest.fixture
def janitors(
    api: KubeCluster, embedded_cluster: EmbeddedCluster, own_image: str, tmp_path: Path
) -> Iterator[Callable[[], list[Raw]]]:
    """What deploy/janitor makes, as it stands there: asks for its pods, of which two are running."""
    kubectl = [str(embedded_cluster.programs / "kubectl"), "--kubeconfig", str(embedded_cluster.kubeconfig)]
    subprocess.run([*kubectl, "apply", "-k", str(DEPLOY)], check=True, capture_output=True, timeout=60)

    def pods() -> list[Raw]:
        return [pod for pod in api.list("pod", NAMESPACE) if ready(pod) and not terminating(pod)]

    until("two janitors", lambda: len(pods()) == 2)
    yield pods
    subprocess.run([*kubectl, "delete", "-k", str(DEPLOY)], check=True, capture_output=True, timeout=90)


def test_of_two_janitors_in_the_cluster_one_is_enough(
    api: KubeCluster, embedded_cluster: EmbeddedCluster, janitors: Callable[[], list[Raw]], tmp_path: Path
) -> None:
    """With deploy/janitor's image, manifests and rights. The supervisor's heals are ended as they come."""
    dying, other = janitors()
    assert dying["spec"]["nodeName"] != other["spec"]["nodeName"]
    end_container(embedded_cluster, dying)  # Started again at once; the next time after a back-off of 10 s.
    run = begin(tmp_path)
    run.await_entry("landed")
    until("two janitors", lambda: len(janitors()) == 2)
    run.kill()
    killed = time.monotonic()
    end_container(embedded_cluster, api.get("pod", name(dying), NAMESPACE))

    def healed() -> bool:
        for pid in heals(embedded_cluster):
            end(pid)
        return not left(api)

    until("a janitor to have healed", healed, LATEST_S + HEALING_S)
    print(f"all was put back {time.monotonic() - killed:.1f} s after the kill")
    told = api.logs(name(other), NAMESPACE)
    assert "is silent: healing it" in told
    assert "uncordoned" in told or "nothing of it is left" in told


def end_container(cluster: EmbeddedCluster, pod: Raw) -> None:
    cluster.kill_container(
        pod["spec"]["nodeName"], pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    )
