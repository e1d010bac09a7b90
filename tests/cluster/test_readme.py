"""What the README tells to type works as written on the embedded cluster. (Its demo is test_demo.py's.)"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskit import objects, spec
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.engine import Engine, Ports
from chaoskit.plan import Plan
from chaoskit.session import Options, Session

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
ANOTHER = """\
name: lose a pod
load: {users: 3, pulse: {period: 20ms}}
steps: [{name: lose a pod, kill_pod: {of: deployment/front, mode: now}, watch: 6s}]
expect: [recovery: {of: lose a pod, within: 5s}]
"""


def typed(begin: str) -> str:
    """The one command of the README's shell blocks, or of its text, that begins so; without its comment."""
    found = re.findall(rf"^({re.escape(begin)}.*)$", README, re.MULTILINE)
    found += re.findall(rf"`({re.escape(begin)}[^`]*)`", README)
    commands = {line.partition(" #")[0].strip() for line in found}
    assert commands, f"the README does not say {begin!r}"
    return sorted(commands)[0]


def run(command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command as a shell's user would run it, by the Python that runs this test."""
    program, *words = shlex.split(command)
    assert program == "chaoskit"
    argv = [sys.executable, "-m", "chaoskit", *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_validate_names_the_experiment():
    done = run(typed("chaoskit validate"))
    assert done.returncode == 0, done.stderr
    assert "the shop survives losing a pod" in done.stdout


def test_plan_shows_who_would_be_hit_and_touches_nothing(embedded_cluster: EmbeddedCluster):
    before = namespaces()
    done = run(typed("chaoskit plan experiments/"))
    assert done.returncode == 0, done.stderr
    for word in ("front", "delete pods", "kube_deployment_status_replicas_ready"):
        assert word in " ".join(done.stdout.split()), done.stdout
    assert set(namespaces()) <= set(before)  # One of another test may be on its way out.


def namespaces() -> list[str]:
    with Session(Options(), print) as session:
        cluster = session.connect()
        found = [objects.name(space) for space in cluster.list("namespace")]
        cluster.close()
        return found


def test_judge_gives_the_verdict_and_writes_the_files_that_are_named(tmp_path):
    folder = tmp_path / "runs" / "NAME"
    folder.mkdir(parents=True)
    recorded(folder)
    done = run(typed("chaoskit judge"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    told = README.partition("The results are in")[2].partition("\n`chaoskit judge")[0]
    for name in re.findall(r"`([\w-]+\.\w+)`", told):
        assert (folder / name).exists(), name
    assert json.loads((folder / "result.json").read_text())["exit_code"] == 0


def recorded(folder: Path) -> None:
    """A run's folder, made in virtual time."""
    world = FakeWorld(seed=7)
    shop = (manifests.deployment("front", 3), manifests.service("front", kind="LoadBalancer"))
    planned = Plan(spec.loads(ANOTHER), "run-1", "chaoskit-shop", 7, manifests=shop)
    Engine(Ports(world.cluster, world.load, world.metrics, world.clock), planned, folder, lambda live: None).run()


def test_the_schema_is_the_published_one():
    done = run(typed("chaoskit schema"))
    assert done.stdout == (ROOT / "experiments" / "schema.json").read_text()


@pytest.mark.parametrize("command", ["chaoskit cluster status", "chaoskit cluster kubeconfig"])
def test_the_cluster_can_be_asked_about(embedded_cluster: EmbeddedCluster, command):
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert str(embedded_cluster.kubeconfig) in done.stdout


def test_a_namespace_of_somebody_elses_has_to_agree(embedded_cluster: EmbeddedCluster, tmp_path):
    """The README's rule for clusters that chaoskit did not make, on one named by its context."""
    file = tmp_path / "my.yaml"
    file.write_text(ANOTHER.replace("load:", "app: {namespace: default}\nload:"))
    context = f"--kubeconfig {shlex.quote(str(embedded_cluster.kubeconfig))} --context chaoskit --yes"
    done = run(f"chaoskit run {shlex.quote(str(file))} {context}", tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "kubectl label namespace default chaoskit.io/allowed=true" in done.stderr
    assert not (tmp_path / "runs").exists()
