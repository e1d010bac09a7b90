"""What the API server's own audit log says of chaoskit: no right that was not needed, none that was missing, and no
change without its line in the journal, nor a line without its change.

On a cluster of its own, that logs; chaoskit comes as a ServiceAccount with exactly what `chaoskit rbac` wrote.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from audited import Asked, announced, asked_by, granted, granting, written
from started import Started, chaoskit, kubeconfig_of, residue, until

from chaoskit import journal, rbac, spec
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.control_plane import context_name
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.errors import UsageError
from chaoskit.model import OPT_IN_LABEL, Right
from chaoskit.objects import ready
from chaoskit.plan import Plan
from chaoskit.session import Options, Session

pytestmark = pytest.mark.cluster
NAME = "audited"
HOME = "kube-public"
WEB = Path(__file__).parent / "web.yaml"
EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
STEPS = """\
load: none
steps:
  - {name: lose a pod, kill_pod: {of: deployment/web, mode: now}, watch: 1s}
  - {name: drain, drain_node: {name: node2, within: 40s}, watch: 2s}
  - {name: roll, roll_out: {of: deployment/web, env: {VERSION: "2"}}, watch: 1s}
  - {name: grow, scale: {of: deployment/web, to: 5}, watch: 1s}
expect:
  - drained: {of: drain, within: 40s}
safety: {at_most: 100%}
"""
THERE = "name: in a namespace that is there\napp: {namespace: shop, service: web}\n" + STEPS
FRESH = "name: in one of its own\napp: {manifests: web.yaml, service: web}\n" + STEPS
CREATED = (("", "services"), ("apps", "deployments"))
UNSEEN = {
    # Only a run in another namespace would meet the Lease of the nodes first.
    THERE: {("get", "coordination.k8s.io", "leases", "default")},
    # To create by a server-side apply is asked of the authorizer, and logged as a patch; and there are no claims here.
    FRESH: {*(("create", *kind, "") for kind in CREATED), ("delete", "", "persistentvolumeclaims", "")},
}
"""Rights that are needed though the audit log does not show them used."""


@pytest.fixture(scope="module")
def audited(no_dead_clusters: None) -> Iterator[EmbeddedCluster]:
    yield embedded.up(NAME, say=print, audit=True)
    embedded.down(NAME)


@pytest.fixture(scope="module")
def theirs(audited: EmbeddedCluster) -> Iterator[KubeCluster]:
    """The administrator's way in, with a shop that has opted in."""
    api = KubeCluster.connect(audited.kubeconfig, None)
    labels = {OPT_IN_LABEL: "true"}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}})
    for manifest in yaml.safe_load_all(WEB.read_text()):
        api.apply(manifest, "shop")
    until("the shop", lambda: sum(map(ready, api.list("pod", "shop"))) == 4)
    yield api
    api.close()


@dataclass(frozen=True)
class Account:
    """chaoskit as a ServiceAccount, with the rights that it wrote for itself."""

    cluster: EmbeddedCluster
    home: Path
    user: str
    granted: frozenset[tuple[str, str, str, str]]

    @classmethod
    def make(cls, theirs: KubeCluster, cluster: EmbeddedCluster, home: Path, experiment: str) -> Account:
        (home / "web.yaml").write_text(WEB.read_text())
        (home / "experiment.yaml").write_text(experiment)
        written = chaoskit(home, "rbac", "experiment.yaml")
        assert written.returncode == 0, written.stderr
        documents = list(yaml.safe_load_all(written.stdout))
        for document in documents:
            theirs.apply(document)
        account = next(d["metadata"] for d in documents if d["kind"] == "ServiceAccount")
        space = account["namespace"]
        kubeconfig_of(theirs, account["name"], space, cluster.kubeconfig, home / "kubeconfig")
        user = f"system:serviceaccount:{space}:{account['name']}"
        return cls(cluster, home, user, frozenset(granted(documents)))

    @property
    def where(self) -> list[str]:
        return ["--kubeconfig", str(self.home / "kubeconfig"), "--context", context_name(NAME)]

    def begin(self, folder: str = "run", watch: str = "2s") -> Started:
        (self.home / folder).mkdir()
        (self.home / folder / "web.yaml").write_text(WEB.read_text())
        text = (self.home / "experiment.yaml").read_text().replace("watch: 2s", f"watch: {watch}")
        return Started.begin(
            self.home / folder, text, *self.where, "--prometheus", self.cluster.prometheus_url, "--yes"
        )

    def asked(self) -> list[Asked]:
        return asked_by(self.user, self.cluster)


@pytest.mark.parametrize("experiment", [THERE, FRESH], ids=["there", "fresh"])
def test_it_needs_what_it_wrote_and_changes_what_its_journal_says(
    theirs: KubeCluster, audited: EmbeddedCluster, tmp_path: Path, experiment: str
) -> None:
    account = Account.make(theirs, audited, tmp_path, experiment)
    run = account.begin()
    assert run.wait(180) == 0, run.said()
    asked = account.asked()
    forbidden = [one for one in asked if one.code == 403]
    assert forbidden == []
    entries = journal.read(run.run / journal.FILE)
    assert written(asked) == announced(entries)
    assert residue(theirs) == []

    killed = account.begin("killed", watch="90s")
    killed.await_entry("landed", step="drain", within_s=100)
    second = account.begin("second")
    assert second.wait() == 4, second.said()
    killed.kill()
    run_id = json.loads((killed.run / "run.json").read_text())["run"]
    within = ["-n", "shop"] if experiment == THERE else []
    healed = chaoskit(tmp_path, "heal", run_id, *within, *account.where, within_s=150)
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert residue(theirs) == []
    anywhere = {space for *_, space in account.granted}
    used = {(*one.right[:3], one.right[3] if one.right[3] in anywhere else "") for one in account.asked()}
    assert account.granted - used <= UNSEEN[experiment]


def test_no_right_of_any_experiment_can_be_left_out(
    theirs: KubeCluster, audited: EmbeddedCluster, tmp_path: Path
) -> None:
    """Each right that `chaoskit rbac` writes for an experiment of the gallery is taken away alone: nothing is begun."""
    account = {"name": rbac.ACCOUNT, "namespace": HOME}
    theirs.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    options = Options(
        cluster=NAME,
        kubeconfig=kubeconfig_of(theirs, rbac.ACCOUNT, HOME, audited.kubeconfig, tmp_path / "kubeconfig"),
        runs=tmp_path / "runs",
    )
    before = residue(theirs)
    with Session(options, print) as session:
        plans = [session.plan(spec.load(path)) for path in EXPERIMENTS]
        needs = {right: plan for plan in plans for right in rbac.needed([plan]) if right.resource != "events"}
        assert len(needs) > 40
        ours = session.connect()
        for right, plan in needs.items():
            with all_but(right, plan, theirs, ours), pytest.raises(UsageError, match=re.escape(str(right))):
                session.run(plan.experiment, lambda _: None)
        ours.close()
    assert residue(theirs) == before
    assert not (tmp_path / "runs").exists()


@contextlib.contextmanager
def all_but(left_out: Right, plan: Plan, theirs: KubeCluster, ours: KubeCluster) -> Iterator[None]:
    """What the plan needs is granted, but for one right, until the end."""
    others = [right for right in rbac.needed([plan]) if right != left_out]
    with granting(list(rbac.roles(others, "all-but-one", HOME)), theirs):
        until("the others", lambda: all(map(ours.allowed, others)) and not ours.allowed(left_out))
        yield
