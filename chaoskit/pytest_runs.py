"""How a pytest session runs experiments: on one cluster, opened by the first run, also when pytest-xdist spreads the
tests over processes. These share a folder: in it are locks, so that what disturbs others runs alone, and what became of
each experiment file, so that it is run once although its items are spread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from chaoskit.adapters.locust import check_locustfile
from chaoskit.cluster import embedded, toolset
from chaoskit.engine import Live
from chaoskit.errors import ChaoskitError, ClusterError, ToolError
from chaoskit.plan import touches_cluster
from chaoskit.session import Options, Run, Session, read
from chaoskit.spec import Experiment

STARTED = "started"
"""In the shared folder: the name of the embedded cluster that a worker has started."""


class NoClusterError(ClusterError):
    """There is no cluster to run on."""


class Opened(Protocol):
    """A session on a cluster, as far as tests need it."""

    @property
    def started(self) -> bool: ...

    def runs(self, experiment: Experiment, show: Callable[[Live], None]) -> Iterator[Run]: ...

    def close(self) -> None: ...


def opened(options: Options) -> Session:
    """A session on a cluster that has answered. NoClusterError if there is none."""
    if not options.context and embedded.find(options.cluster) is None and toolset.find() is None:
        raise NoClusterError("there is no cluster: the embedded one's servers are not built", fix="chaoskit cluster up")
    session = Session(options, lambda _text: None)  # How a cluster starts is not a test's output.
    try:
        session.__enter__()
        session.connect().close()
    except (ClusterError, ToolError) as error:
        raise NoClusterError(f"there is no cluster: {error.what}", why=error.why, fix=error.fix) from error
    return session


class Runner:
    """Runs experiments for one process of a pytest session."""

    def __init__(self, options: Options, shared: Path | None, opening: Callable[[Options], Opened]) -> None:
        self._options = options
        self._shared = shared
        """None: this is the only process."""
        self._opening = opening
        self._session: Opened | None = None
        self._none: NoClusterError | None = None

    def run(self, experiment: Experiment) -> tuple[Run, ...]:
        """Runs it as often as it says. NoClusterError where there is no cluster; KeyboardInterrupt where its user wants
        to stop: the run has heard of it, and healed."""
        if own := experiment.own_locustfile:
            check_locustfile(own, sent=experiment.from_inside)
        with self._locked("cluster", alone=self._disturbs(experiment)):
            runs = tuple(self._on_cluster().runs(experiment, lambda _live: None))
        if runs[-1].interrupted:
            raise KeyboardInterrupt(runs[-1].result.error)
        return runs

    def run_once(self, name: str, experiment: Experiment) -> tuple[Run, ...]:
        """The runs of an experiment file: by whichever process comes first, the others read their folders."""
        if self._shared is None:
            return self.run(experiment)
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        note = self._shared / f"{key}.json"
        with self._locked(key, alone=True):
            if note.exists():
                return _remembered(note)
            try:
                runs = self.run(experiment)
            except ChaoskitError as error:
                _remember(note, error)
                raise
            note.write_text(json.dumps({"folders": [str(run.folder) for run in runs]}), encoding="utf-8")
        return runs

    def close(self) -> None:
        """An embedded cluster that a worker has started is left to the others: `close_shared` ends it."""
        if self._session is not None and self._shared is None:
            self._session.close()
        self._session = None

    def _on_cluster(self) -> Opened:
        if self._none is not None:
            raise self._none
        if self._session is None:
            try:
                with self._locked("start", alone=True):
                    self._session = self._opening(self._options)
            except NoClusterError as error:
                self._none = error
                raise
            if self._shared is not None and self._session.started:
                (self._shared / STARTED).write_text(self._options.cluster, encoding="utf-8")
        return self._session

    def _disturbs(self, experiment: Experiment) -> bool:
        """Whether others cannot run beside it: it acts on the whole cluster, or in a namespace that is not its own."""
        return touches_cluster(experiment) or bool(experiment.app.namespace or self._options.namespace)

    @contextlib.contextmanager
    def _locked(self, name: str, *, alone: bool) -> Iterator[None]:
        if self._shared is None:
            yield
            return
        with (self._shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield


def close_shared(shared: Path) -> None:
    """What the workers leave to the process that started them."""
    with contextlib.suppress(FileNotFoundError):
        embedded.down((shared / STARTED).read_text(encoding="utf-8"))


def _remember(note: Path, error: ChaoskitError) -> None:
    told = {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}
    note.write_text(json.dumps({"none": isinstance(error, NoClusterError), "error": told}), encoding="utf-8")


def _remembered(note: Path) -> tuple[Run, ...]:
    told = json.loads(note.read_text(encoding="utf-8"))
    if "folders" in told:
        return tuple(read(Path(folder)) for folder in told["folders"])
    what = told["error"].pop("what")
    raise (NoClusterError if told["none"] else ChaoskitError)(what, **told["error"])
