"""What the API server's own audit log says of chaoskit: no right that was not needed, none that was missing, and no
change without its line in the journal, nor a line without its change.

On a cluster of its own, that logs; chaoskit comes as a ServiceAccount with exactly what `chaoskit rbac` wrote.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from started import Started, chaoskit, kubeconfig_of, residue, until

from chaoskit import journal
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.control_plane import context_name
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.journal import Entry
from chaoskit.model import OPT_IN_LABEL
from chaoskit.objects import ready

pytestmark = pytest.mark.cluster
NAME = "audited"
WEB = Path(__file__).parent / "web.yaml"
STEPS = """\
load: none
metrics: {nodes: sum(kube_node_info)}
steps:
  - {name: lose a pod, kill_pod: {of: deployment/web, mode: now}, watch: 1s}
  - {name: drain, drain_node: {name: node2, within: 40s}, watch: 2s}
  - {name: roll, roll_out: {of: deployment/web, env: {VERSION: "2"}}, watch: 1s}
  - {name: grow, scale: {of: deployment/web, to: 5}, watch: 1s}
expect:
  - metric: nodes >= 1
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
WRITES = ("create", "update", "patch", "delete")
REVIEW = "selfsubjectaccessreviews"


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
class Asked:
    """One request as the API server logged it."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def right(self) -> tuple[str, str, str, str]:
        return self.verb, self.group, self.resource, self.namespace

    @property
    def writes(self) -> bool:
        return self.verb in WRITES and self.code < 300 and self.resource != REVIEW

    @classmethod
    def read(cls, line: Mapping[str, Any]) -> Asked:
        ref = line["objectRef"]
        resource = "/".join(filter(None, (ref["resource"], ref.get("subresource", ""))))
        # A namespace is in itself, for the API server.
        space = "" if resource == "namespaces" else ref.get("namespace", "")
        named = ref.get("name", "")
        return cls(line["verb"], ref.get("apiGroup", ""), resource, space, named, line["responseStatus"]["code"])


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
        return cls(cluster, home, user, frozenset(_granted(documents)))

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
        lines = (self.cluster.state / "logs" / "audit.log").read_text().splitlines()
        mine = [line for line in map(json.loads, lines) if line["user"]["username"] == self.user]
        once = {line["auditID"]: line for line in mine if "objectRef" in line}
        return [Asked.read(line) for line in once.values()]


def _granted(documents: list[Any]) -> Iterator[tuple[str, str, str, str]]:
    for role in (d for d in documents if "rules" in d):
        space = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            for verb in rule["verbs"]:
                for resource in rule["resources"]:
                    yield verb, rule["apiGroups"][0], resource, "" if resource == "namespaces" else space


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


def written(asked: list[Asked]) -> Counter[tuple[str, str]]:
    """How often each object was changed, beside what carries the run's own name (its Leases and Events), and what ended
    because its namespace did."""
    found: Counter[tuple[str, str]] = Counter()
    ended = set[str]()
    for one in (one for one in asked if one.writes and one.resource not in ("leases", "events")):
        if one.namespace not in ended:
            found[one.resource.split("/")[0], one.name] += 1
        if (one.verb, one.resource) == ("delete", "namespaces"):
            ended.add(one.name)
    return found


def announced(entries: tuple[Entry, ...]) -> Counter[tuple[str, str]]:
    """How often the journal says that each object was changed."""
    found: Counter[tuple[str, str]] = Counter()
    intents = {e.data["n"]: e.data for e in entries if e.kind == "intent"}
    done = {e.data["n"] for e in entries if e.kind == "outcome" and e.data["outcome"] == "done"}
    for n, intent in intents.items():
        target = intent["target"]
        key = (f"{target['kind']}s", target["name"])
        marks = 1 if intent["change"] and target["kind"] != "namespace" else 0
        found[key] += marks + (n in done)
    for entry in entries:
        if entry.kind == "healed" and entry.data["n"] in intents:
            target = intents[entry.data["n"]]["target"]
            found[f"{target['kind']}s", target["name"]] += 1
        if entry.kind == "deploying":
            kind, name = entry.data["what"].split("/")
            found[f"{kind}s", name] += 1
    return found
