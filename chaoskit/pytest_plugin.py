"""pytest: experiments are collected as tests, one item for each expectation; the `chaos` fixture runs one from Python.

Nothing of chaoskit's own is imported until an experiment is collected: being installed costs other tests nothing.
A failed expectation is a failure; an inconclusive one is an error (of the set-up), which is what JUnit calls it too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chaoskit.contracts import Check, StepRecord
    from chaoskit.evidence import Chain
    from chaoskit.model import Finding, Outage
    from chaoskit.session import Run, Session
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


class _Cluster:
    """The chaoskit session of a pytest session: opened by the first run, closed at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session: Session | None = None

    def session(self) -> Session:
        if self._session is None:
            from chaoskit.session import Options, Session

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
            self._session = Session(options, _quiet)
            self._session.__enter__()
        return self._session

    def close(self) -> None:
        if self._session is not None:
            self._session.__exit__(None, None, None)


_KEY = pytest.StashKey[_Cluster]()


def _quiet(_text: str) -> None:
    """How a cluster starts is not a test's output."""


def _seed(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError as error:
        raise pytest.UsageError(f"--chaoskit-seed takes a number, not {text!r}") from error


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = _Cluster(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _KEY in config.stash:
        config.stash[_KEY].close()


def _run(config: pytest.Config, experiment: Experiment) -> Run:
    """Ctrl-C is heard by the run, which heals, and then ends the whole session as it does in any test."""
    from chaoskit.adapters.locust import check_locustfile

    if own := experiment.own_locustfile:
        check_locustfile(own)
    done = config.stash[_KEY].session().run(experiment, lambda _live: None)
    if done.interrupted:
        raise KeyboardInterrupt(done.result.error)
    return done


# ── experiment files as tests ────────────────────────────────────────────────────────────────────────────────────────


class ExperimentFile(pytest.File):
    """An experiment: run once, by the first of its items that is reached."""

    _done: Run | None = None
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

    def done(self, experiment: Experiment) -> Run:
        """The run. What broke it breaks every item alike, without running it again."""
        if self._broken is not None:
            raise self._broken
        if self._done is None:
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
        """Runs the experiment, if that is still to be done; an undecided expectation ends here, as an error."""
        from chaoskit.model import Verdict

        run = self._file.done(self._experiment)
        self.user_properties += [("chaoskit_run", run.result.run), ("chaoskit_report", str(run.report))]
        finding = self._finding(run)
        if finding.verdict is Verdict.INCONCLUSIVE:
            raise InconclusiveError(explain(run, finding))
        undecided = [f for f in run.result.findings if not f.asked and f.verdict is Verdict.INCONCLUSIVE]
        if undecided and finding.verdict is Verdict.PASSED:
            raise InconclusiveError(explain(run, undecided[0]))

    def runtest(self) -> None:
        from chaoskit.model import Verdict

        run = self._file.done(self._experiment)
        finding = self._finding(run)
        if finding.verdict is Verdict.FAILED:
            raise ExpectationError(explain(run, finding))

    def _finding(self, run: Run) -> Finding:
        return run.result.asked[self._experiment.expect.index(self._check)]

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
    """A finished run, for assertions. What the evidence cannot answer raises InconclusiveError."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def folder(self) -> Path:
        return self._run.folder

    @property
    def verdict(self) -> str:
        """`passed`, `inconclusive` or `failed`."""
        return self._run.result.verdict.value

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"

    @property
    def findings(self) -> Mapping[str, Finding]:
        return {f.name: f for f in self._run.result.findings}

    def outage(self, step: str, *, connections: str = "fresh") -> Outage:
        """The longest outage that the pulse saw in a step; one of 0 seconds if no request was lost."""
        from chaoskit import evidence
        from chaoskit.checks.outage import STREAMS
        from chaoskit.model import Outage

        record, found = self._run.record, self._step(step)
        ended = found.ended if found.ended is not None else record.ended
        seen = evidence.outages(record.pulse, STREAMS[connections], found.began, ended, record.pulse_period_s)
        if not seen.due or seen.blind_s > 2 * record.pulse_period_s:
            raise InconclusiveError(f"the pulse is blind for {seen.blind_s:.2f} s of “{step}”")
        return seen.longest or Outage(found.began, found.began, found.began, found.began, 0)

    def recovery(self, step: str) -> tuple[Chain, ...]:
        """The recovery chain of each pod that the step took."""
        from chaoskit import evidence

        return evidence.recovery_chains(self._run.record, self._step(step))

    def explain(self) -> str:
        """The verdict, and each finding that did not pass."""
        bad = [explain(self._run, f) for f in self._run.result.findings if f.verdict.value != "passed"]
        return "\n".join([self._run.result.sentence, *bad])

    def _step(self, name: str) -> StepRecord:
        from chaoskit.checks.judging import landed_or_why

        step, why = landed_or_why(self._run.record, name)
        if step is None:
            raise InconclusiveError(f"“{name}”: {why}")
        return step


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Runs chaos experiments: `chaos.run("experiments/pod-kill.yaml")`."""
    return Chaos(request.config)
