"""pytest: experiments are collected as tests, one item for each expectation; the `chaos` fixture runs one from Python.

Nothing of chaoskit's own is imported until an experiment is collected: being installed costs other tests nothing.
A failed expectation is a failure; an inconclusive one is an error (of the set-up), which is what JUnit calls it too.
An experiment that says `repeat` is run as often as it says, and an item passes if its expectation held every time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from chaoskit.contracts import Check, StepRecord
    from chaoskit.evidence import Chain
    from chaoskit.model import Finding, Outage
    from chaoskit.pytest_runs import Opened
    from chaoskit.repetitions import Spread
    from chaoskit.session import Options, Run
    from chaoskit.spec import Experiment

OPTIONS = {
    "context": "a context of your kubeconfig; the embedded cluster where not given",
    "kubeconfig": "with a context: which file",
    "prometheus": "with a context: where Prometheus answers",
    "cluster": "the embedded cluster's name",
    "namespace": "the name of the fresh namespace",
    "seed": "makes the choice of targets repeatable",
    "out": "the folder that the runs' folders are put into",
    "load-image": "with load.workers: chaoskit's own image, as the nodes know it",
    "push-gateway": "the URL of a Pushgateway that keeps each result",
}
REQUIRE = "require"
MARKS = (
    "chaoskit(**labels): is set on experiments, with their labels, and on tests that use the `chaos` fixture",
    "chaos_changes(**parts): parts of each experiment that the test runs are these instead",
)
YES, NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")
MOST_EVENTS = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaoskit", "chaos experiments on Kubernetes (each also as CHAOSKIT_… and in the ini file)")
    for name, meaning in OPTIONS.items():
        group.addoption(f"--chaoskit-{name}", default="", metavar=name.upper(), help=meaning)
        parser.addini(_ini(name), meaning, type="string", default="")
    meaning = "where there is no cluster, experiments are errors and not skipped"
    group.addoption(f"--chaoskit-{REQUIRE}", action="store_const", const="yes", default="", help=meaning)
    parser.addini(_ini(REQUIRE), meaning, type="string", default="")


def _ini(name: str) -> str:
    return f"chaoskit_{name.replace('-', '_')}"


def setting(config: pytest.Config, name: str) -> str:
    """What was chosen: by the option, else by the environment, else by the ini file."""
    given = config.getoption(f"--chaoskit-{name}") or os.environ.get(_ini(name).upper()) or config.getini(_ini(name))
    return str(given or "")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    if not file_path.name.endswith((".yaml", ".yml")):
        return None
    from chaoskit import experimentfiles

    asked_for = parent.session.isinitpath(file_path) or not experimentfiles.is_record(file_path)
    return (
        ExperimentFile.from_parent(parent, path=file_path) if asked_for and experimentfiles.is_one(file_path) else None
    )


# ── one cluster for the whole session ────────────────────────────────────────────────────────────────────────────────


class Runs(Protocol):
    """What runs the experiments of a session."""

    def run(self, experiment: Experiment) -> tuple[Run, ...]: ...

    def run_once(self, name: str, experiment: Experiment) -> tuple[Run, ...]: ...

    def close(self) -> None: ...


RUNS = pytest.StashKey[Runs]()
"""In the config: opened by the first run. Who puts another one there tests without a cluster."""
SHARED = pytest.StashKey[Path]()
"""In the config of the process that starts pytest-xdist's workers: a folder that they share."""
_TO_WORKER = "chaoskit_shared"


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's own
    """Called for each worker of pytest-xdist before it starts."""
    if SHARED not in node.config.stash:
        node.config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="chaoskit-"))
    node.workerinput[_TO_WORKER] = str(node.config.stash[SHARED])


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUNS in config.stash:
        config.stash[RUNS].close()
    if SHARED in config.stash:
        from chaoskit.pytest_runs import close_shared

        close_shared(config.stash[SHARED])
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


def runs_on(config: pytest.Config, opening: Callable[[Options], Opened]) -> Runs:
    """What `config` asks for, on the sessions that `opening` gives."""
    from chaoskit.pytest_runs import Runner
    from chaoskit.session import Options

    given = {name: setting(config, name) for name in OPTIONS}
    options = Options(
        context=given["context"],
        kubeconfig=Path(given["kubeconfig"]) if given["kubeconfig"] else None,
        prometheus=given["prometheus"],
        load_image=given["load-image"],
        cluster=given["cluster"] or "chaoskit",
        namespace=given["namespace"],
        seed=_seed(given["seed"]),
        runs=Path(given["out"] or "runs"),
        push_gateway=given["push-gateway"],
    )
    shared = getattr(config, "workerinput", {}).get(_TO_WORKER, "")
    return Runner(options, Path(shared) if shared else None, opening)


def _runs(config: pytest.Config) -> Runs:
    if RUNS not in config.stash:
        from chaoskit.pytest_runs import opened

        config.stash[RUNS] = runs_on(config, opened)
    return config.stash[RUNS]


def _seed(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError as error:
        raise pytest.UsageError(f"--chaoskit-seed takes a number, not {text!r}") from error


def _required(config: pytest.Config) -> bool:
    text = setting(config, REQUIRE).lower()
    if text not in (*YES, *NO):
        raise pytest.UsageError(f"chaoskit_require takes yes or no, not {text!r}")
    return text in YES


@contextlib.contextmanager
def _skipping(config: pytest.Config) -> Iterator[None]:
    """Without a cluster there is nothing to test on; whoever requires one wants to hear of it."""
    from chaoskit.pytest_runs import NoClusterError

    try:
        yield
    except NoClusterError as error:
        if _required(config):
            raise
        pytest.skip(f"{error}\n  (--chaoskit-require makes this an error)")


# ── experiment files as tests ────────────────────────────────────────────────────────────────────────────────────────


class ExperimentFile(pytest.File):
    """An experiment: run by the first of its items that is reached, and not again for the others."""

    _done: tuple[Run, ...] = ()
    _broken: BaseException | None = None

    def collect(self) -> Iterator[pytest.Item]:
        from chaoskit import spec
        from chaoskit.errors import ExperimentError

        try:
            experiment = spec.load(self.path)
        except ExperimentError as error:
            raise self.CollectError(str(error)) from error
        self.add_marker(pytest.mark.chaoskit(**experiment.labels))
        for check in experiment.expect:
            yield ExpectationItem.from_parent(self, name=check.title(), experiment=experiment, check=check)

    def done(self, experiment: Experiment) -> tuple[Run, ...]:
        """The runs. What broke it, or a cluster that is not there, is told of every item, without running it again."""
        if self._broken is not None:
            raise self._broken
        if not self._done:
            try:
                with _skipping(self.config):
                    self._done = _runs(self.config).run_once(self.nodeid, experiment)
            except BaseException as error:
                self._broken = error
                raise
        return self._done


class ExpectationItem(pytest.Item):
    """One expectation of an experiment."""

    def __init__(self, *, experiment: Experiment, check: Check, **more: Any) -> None:  # noqa: ANN401 - pytest's own
        super().__init__(**more)
        self._experiment, self._check = experiment, check

    def setup(self) -> None:
        """Runs the experiment, if that is still to be done; an undecided expectation ends here, as an error. One that
        failed in any of the runs has failed, whatever could not be decided in another."""
        from chaoskit.model import Verdict

        found = self._found()
        _note(self, [run for run, _ in found])
        self.user_properties += _properties(self.name, found)
        if any(finding.verdict is Verdict.FAILED for _, finding in found):
            return
        for run, finding in found:
            if doubt := finding if finding.verdict is Verdict.INCONCLUSIVE else _undecided(run):
                raise InconclusiveError(self._explain(found, run, doubt))

    def runtest(self) -> None:
        from chaoskit.model import Verdict

        found = self._found()
        for run, finding in found:
            if finding.verdict is Verdict.FAILED:
                raise ExpectationError(self._explain(found, run, finding))

    def _found(self) -> list[tuple[Run, Finding]]:
        """What each run found of this expectation."""
        number = self._experiment.expect.index(self._check)
        return [(run, run.result.asked[number]) for run in self._file.done(self._experiment)]

    def _explain(self, found: Sequence[tuple[Run, Finding]], run: Run, finding: Finding) -> str:
        """The run that decided; of several, first how all of them went."""
        from chaoskit import repetitions

        said = explain(run, finding)
        if len(found) == 1:
            return said
        return f"{repetitions.line(_spread(self.name, found))}\nrun {run.folder.name}: {said}"

    @property
    def _file(self) -> ExperimentFile:
        assert isinstance(self.parent, ExperimentFile)  # noqa: S101 - it was made by one
        return self.parent

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        from chaoskit.errors import ChaoskitError

        if isinstance(excinfo.value, ExpectationError | InconclusiveError | ChaoskitError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self._experiment.name}: {self.name}"


def _undecided(run: Run) -> Finding | None:
    """What the whole run rests on and what was not in order."""
    from chaoskit.model import Verdict

    return next((f for f in run.result.findings if not f.asked and f.verdict is Verdict.INCONCLUSIVE), None)


def _spread(name: str, found: Sequence[tuple[Run, Finding]]) -> Spread:
    from chaoskit import repetitions

    return repetitions.spread(name, [finding for _, finding in found])


def _properties(name: str, found: Sequence[tuple[Run, Finding]]) -> list[tuple[str, object]]:
    """For the JUnit file: the run and its report; of several runs, how often it held, and the spread of its number."""
    from chaoskit import repetitions

    first = found[0][0]
    if len(found) == 1:
        return [*_run_properties(first), *_numbers(found[0][1])]
    seen = _spread(name, found)
    numbers = {"least": seen.least, "median": seen.median, "most": seen.most, "deviation": seen.deviation}
    return [
        ("chaoskit_runs", " ".join(run.result.run for run, _ in found)),
        ("chaoskit_report", str(first.folder.parent / repetitions.PAGE)),
        ("chaoskit_held", f"{seen.passed} of {seen.runs}"),
        *((f"chaoskit_{word}", f"{value:.6g}") for word, value in numbers.items() if value is not None),
        *([("chaoskit_unit", seen.unit)] if seen.unit and seen.median is not None else []),
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """pytest asks an item how to show a failure, but not an error of its set-up: that would be its own frames. What the
    runs left is attached where one did not hold."""
    report = yield
    if isinstance(item, ExpectationItem) and report.failed and call.excinfo is not None and report.when == "setup":
        report.longrepr = item.repr_failure(call.excinfo)
    for run in item.stash.get(_OF_ITEM, ()):
        if report.failed:
            report.sections += attachments(run)
        if report.when == "call" or report.failed:
            _link_in_html(item.config, report, run)
    return report


# ── what a run leaves, in the reports of others ──────────────────────────────────────────────────────────────────────

_OF_ITEM = pytest.StashKey[list["Run"]]()
"""The runs of a test."""


def _note(item: pytest.Item, runs: Sequence[Run]) -> None:
    """For the reports; in allure, if it is there, as attachments."""
    item.stash.setdefault(_OF_ITEM, []).extend(runs)
    if not item.config.pluginmanager.hasplugin("allure_pytest") or not item.config.getoption("allure_report_dir", None):
        return
    import allure

    attach: Callable[..., None] = allure.attach.file
    for run in runs:
        attach(str(run.report), f"{run.result.run}.html", allure.attachment_type.HTML)
        attach(str(run.folder / "result.json"), "result.json", allure.attachment_type.JSON)


def _run_properties(run: Run) -> list[tuple[str, object]]:
    return [("chaoskit_run", run.result.run), ("chaoskit_report", str(run.report))]


def _numbers(finding: Finding) -> Iterator[tuple[str, str]]:
    """As properties: numbers in base units, and the texts that people read."""
    numbers = {"value": finding.value, "uncertainty": finding.uncertainty, "margin": finding.margin}
    yield "chaoskit_verdict", finding.verdict.value
    yield from ((f"chaoskit_{name}", repr(number)) for name, number in numbers.items() if number is not None)
    texts = {"unit": finding.unit, "limit": finding.limit}
    yield from ((f"chaoskit_{name}", text) for name, text in texts.items() if text)


def _link_in_html(config: pytest.Config, report: pytest.TestReport, run: Run) -> None:
    """pytest-html, if it is there, shows `extras` beside a test."""
    if config.pluginmanager.hasplugin("html"):
        from pytest_html import extras

        link = extras.url(run.report.resolve().as_uri(), name=run.result.run)
        setattr(report, "extras", [*getattr(report, "extras", []), link])  # noqa: B010 - pytest-html's own attribute


def attachments(run: Run) -> list[tuple[str, str]]:
    """(title, text): where everything is, and what the cluster reported meanwhile, warnings first."""
    from chaoskit.report import states, wording

    files = sorted(path.name for path in run.folder.iterdir())
    events = sorted(states.reported(run.record), key=lambda event: not event.warning)
    told = [
        f"{event.at:8.2f} s  {'Warning' if event.warning else 'Normal '} {event.reason} {event.about}: "
        f"{wording.one_line(event.message)}"
        for event in events[:MOST_EVENTS]
    ]
    more = [f"and {len(events) - MOST_EVENTS} more in {run.report}"] if len(events) > MOST_EVENTS else []
    return [
        ("chaoskit: the run's folder", f"{run.folder}\n{', '.join(files)}"),
        ("chaoskit: the cluster's events", "\n".join([*told, *more]) or "none"),
    ]


class ExpectationError(AssertionError):
    """An expectation failed."""


class InconclusiveError(Exception):
    """An expectation could not be decided."""


def explain(run: Run, finding: Finding) -> str:
    from chaoskit import units

    lines = [f"{finding.verdict.value}: {finding.name}", f"  {finding.reason}"]
    if finding.value is not None:
        measured = units.show(finding.value, finding.unit, finding.uncertainty, apart=finding.margin)
        lines.append(f"  measured {measured}{f', limit {finding.limit}' if finding.limit else ''}")
    lines.append(f"  report: {run.report}")
    return "\n".join(lines)


# ── the fixture ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Chaos:
    """Runs experiments from a test."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item

    def run(self, experiment: str | Path, **changes: Any) -> Outcome:  # noqa: ANN401 - parts of an experiment
        """Runs an experiment file, with parts of it changed, as in `load={"users": 80}`, and as the marks
        `chaos_changes` of the test, its class and its module say; what is nearest wins.

        Relative paths start at pytest's root folder. Raises ExperimentError if the file or the changes are wrong."""
        from chaoskit import spec

        config = self._item.config
        loaded = spec.load(config.rootpath / experiment)
        marked = [mark.kwargs for mark in self._item.iter_markers("chaos_changes")]
        together = {key: value for parts in (*reversed(marked), changes) for key, value in parts.items()}
        with _skipping(config):
            runs = _runs(config).run(spec.with_changes(loaded, together) if together else loaded)
        _note(self._item, runs)
        self._item.user_properties += [about for run in runs for about in _run_properties(run)]
        return Outcome(runs)


class Outcome:
    """What became of an experiment, for assertions. What the evidence cannot answer raises InconclusiveError.

    Of one that says `repeat`, it tells of all its runs: the worst verdict, the longest outage. Each is in `runs`.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)

    @property
    def runs(self) -> tuple[Outcome, ...]:
        return tuple(Outcome([run]) for run in self._runs)

    @property
    def folder(self) -> Path:
        """The run's folder, or the one with all of the runs in it."""
        return self._runs[0].folder if len(self._runs) == 1 else self._runs[0].folder.parent

    @property
    def verdict(self) -> str:
        """`passed`, `inconclusive` or `failed`."""
        from chaoskit.model import worst

        return worst([run.result.verdict for run in self._runs]).value

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def findings(self) -> Mapping[str, Finding]:
        """By name; of several runs, the first of the worst."""
        found: dict[str, Finding] = {}
        for finding in (f for run in self._runs for f in run.result.findings):
            if finding.name not in found or finding.verdict.rank > found[finding.name].verdict.rank:
                found[finding.name] = finding
        return found

    @property
    def spreads(self) -> Mapping[str, Spread]:
        """By expectation: how often it held, and how far its numbers are apart."""
        from chaoskit import repetitions

        return {s.name: s for s in repetitions.summarise([run.result for run in self._runs]).spreads}

    def outage(self, step: str, *, connections: str = "fresh") -> Outage:
        """The longest outage that the pulse saw in a step; one of 0 seconds if no request was lost."""
        return max((_outage(run, step, connections) for run in self._runs), key=lambda outage: outage.seconds)

    def recovery(self, step: str) -> tuple[Chain, ...]:
        """The recovery chain of each pod that the step took."""
        from chaoskit import evidence

        return tuple(c for run in self._runs for c in evidence.recovery_chains(run.record, _step(run, step)))

    def explain(self) -> str:
        """The verdict, and each finding that did not pass."""
        from chaoskit import repetitions

        bad = [explain(run, f) for run in self._runs for f in run.result.findings if f.verdict.value != "passed"]
        if len(self._runs) == 1:
            return "\n".join([self._runs[0].result.sentence, *bad])
        return "\n".join([*repetitions.lines(repetitions.summarise([run.result for run in self._runs])), *bad])


def _outage(run: Run, name: str, connections: str) -> Outage:
    from chaoskit import evidence
    from chaoskit.checks.outage import STREAMS
    from chaoskit.model import Outage

    record, found = run.record, _step(run, name)
    ended = found.ended if found.ended is not None else record.ended
    seen = evidence.outages(record.pulse, STREAMS[connections], found.began, ended, record.pulse_period_s)
    longest = seen.longest or Outage(found.began, found.began, found.began, found.began, 0)
    if seen.due == seen.not_sent or seen.silence_s > max(longest.longest, 2 * record.pulse_period_s):
        raise InconclusiveError(f"the pulse saw nothing for {seen.silence_s:.2f} s of “{name}”, no outage either")
    return longest.by_another_clock(record.load_clock_s)


def _step(run: Run, name: str) -> StepRecord:
    from chaoskit.checks.judging import landed_or_why

    step, why = landed_or_why(run.record, name)
    if step is None:
        raise InconclusiveError(f"“{name}”: {why}")
    return step


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Runs chaos experiments: `chaos.run("experiments/pod-kill.yaml")`."""
    assert isinstance(request.node, pytest.Item)  # noqa: S101 - the fixture is a function's
    return Chaos(request.node)


def pytest_itemcollected(item: pytest.Item) -> None:
    if "chaos" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.chaoskit)
