"""pytest meets experiments: which files are collected, what a broken one says, and what options are refused.

Runs on a cluster are shown in tests/cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from chaoskit.adapters import kube  # noqa: F401 - loaded before pytester looks which modules it must forget again
from chaoskit.adapters.fake import FakeWorld, manifests
from chaoskit.pytest_plugin import RUNS, runs_on
from chaoskit.samples import Outcome
from chaoskit.session import Options, Session

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

EXPERIMENT = """\
name: the shop survives losing a pod
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front}
    watch: 5s
expect:
  - recovery: {of: lose a pod, within: 12s}
  - outage: {of: lose a pod, at_most: 1s}
"""


def test_an_experiment_is_collected_with_one_item_for_each_expectation(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytester.runpytest_inprocess("--collect-only", "-q")
    assert done.ret == 0, done.stdout
    items = [line for line in done.outlines if line.startswith("pod-kill.yaml::")]
    assert len(items) == 2
    assert "recovered from" in items[0]
    assert "outage" in items[1]


def test_other_yaml_is_left_alone(pytester):
    (pytester.path / "deployment.yaml").write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: front}\n")
    (pytester.path / "workflow.yaml").write_text("name: ci\njobs:\n  test:\n    steps: []\n")
    assert pytester.runpytest_inprocess("--collect-only", "-q").ret == 5


def test_an_experiment_with_a_misspelt_key_is_an_error_and_not_passed_over(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT.replace("expect:", "expct:"))
    done = pytester.runpytest_inprocess("-q")
    assert done.ret == 2, done.stdout
    assert "pod-kill.yaml:6:1" in str(done.stdout)
    assert "did you mean 'expect'?" in str(done.stdout)


NOWHERE = ("--chaoskit-kubeconfig", "kubeconfig", "--chaoskit-context", "nowhere")


@pytest.fixture
def nowhere(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    (pytester.path / "kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    return pytester


def test_where_there_is_no_cluster_experiments_are_skipped_with_the_reason(nowhere):
    (nowhere.path / "test_shop.py").write_text("def test_shop(chaos):\n    chaos.run('pod-kill.yaml')\n")
    done = nowhere.runpytest_inprocess("-q", "-rs", *NOWHERE)
    done.assert_outcomes(skipped=3)
    assert "there is no cluster" in str(done.stdout)
    assert "nowhere" in str(done.stdout)
    assert "--chaoskit-require makes this an error" in str(done.stdout)


def test_where_a_cluster_is_required_its_lack_is_an_error_in_plain_words(nowhere):
    done = nowhere.runpytest_inprocess("-q", *NOWHERE, "--chaoskit-require", "--junitxml", "junit.xml")
    done.assert_outcomes(errors=2)
    for said in (str(done.stdout), (nowhere.path / "junit.xml").read_text()):
        assert "nowhere" in said
        assert "pluggy" not in said
        assert "Traceback" not in said


def test_each_option_has_a_twin_in_the_environment_and_in_the_ini_file(nowhere, monkeypatch):
    """The option wins over the environment, and that over the ini file."""
    nowhere.makeini("[pytest]\nchaoskit_context = of-ini\nchaoskit_kubeconfig = kubeconfig\nchaoskit_require = yes\n")
    assert "'of-ini'" in str(nowhere.runpytest_inprocess("-q").stdout)
    monkeypatch.setenv("CHAOSKIT_CONTEXT", "of-environment")
    assert "'of-environment'" in str(nowhere.runpytest_inprocess("-q").stdout)
    done = nowhere.runpytest_inprocess("-q", "--chaoskit-context", "of-option")
    assert "'of-option'" in str(done.stdout)
    done.assert_outcomes(errors=2)
    monkeypatch.setenv("CHAOSKIT_REQUIRE", "no")
    nowhere.runpytest_inprocess("-q").assert_outcomes(skipped=2)
    monkeypatch.setenv("CHAOSKIT_REQUIRE", "perhaps")
    assert "chaoskit_require takes yes or no, not 'perhaps'" in str(nowhere.runpytest_inprocess("-q").stdout)


def test_a_seed_must_be_a_number(pytester):
    (pytester.path / "pod-kill.yaml").write_text(EXPERIMENT)
    done = pytester.runpytest_inprocess("-q", "--chaoskit-seed", "abc", "--chaoskit-context", "nowhere")
    assert "--chaoskit-seed takes a number, not 'abc'" in str(done.stdout) + str(done.stderr)


# ── repetitions ──────────────────────────────────────────────────────────────────────────────────────────────────────

REPEATED = """\
name: the shop survives losing a pod
repeat: 3
app: {manifests: shop.yaml}
load: {users: 3, pulse: {period: 50ms}}
metrics: {strange: strange}
steps:
  - name: lose a pod
    kill_pod: {of: deployment/front, mode: now}
    watch: 6s
expect:
  - recovery: {of: lose a pod, within: 5s}
  - outage: {of: lose a pod, at_most: 1s}
  - metric: {holds: strange < 1, of: lose a pod}
"""
Told = Callable[[FakeWorld], None]


class OnFake(Session):
    """A Session whose every run is in a world of its own; `told` says what goes wrong in each of them."""

    def __init__(self, options: Options, told: list[Told]) -> None:
        super().__init__(options, print)
        self._told = iter(told)
        self._world = FakeWorld(7)

    def __enter__(self):
        return self

    def clock(self):
        self._world = FakeWorld(7)
        self._world.metrics.table["strange"] = 0.5
        next(self._told)(self._world)
        return self._world.clock

    def connect(self, clock=None):
        return self._world.cluster

    def metrics(self):
        return self._world.metrics

    def load(self, _cluster):
        return self._world.load


class Plugin:
    def __init__(self, told: list[Told]) -> None:
        self._told = told

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        config.stash[RUNS] = runs_on(config, lambda options: OnFake(options, self._told))


def nothing(world: FakeWorld) -> None:
    pass


def down(world: FakeWorld) -> None:
    """The service is away for two seconds while the step is watched."""
    world.clock.at(4.0, lambda: world.load.outage(world.clock.now(), world.clock.now() + 2, Outcome.REFUSED))


def blind(world: FakeWorld) -> None:
    """For a second of the step the pulse sends nothing."""
    world.clock.at(4.0, lambda: world.load.outage(world.clock.now(), world.clock.now() + 1, Outcome.NOT_SENT))


def now_and_then(world: FakeWorld) -> None:
    world.load.unsent = 0.01


def unknown(world: FakeWorld) -> None:
    del world.metrics.table["strange"]


def run_on_fake(pytester, *told: Told, repeat=3):
    (pytester.path / "pod-kill.yaml").write_text(REPEATED.replace("repeat: 3", f"repeat: {repeat}"))
    shop = (manifests.deployment("front", 3), manifests.service("front", kind="LoadBalancer"))
    (pytester.path / "shop.yaml").write_text(yaml.safe_dump_all(shop))
    options = ("--junitxml", "junit.xml", "--chaoskit-prometheus", "fake", "--chaoskit-seed", "7")
    return pytester.runpytest_inprocess("-q", *options, plugins=[Plugin(list(told))])


def cases(folder: Path) -> list[ElementTree.Element]:
    parsed = ElementTree.parse(folder / "junit.xml")  # noqa: S314 - written by the pytest just run
    return list(parsed.getroot().iter("testcase"))


def properties(case: ElementTree.Element) -> dict[str, str]:
    return {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}


def test_an_item_passes_if_its_expectation_held_in_every_run(pytester):
    done = run_on_fake(pytester, nothing, nothing, nothing)
    done.assert_outcomes(passed=3)
    recovered, outage, strange = map(properties, cases(pytester.path))
    assert {p["chaoskit_held"] for p in (recovered, outage, strange)} == {"3 of 3"}
    assert len(set(outage["chaoskit_runs"].split())) == 3
    assert 0 < float(recovered["chaoskit_least"]) <= float(recovered["chaoskit_median"])
    assert float(recovered["chaoskit_median"]) <= float(recovered["chaoskit_most"])
    assert recovered["chaoskit_unit"] == "s"
    assert strange["chaoskit_deviation"] == "0"
    summary = Path(outage["chaoskit_report"])
    assert "held in 3 of 3 runs" in summary.read_text()
    assert sorted(p.name for p in summary.parent.iterdir()) == ["01", "02", "03", "repetitions.json", "repetitions.md"]


def test_an_item_fails_if_its_expectation_failed_in_any_run_and_says_how_often_it_held(pytester):
    done = run_on_fake(pytester, nothing, down, nothing)
    done.assert_outcomes(passed=2, failed=1)
    text = str(done.stdout)
    assert "held in 2 of 3; 0 s to 2" in text
    assert "run 02: failed: " in text
    _, outage, _ = map(properties, cases(pytester.path))
    assert outage["chaoskit_held"] == "2 of 3"
    assert float(outage["chaoskit_most"]) > 1 > float(outage["chaoskit_median"])


def test_an_item_that_could_not_be_decided_in_one_run_is_an_error(pytester):
    done = run_on_fake(pytester, nothing, nothing, unknown)
    done.assert_outcomes(passed=2, errors=1)
    assert "run 03: inconclusive: strange < 1" in str(done.stdout)
    assert properties(cases(pytester.path)[2])["chaoskit_held"] == "2 of 3"


def test_failed_in_one_run_and_undecided_in_another_is_failed(pytester):
    def strange(world):
        world.metrics.table["strange"] = 2.0

    done = run_on_fake(pytester, unknown, strange, nothing)
    done.assert_outcomes(passed=2, failed=1)
    assert "held in 1 of 3; 0.5 to 2" in str(done.stdout)


def test_a_single_run_has_its_own_report(pytester):
    run_on_fake(pytester, nothing, repeat=1).assert_outcomes(passed=3)
    found = properties(cases(pytester.path)[0])
    assert set(found) > {"chaoskit_run", "chaoskit_report", "chaoskit_value", "chaoskit_unit"}
    assert found["chaoskit_report"].endswith("report.html")


def in_python(pytester, test, *told: Told):
    """A file with one test, which has to pass."""
    file = pytester.makepyfile(test)
    shop = (manifests.deployment("front", 3), manifests.service("front", kind="LoadBalancer"))
    (pytester.path / "shop.yaml").write_text(yaml.safe_dump_all(shop))
    (pytester.path / "pod-kill.yaml").write_text(REPEATED)
    options = (str(file), "--chaoskit-prometheus", "fake")
    pytester.runpytest_inprocess("-q", *options, plugins=[Plugin(list(told))]).assert_outcomes(passed=1)


WHAT_NOBODY_SAW = """\
import pytest
from chaoskit.pytest_plugin import InconclusiveError

def test_what_may_hide_is_no_answer(chaos):
    run = chaos.run("pod-kill.yaml", repeat=2)
    with pytest.raises(InconclusiveError, match=r"saw nothing for 1\\.\\d+ s of"):
        run.runs[0].outage("lose a pod")
    assert run.runs[1].outage("lose a pod").seconds < 1
"""


def test_an_outage_that_may_hide_where_nothing_was_sent_is_not_told(pytester):
    in_python(pytester, WHAT_NOBODY_SAW, blind, now_and_then)


FROM_PYTHON = """\
import pytest

def test_all_runs_count(chaos):
    run = chaos.run("pod-kill.yaml", repeat=2)
    assert len(run.runs) == 2
    assert [one.verdict for one in run.runs] == ["passed", "failed"]
    assert run.verdict == "failed" and not run.passed
    assert run.outage("lose a pod").seconds > 1
    assert run.runs[0].outage("lose a pod").seconds < 1
    assert len(run.recovery("lose a pod")) == 2
    (spread,) = [s for name, s in run.spreads.items() if "outage" in name]
    assert (spread.passed, spread.failed) == (1, 1)
    assert [f.verdict.value for name, f in run.findings.items() if "outage" in name] == ["failed"]
    assert (run.folder / "repetitions.md").exists()
    assert run.runs[1].folder == run.folder / "02"
    assert "held in 1 of 2 runs" in run.explain()
"""


def test_the_fixture_repeats_too(pytester):
    in_python(pytester, FROM_PYTHON, nothing, down)
