"""The gallery, proven both ways: each experiment passes on the app that it names, and fails, for the reason that is
stated, on each app that has the weakness it is meant to catch (tests/weak/NAME/fails.yaml).

`make gallery` runs it; it takes a quarter of an hour and writes what it measured to docs/bench/gallery.md.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from chaoskit import spec
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import Verdict
from chaoskit.session import Options, Run, Session
from chaoskit.units import show

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parent.parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
TABLE = ROOT / "docs" / "bench" / "gallery.md"


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


@pytest.fixture(scope="module")
def rows(embedded_cluster: EmbeddedCluster) -> Iterator[list[str]]:
    """The table's rows; written when every case has run."""
    found: list[str] = []
    began = time.monotonic()
    yield found
    if len(found) == len(EXPERIMENTS) + len(weak_apps()):
        TABLE.write_text(table(found, time.monotonic() - began, embedded_cluster.profile))


def table(rows: list[str], seconds: float, profile: str) -> str:
    head = (
        "# The gallery, as it last ran\n\n"
        "`make gallery`: every experiment on the app that it names, and on each app with the weakness it is meant to\n"
        f"catch. {time.strftime('%Y-%m-%d')}, the {profile} profile, {seconds / 60:.0f} minutes in all.\n\n"
        "| experiment | app | verdict | what decided it | seconds |\n|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


def run(experiment: Path, app: Path | None, rows: list[str]) -> Run:
    loaded = spec.load(experiment)
    if app is not None:
        loaded = spec.with_changes(loaded, {"app": {"manifests": str(app)}})
    began = time.monotonic()
    with Session(Options(seed=7, runs=ROOT / "runs" / "gallery"), print) as session:
        done = session.run(loaded, lambda _live: None)
    decided = next((f for f in done.result.findings if f.verdict is done.result.verdict), None)
    value = show(decided.value, decided.unit, decided.uncertainty) if decided and decided.value is not None else ""
    why = f"{decided.name}: {value or decided.reason}" if decided else done.result.sentence
    shown = f"tests/weak/{app.name}" if app else loaded.app.manifests.removeprefix("../")
    rows.append(
        f"| {experiment.name} | {shown} | {done.result.verdict.value} | {why.replace('|', '/')} "
        f"| {time.monotonic() - began:.0f} |"
    )
    return done


def said(done: Run) -> str:
    lines = (f"{f.verdict.mark} {f.kind} {f.name}: {f.value} {f.reason}" for f in done.result.findings)
    return "\n".join([done.result.sentence, *lines, str(done.folder)])


@pytest.mark.parametrize("experiment", [pytest.param(path, id=path.stem) for path in EXPERIMENTS])
def test_the_app_holds(experiment: Path, rows: list[str]) -> None:
    done = run(experiment, None, rows)
    assert done.result.verdict is Verdict.PASSED, said(done)
    assert done.result.exit_code == 0, said(done)


@pytest.mark.parametrize("weak", [pytest.param(w, id=f"{w.folder.name}-{w.experiment.stem}") for w in weak_apps()])
def test_the_weakness_is_caught_and_named(weak: Weak, rows: list[str]) -> None:
    done = run(weak.experiment, weak.folder, rows)
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
