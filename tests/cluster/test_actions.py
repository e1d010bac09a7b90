"""Every action on the real cluster: how it is seen to land, what it takes from the app, and its exact undoing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from started import residue, until

from chaoskit import evidence, journal, spec
from chaoskit.adapters.kube import KubeCluster
from chaoskit.contracts import Act
from chaoskit.model import GONE, UNDO_ANNOTATION, Finding, Raw, Verdict
from chaoskit.objects import node_of, uid
from chaoskit.session import Options, Run, Session

pytestmark = pytest.mark.cluster
KILLS = """\
name: four ways to kill
app: {namespace: NAMESPACE, service: web}
load: none
steps:
  - {name: evict, kill_pod: {of: deployment/web, mode: evict}, watch: 6s}
  - {name: delete, kill_pod: {of: deployment/web, grace: 3s}, watch: 6s}
  - {name: now, kill_pod: {of: deployment/web, mode: now}, watch: 6s}
  - {name: crash, kill_container: {of: deployment/web}, watch: 6s}
expect:
  - recovery: {of: evict, within: 6s}
  - recovery: {of: delete, within: 6s}
  - recovery: {of: now, within: 6s}
  - restart: {of: crash, within: 6s}
"""
DRAIN = """\
name: a node is drained
app: {namespace: NAMESPACE, service: web}
load: none
steps:
  - {name: drain, drain_node: {name: NODE, within: WITHIN}, watch: WATCH}
expect:
  - recovery: {of: drain, within: 12s}
safety: {at_most: 100%}
"""


def run(folder: Path, text: str) -> Run:
    with Session(Options(out=folder / "run", seed=7), print) as session:
        return session.run(spec.loads(text), lambda _live: None)


def drain(folder: Path, namespace: str, node: str, within: str, watch: str = "12s") -> Run:
    text = DRAIN.replace("NAMESPACE", namespace).replace("NODE", node)
    return run(folder, text.replace("WITHIN", within).replace("WATCH", watch))


def said(done: Run) -> str:
    return "\n".join(f"{f.verdict.mark} {f.name}: {f.value} {f.reason}" for f in done.result.findings)


# ── pods and containers ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def killed(api: KubeCluster, web_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    until("a ready app", lambda: _ready(api, web_namespace) == 4)
    return run(tmp_path_factory.mktemp("kills"), KILLS.replace("NAMESPACE", web_namespace))


def _ready(api: KubeCluster, namespace: str) -> int:
    return int(api.get("deployment", "web", namespace).get("status", {}).get("readyReplicas", 0))


def act_of(done: Run, step: str) -> Act:
    found = done.record.step(step)
    assert found is not None
    (act,) = found.acts
    assert act.accepted is not None
    assert act.landed is not None
    return act


def end_of(done: Run, step: str) -> tuple[int, float]:
    """(the grace period that the API server granted, seconds from the fault's acceptance until the pod was gone)."""
    act = act_of(done, step)
    mine = [e for e in done.record.events if e.kind == "pod" and uid(e.object) == act.target.uid]
    granted = next(e for e in mine if "deletionGracePeriodSeconds" in e.object["metadata"])
    gone = next(e.at for e in mine if e.change == GONE)
    return int(granted.object["metadata"]["deletionGracePeriodSeconds"]), gone - act.accepted


@pytest.mark.parametrize("step", ["evict", "delete", "now"])
def test_each_way_to_kill_a_pod_is_seen_to_land_at_once(killed: Run, step: str) -> None:
    act = act_of(killed, step)
    assert act.landed is not None
    assert act.landed - act.ordered < 1.0
    # A pod that is given no time may be gone by the next look, or be seen on its way.
    assert act.how in ("the pod is terminating", *(["the pod is gone"] if step == "now" else []))


def test_the_time_to_shut_down_is_the_pod_s_own_the_one_given_or_none(killed: Run) -> None:
    """The server uses all that it is given, and the kubelet takes its time to report."""
    for step, grace in (("evict", 1), ("delete", 3), ("now", 0)):
        granted, lasted = end_of(killed, step)
        assert granted == grace, step
        assert grace - 0.2 < lasted < grace + 5, step
    assert end_of(killed, "now")[1] < 0.5


def test_a_killed_container_is_seen_to_end_and_its_pod_stays(killed: Run) -> None:
    act = act_of(killed, "crash")
    assert act.target.kind == "pod"
    assert act.how == "the container ended" or "was replaced by" in act.how
    assert not [e for e in killed.record.events if e.change == GONE and uid(e.object) == act.target.uid]


def test_the_platform_put_each_of_them_back_and_the_checks_saw_it(killed: Run) -> None:
    assert killed.result.exit_code == 0, said(killed)
    assert [f.kind for f in killed.result.asked] == ["recovery", "recovery", "recovery", "restart"]
    restart = killed.result.asked[-1]
    assert restart.evidence[0].data["count"] == 1
    assert restart.evidence[0].data["replaced"] is False


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def budget(api: KubeCluster, web: str) -> Iterator[None]:
    """At most one server may be missing."""
    api.apply(_budget(3), web)
    until("the budget's status", lambda: _allowed(api, web) == 1)
    yield
    api.delete("poddisruptionbudget", "web", web)


@pytest.fixture
def blocking(api: KubeCluster, web: str) -> Iterator[None]:
    """None may be missing."""
    api.apply(_budget(4), web)
    until("the budget's status", lambda: _allowed(api, web) == 0)
    yield
    api.delete("poddisruptionbudget", "web", web)


def _budget(at_least: int) -> Raw:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"minAvailable": at_least, "selector": {"matchLabels": {"app": "web"}}},
    }


def _allowed(api: KubeCluster, namespace: str) -> int | None:
    status = api.get("poddisruptionbudget", "web", namespace).get("status", {})
    return status.get("disruptionsAllowed") if status.get("currentHealthy") == 4 else None


def busiest(api: KubeCluster, namespace: str) -> str:
    """The node that carries most pods of the app: at least two of four."""
    nodes = [node_of(p) for p in api.list("pod", namespace)]
    return max(nodes, key=nodes.count)


def on(api: KubeCluster, namespace: str, node: str) -> set[str]:
    return {uid(p) for p in api.list("pod", namespace) if node_of(p) == node}


def marked(node: Raw) -> bool:
    return any(key.startswith(UNDO_ANNOTATION) for key in node["metadata"].get("annotations") or {})


def landing(done: Run) -> Finding:
    (finding,) = [f for f in done.result.findings if f.name.endswith("landed")]
    return finding


@pytest.mark.usefixtures("budget")
def test_a_drain_keeps_the_budget_and_ends_with_the_last_pod_s_going(
    api: KubeCluster, web: str, tmp_path: Path
) -> None:
    node = busiest(api, web)
    carried = on(api, web, node)
    assert len(carried) >= 2
    done = drain(tmp_path, web, node, "25s")
    assert done.result.exit_code == 0, said(done)
    entries = journal.read(done.folder / journal.FILE)
    (note,) = [e for e in entries if e.kind == "note"]
    gone = max(e.at for e in done.record.events if e.change == GONE and uid(e.object) in carried)
    assert "was empty" in note.data["text"]
    assert 0 <= note.at - gone < 0.1
    assert [e for e in entries if e.kind == "outcome" and e.data["outcome"] == "refused"], "the budget was asked"
    began = done.record.steps[0].began
    assert min(count for at, count in evidence.ready_curve(done.record, {"app": "web"}) if at >= began) >= 3
    assert residue(api) == []


@pytest.mark.usefixtures("blocking")
def test_a_drain_that_a_budget_blocks_gives_up_at_its_deadline_and_uncordons(
    api: KubeCluster, web: str, tmp_path: Path
) -> None:
    node = busiest(api, web)
    carried = on(api, web, node)
    done = drain(tmp_path, web, node, "3s", watch="4s")
    assert done.result.exit_code == 3, said(done)
    assert landing(done).verdict is Verdict.INCONCLUSIVE
    assert f"node/{node} still carries web-" in landing(done).reason
    (step,) = done.record.steps
    assert 3 <= step.acts[-1].ordered - step.began < 4
    assert on(api, web, node) == carried
    assert residue(api) == []


def test_a_node_that_was_cordoned_before_is_drained_and_stays_cordoned(
    api: KubeCluster, web: str, tmp_path: Path
) -> None:
    node = busiest(api, web)
    carried = on(api, web, node)
    api.patch("node", node, {"spec": {"unschedulable": True}})
    try:
        done = drain(tmp_path, web, node, "20s", watch="12s")
        after = api.get("node", node)
    finally:
        api.patch("node", node, {"spec": {"unschedulable": None}})
    assert landing(done).verdict is Verdict.PASSED, said(done)
    assert {act.target.uid for act in done.record.steps[0].acts} == carried
    assert after["spec"]["unschedulable"] is True
    assert not marked(after)
    assert "was cordoned before, and will stay so" in done.result.notes[0]
