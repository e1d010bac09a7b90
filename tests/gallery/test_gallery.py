"""The gallery, proven both ways: each experiment passes on the app that it names, and fails, for the reason that is
stated, on each app that has the weakness it is meant to catch (tests/weak/NAME/fails.yaml).

chaoskit comes as an account with exactly the rights that `chaoskit rbac` writes for the experiment, on a cluster that
logs who asked for what: nothing may be forbidden, no change be without its line in the journal, and no line without its
change.

`make gallery` runs the first half, `make weak` the second, in as many LANES at once as they are told, each on a cluster
of its own: two on two cores. docs/bench/gallery.md tells what each case measured when it last ran; the runs themselves
are in runs/gallery.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import yaml
from audited import announced, asked_by, forbidden, granting, log_size, written
from started import kubeconfig_of

from chaoskit import journal, rbac, spec
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.lease import SHARED
from chaoskit.model import Verdict
from chaoskit.rbac import ACCOUNT
from chaoskit.session import Options, Run, Session
from chaoskit.units import show

pytestmark = [
    pytest.mark.cluster,
    # While an API server starts again, handshakes with it end before they begin. Python 3.11's ssl leaves their sockets
    # to the garbage collector (SSLSocket._create).
    pytest.mark.filterwarnings(r"ignore:Exception ignored in. <ssl\.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parent.parent.parent
TABLE = ROOT / "docs" / "bench" / "gallery.md"
ROWS = TABLE.with_suffix(".json")
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
LANE = os.environ.get("PYTEST_XDIST_WORKER", "")
LANES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
CLUSTER = f"gallery-{LANE}" if LANE else "gallery"
USER = f"system:serviceaccount:{SHARED}:{ACCOUNT}"


@dataclass(frozen=True)
class Weak:
    """An app with a weakness, and what the experiment that is meant to catch it must say."""

    folder: Path
    experiment: Path
    finding: str
    because: str


def weak_apps() -> list[Weak]:
    found = []
    for file in sorted((ROOT / "tests" / "weak").glob("*/fails.yaml")):
        told = yaml.safe_load(file.read_text())
        cases = told if isinstance(told, list) else [told]
        found += [
            Weak(file.parent, ROOT / "experiments" / case["experiment"], case["finding"], case["because"])
            for case in cases
        ]
    return found


@dataclass(frozen=True)
class Row:
    """What one case measured."""

    verdict: str
    why: str
    seconds: float
    """Of the whole run, from the namespace to the report."""
    load: float
    """The machine's load average just before the run."""
    day: str
    lanes: int = 1
    """How many cases ran at once, each on a cluster of its own."""


class Kept:
    """The row of each case as it last ran, in a file that all lanes share; and the page that tells them."""

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def put(self, case: str, row: Row) -> None:
        with ROWS.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            rows = {known: Row(**told) for known, told in json.load(file).items()} | {case: row}
            text = json.dumps({known: asdict(told) for known, told in sorted(rows.items())}, indent=1)
            file.seek(0)
            file.truncate()
            file.write(text + "\n")
            TABLE.write_text(self._page(rows))

    def _page(self, rows: Mapping[str, Row]) -> str:
        holds = [case_name(path, None) for path in EXPERIMENTS]
        fails = [case_name(weak.experiment, weak.folder) for weak in weak_apps()]
        lines = "\n".join(_line(case, rows.get(case)) for case in holds + fails)
        return f"""# The gallery, as each case last ran

`make gallery`: every experiment on the app that it names; `make weak`: on each app with the weakness that it is meant
to catch. The {self._profile} profile, {os.cpu_count()} cores. On apps that hold: {_sum(rows, holds)}.
On weak ones: {_sum(rows, fails)}. "At once": so many cases ran side by side, each on a cluster of its own.

| experiment on app | verdict | what decided it | seconds | at once | load average before | day |
|---|---|---|---|---|---|---|
{lines}
"""


def _sum(rows: Mapping[str, Row], cases: Sequence[str]) -> str:
    ran = [rows[case].seconds for case in cases if case in rows]
    return f"{len(ran)} of {len(cases)} cases ran, in {sum(ran) / 60:.1f} minutes"


def _line(case: str, row: Row | None) -> str:
    if row is None:
        return f"| {case} | did not run yet | | | | | |"
    measured = f"{row.seconds:.0f} | {row.lanes} | {row.load:.1f} | {row.day}"
    return f"| {case} | {row.verdict} | {row.why} | {measured} |"


@dataclass(frozen=True)
class Stage:
    """A cluster that logs who asked for what, and an account on it that may do nothing yet."""

    cluster: EmbeddedCluster
    api: KubeCluster
    kubeconfig: Path
    kept: Kept


@pytest.fixture(scope="module")
def stage(no_dead_clusters: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The cluster is reused when it is up."""
    found = embedded.find(CLUSTER)
    cluster = found or embedded.up(CLUSTER, say=print, audit=True)
    api = KubeCluster.connect(cluster.kubeconfig, None)
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": SHARED}})
    path = tmp_path_factory.mktemp("account") / "kubeconfig"
    yield Stage(cluster, api, kubeconfig_of(api, ACCOUNT, SHARED, cluster.kubeconfig, path), Kept(cluster.profile))
    api.close()
    if found is None:
        embedded.down(CLUSTER)


def case_name(experiment: Path, app: Path | None) -> str:
    return f"{experiment.stem} on {app.name if app else 'its app'}"


def run(experiment: Path, app: Path | None, stage: Stage) -> Run:
    loaded = spec.load(experiment)
    if app is not None:
        loaded = spec.with_changes(loaded, {"app": {"manifests": str(app)}})
    began, load, logged = time.monotonic(), os.getloadavg()[0], log_size(stage.cluster)
    options = Options(cluster=CLUSTER, kubeconfig=stage.kubeconfig, seed=7, runs=ROOT / "runs" / "gallery")
    with Session(options, print) as session:
        _, *roles = rbac.documents([session.plan(loaded)])  # The first is the account, which is there.
        with granting(roles, stage.api):
            done = session.run(loaded, lambda _live: None)
    if done.interrupted:
        raise KeyboardInterrupt  # The run took the signal for itself; whoever sent it means the whole gallery.
    row = Row(
        done.result.verdict.value,
        what_decided(done).replace("|", "/"),
        time.monotonic() - began,
        load,
        time.strftime("%Y-%m-%d"),
        LANES,
    )
    stage.kept.put(case_name(experiment, app), row)
    asked = asked_by(USER, stage.cluster, logged)
    assert forbidden(asked) == set(), said(done)
    assert written(asked) == announced(journal.read(done.folder / journal.FILE)), said(done)
    return done


def what_decided(done: Run) -> str:
    deciding = [f for f in done.result.asked if f.verdict is done.result.verdict]
    finding = next((f for f in deciding if f.kind != "steady_state"), next(iter(deciding), None))
    if finding is None:
        return done.result.sentence
    value = show(finding.value, finding.unit, finding.uncertainty) if finding.value is not None else ""
    return f"{finding.name}: {value or finding.reason}"


def said(done: Run) -> str:
    lines = (f"{f.verdict.mark} {f.kind} {f.name}: {f.value} {f.reason}" for f in done.result.findings)
    return "\n".join([done.result.sentence, *lines, str(done.folder)])


def longest_first(experiments: Sequence[Path]) -> list[Path]:
    """By what each took last, so that no lane still has a long one to run when the other has none left. Who loads an
    image comes behind all who switch a node off: a node that starts again takes in anew what was loaded."""
    rows = json.loads(ROWS.read_text())
    order = sorted(experiments, key=lambda path: -rows.get(case_name(path, None), {"seconds": 0.0})["seconds"])
    known = {path: spec.load(path) for path in order}
    off = [path for path in order if any(step.action.verb == "power_off_node" for step in known[path].steps)]
    loading = [path for path in order if (load := known[path].load) is not None and load.workers]
    others = [path for path in order if path not in loading]
    behind = others.index(off[-1]) + 1
    return [*others[:behind], *loading, *others[behind:]]


@pytest.mark.parametrize("experiment", [pytest.param(path, id=path.stem) for path in longest_first(EXPERIMENTS)])
def test_the_app_holds(experiment: Path, stage: Stage) -> None:
    done = run(experiment, None, stage)
    assert done.result.verdict is Verdict.PASSED, said(done)
    assert done.result.exit_code == 0, said(done)


@pytest.mark.parametrize("weak", [pytest.param(w, id=f"{w.folder.name}-{w.experiment.stem}") for w in weak_apps()])
def test_the_weakness_is_caught_and_named(weak: Weak, stage: Stage) -> None:
    done = run(weak.experiment, weak.folder, stage)
    assert done.result.verdict is Verdict.FAILED, said(done)
    failed = [f for f in done.result.asked if f.kind == weak.finding and f.verdict is Verdict.FAILED]
    assert any(re.search(weak.because, f.reason) for f in failed), said(done)


def test_every_experiment_is_seen_to_fail_somewhere() -> None:
    """One that nothing fails would prove nothing. The platform's own are reports, and have no weakness."""
    caught = {weak.experiment for weak in weak_apps()}
    behaviours: dict[str, bool] = {}
    for path in EXPERIMENTS:
        behaviour = spec.load(path).labels.get("behaviour", path.stem)
        behaviours[behaviour] = behaviours.get(behaviour, False) or path in caught
    assert [name for name, seen in behaviours.items() if not seen and name != "platform"] == []


def test_the_tour_shows_every_behaviour() -> None:
    labels = [spec.load(path).labels for path in EXPERIMENTS]
    shown = {told["behaviour"] for told in labels if told.get("tour") == "yes"}
    assert shown == {told["behaviour"] for told in labels}
