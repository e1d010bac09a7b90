"""pytest: experiments are collected as tests, one item for each expectation; the `chaos` fixture runs one from Python.

Nothing of chaoskit's own is imported until an experiment is collected: being installed costs other tests nothing.
A failed expectation is a failure; an inconclusive one is an error (of the set-up), which is what JUnit calls it too.
An experiment that says `repeat` is run as often as it says, and an item passes if its expectation held every time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaoskit.contracts import Check, StepRecord
    from chaoskit.evidence import Chain
    from chaoskit.model import Finding, Outage
    from chaoskit.repetitions import Spread
    from chaoskit.session import Options, Run, Session
    from chaoskit.spec import Experiment

OPTIONS = {
    "context": "a context of your kubeconfig; the embedded cluster where not given",
    "kubeconfig": "with a context: which file",
    "prometheus": "with a context: where Prometheus answers",
    "cluster": "the embedded cluster's name",
    "namespace": "the name of the fresh namespace",
    "seed": "makes the choice of targets repeatable",
    "out": "the folder that the runs' folders are put into",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaoskit", "chaos experiments on Kubernetes")
    for name, meaning in OPTIONS.items():
        group.addoption(f"--chaoskit-{name}", default="", metavar=name.upper(), help=meaning)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    if not file_path.name.endswith((".yaml", ".yml")):
        return None
    from chaoskit import experimentfiles

    asked_for = parent.session.isinitpath(file_path) or not experimentfiles.is_record(file_path)
    return (
        ExperimentFile.from_parent(parent, path=file_path) if asked_for and experimentfiles.is_one(file_path) else None
    )


# ── one cluster for the whole session ────────────────────────────────────────────────────────────────────────────────


def _opened(options: Options) -> Session:
    from chaoskit.session import Session

    return Session(options, _quiet)


class Cluster:
    """The chaoskit session of a pytest session: opened by the first run, closed at the end."""

    def __init__(self, config: pytest.Config, opened: Callable[[Options], Session] = _opened) -> None:
        self._config = config
        self._opened = opened
        self._session: Session | None = None

    def session(self) -> Session:
        if self._session is None:
            from chaoskit.session import Options

            given = {name: str(self._config.getoption(f"--chaoskit-{name}")) for name in OPTIONS}
            options = Options(
                context=given["context"],
                kubeconfig=Path(given["kubeconfig"]) if given["kubeconfig"] else None,
                prometheus=given["prometheus"],
                cluster=given["cluster"] or "chaoskit",
                namespace=given["namespace"],
                seed=_seed(given["seed"]),
                runs=Path(given["out"] or "runs"),
            )
            self._session = self._opened(options)
            self._session.__enter__()
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)


CLUSTER = pytest.StashKey[Cluster]()


def _quiet(_text: str) -> None:
    """How a cluster starts is not a test's output."""


def _seed(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError as error:
        raise pytest.UsageError(f"--chaoskit-seed takes a number, not {text!r}") from error


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CLUSTER] = Cluster(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if CLUSTER in config.stash:
        config.stash[CLUSTER].close()


def _run(config: pytest.Config, experiment: Experiment) -> tuple[Run, ...]:
    """Runs it as often as it says. Ctrl-C is heard by the run, which heals, and then ends the whole session as it does
    in any test."""
    from chaoskit.adapters.locust import check_locustfile

    if own := experiment.own_locustfile:
        check_locustfile(own)
    runs = tuple(config.stash[CLUSTER].session().runs(experiment, lambda _live: None))
    if runs[-1].interrupted:
        raise KeyboardInterrupt(runs[-1].result.error)
    return runs


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
        for check in experiment.expect:
            yield ExpectationItem.from_parent(self, name=check.title(), experiment=experiment, check=check)

    def done(self, experiment: Experiment) -> tuple[Run, ...]:
        """The runs. What broke it breaks every item alike, without running it again."""
        if self._broken is not None:
            raise self._broken
        if not self._done:
            try:
                self._done = _run(self.config, experiment)
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
        return [("chaoskit_run", first.result.run), ("chaoskit_report", str(first.report))]
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
    """pytest asks an item how to show a failure, but not an error of its set-up: that would be its own frames."""
    report = yield
    if isinstance(item, ExpectationItem) and call.excinfo is not None and report.when == "setup":
        report.longrepr = item.repr_failure(call.excinfo)
    return report


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

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def run(self, experiment: str | Path, **changes: Any) -> Outcome:  # noqa: ANN401 - parts of an experiment
        """Runs an experiment file, with parts of it changed, as in `load={"users": 80}`.

        Relative paths start at pytest's root folder. Raises ExperimentError if the file or the changes are wrong."""
        from chaoskit import spec

        loaded = spec.load(self._config.rootpath / experiment)
        return Outcome(_run(self._config, spec.with_changes(loaded, changes) if changes else loaded))


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
    if not seen.due or seen.blind_s > 2 * record.pulse_period_s:
        raise InconclusiveError(f"the pulse is blind for {seen.blind_s:.2f} s of “{name}”")
    return seen.longest or Outage(found.began, found.began, found.began, found.began, 0)


def _step(run: Run, name: str) -> StepRecord:
    from chaoskit.checks.judging import landed_or_why

    step, why = landed_or_why(run.record, name)
    if step is None:
        raise InconclusiveError(f"“{name}”: {why}")
    return step


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Runs chaos experiments: `chaos.run("experiments/pod-kill.yaml")`."""
    return Chaos(request.config)
