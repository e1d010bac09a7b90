"""The Load port: starts Locust's agents and the pulse, passes on what they say, and ends them.

They are processes of their own, on this machine or each in a pod, and Locust is not imported here: it changes the
standard library for its whole process. They speak JSON, one object a line (see `chaoskit/load/process.py`); their
configuration, recording and log are in the load's folder.

In pods there is a Locust master, called `locust`, and its workers, `locust-1` and so on; what they say is one status.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaoskit.adapters.loadpod import PodProcess, Talk
from chaoskit.adapters.loadprocess import LocalProcess, Process, last_object, tail
from chaoskit.errors import PortError, UsageError
from chaoskit.loadpods import MASTER, PULSE, WORKER
from chaoskit.model import LoadStatus
from chaoskit.ports import LoadPlan, Post
from chaoskit.samples import Sample, SampleReader

Inside = Callable[[Sequence[str]], list[str]]
"""Wraps a command so that it runs inside the cluster's network; `list` leaves it in ours."""

TalkWith = Callable[[str, str], Talk]
"""Starts the load's command in a pod, by its name and namespace."""

BUILT_IN = Path(__file__).parents[1] / "load"
MOST_CODE = 1_000_000
_START_WITHIN_S = 30.0
_STOP_WITHIN_S = 3.0
TOLD = {
    "phase": ("name",),
    "step began": ("step",),
    "step ended": ("step",),
    "intent": ("n", "step", "change"),
    "landed": ("step",),
    "healed": ("n", "done"),
}
"""What the pulse is told of the journal, for chaoskit's own metrics: kinds of entries, and which of their data."""


def check_locustfile(path: Path, *, sent: bool = False) -> tuple[str, ...]:
    """The names of a locustfile's users; UsageError, with the line and the cause, if it does not import, or cannot be
    `sent` to pods."""
    _look_for(path)
    if sent:
        _files(path)
    with tempfile.TemporaryDirectory(prefix="chaoskit-") as folder:
        config = Path(folder) / "check.json"
        config.write_text(json.dumps({"locustfile": str(path), "check_only": True}), encoding="utf-8")
        try:
            done = subprocess.run(
                _command("agent", config), capture_output=True, text=True, timeout=_START_WITHIN_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UsageError(
                f"the locustfile does not finish importing within {_START_WITHIN_S:.0f} s",
                where=str(path),
                fix="move what takes long out of the module's top level, into on_start or a test_start listener",
            ) from error
    said = last_object(done.stdout)
    if "users" in said:
        return tuple(said["users"])
    raise _refusal(said, str(path), done.stderr)


def _look_for(path: Path) -> None:
    if not path.is_file():
        raise UsageError(
            "the locustfile is a folder" if path.is_dir() else "there is no such locustfile",
            where=str(path),
            why="load.locustfile is relative to the experiment's own file",
            fix="correct load.locustfile, or write locustfile: shopper",
        )


def _command(module: str, config: Path) -> list[str]:
    return [sys.executable, "-P", "-m", f"chaoskit.load.{module}", str(config)]


def _refusal(said: Mapping[str, Any], where: str, log: str) -> UsageError:
    """`where` is the locustfile."""
    error = said.get("error") or {}
    return UsageError(
        str(error.get("what") or "the locustfile could not be looked at: the process that loads it ended"),
        where=str(error.get("where") or where),
        why=str(error.get("why", "") if error else tail(log)),
        fix=f"{shlex.join([sys.executable, '-m', 'locust', '--headless', '--list', '-f', where])} loads it by itself",
    )


def _here(where: str, locustfile: str) -> str:
    """A place in the locustfile, or in a module beside it, as this machine knows it; a pod has copies elsewhere."""
    return str(Path(locustfile).parent / Path(where).name) if where.partition(":")[0].endswith(".py") else where


class LocustLoad:
    """Locust users and the pulse: inside the network that `inside` leads to, or in the pods that the plan names."""

    def __init__(self, inside: Inside = list, talk: TalkWith | None = None) -> None:
        self._inside, self._talk = inside, talk
        self._processes: dict[str, Process] = {}
        self._readers: list[SampleReader] = []
        self._said: dict[str, Mapping[str, Any]] = {}
        self._origin_ns = 0
        self._post: Post = lambda _: None
        self._stopping = False
        self._lost = ""

    def start(self, plan: LoadPlan, origin_ns: int, post: Post) -> None:
        """Returns once all work. UsageError if the locustfile does not import, PortError if one does not start."""
        self._processes, self._readers, self._said, self._stopping, self._lost = {}, [], {}, False, ""
        self._origin_ns, self._post = origin_ns, post
        plan = replace(plan, folder=plan.folder.resolve())  # A locustfile may change the working directory.
        plan.folder.mkdir(parents=True, exist_ok=True)
        if plan.locustfile is not None:
            _look_for(plan.locustfile)
        launch = self._launch_in_pod if plan.pods else self._launch
        for who, module, config in _parts(plan, origin_ns):
            self._processes[who] = launch(who, module, config, plan)
            self._readers.append(SampleReader(plan.folder / who))
        deadline = time.monotonic() + _START_WITHIN_S
        for process in self._processes.values():
            self._settle(process, deadline, str(plan.locustfile or ""))

    def _launch(self, who: str, module: str, config: Mapping[str, Any], plan: LoadPlan) -> Process:
        file = plan.folder / f"{who}.json"
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
        argv = self._inside(_command(module, file))
        env = {**os.environ, **(plan.environment or {})}
        try:
            return LocalProcess(who, argv, plan.folder / f"{who}.log", env, self._hear)
        except OSError as error:
            self.stop()
            raise PortError(f"{who} could not be started", where=argv[0], why=str(error)) from error

    def _launch_in_pod(self, who: str, module: str, config: Mapping[str, Any], plan: LoadPlan) -> Process:
        assert self._talk is not None  # noqa: S101  # Whoever plans pods has a cluster to talk with.
        pod, talk = plan.pods[who], self._talk
        files = {}
        if module == "agent" and plan.locustfile:
            files = _files(plan.locustfile)
            config = {**config, "locustfile": plan.locustfile.name}
        order = {"module": module, "config": config, "files": files, "environment": dict(plan.environment or {})}
        return PodProcess(who, pod, lambda: talk(pod, plan.namespace), order, plan.folder, self._hear)

    def _settle(self, process: Process, deadline: float, locustfile: str) -> None:
        settled = process.settled.wait(max(0.0, deadline - time.monotonic()))
        if settled and not process.ended:
            return
        self.stop()  # A pod's log comes when it ends.
        refused, log = process.refused, process.log()
        if refused and process.who.startswith(MASTER):
            where = _here(str(refused.get("where", "")), locustfile)
            raise _refusal({"error": {**refused, "where": where}}, locustfile, log)
        why = f"{refused['where']}: {refused['why']}" if refused else tail(log)
        late = f"{process.who} did not start within {_START_WITHIN_S:.0f} s"
        what = str(refused.get("what") or (f"{process.who} ended before it had begun" if settled else late))
        raise PortError(what, where=process.who, why=why)

    def _hear(self, process: Process, said: Mapping[str, Any] | None) -> None:
        """Called by the reader threads: a status, or None when the process has ended."""
        if said is None:
            if not self._stopping and process.trouble():
                self._post(LoadStatus(at=self._now(), who=process.who, done=True, error=process.trouble()))
            return
        self._said[process.who] = said
        if process.who.startswith(WORKER):
            return
        if process.who == MASTER:
            said = _summed(said, [told for who, told in list(self._said.items()) if who.startswith(WORKER)])
            if PULSE in self._processes:
                self._processes[PULSE].tell({"load": {"users": said["users"], "outcomes": said["outcomes"]}})
        self._post(_status(process.who, said))

    def _now(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9

    def recent(self) -> Sequence[Sample]:
        """The samples recorded since the last call, of all recordings."""
        return [sample for reader in self._readers for sample in reader.read()]

    def set_users(self, users: int, spawn_rate: float) -> None:
        if locust := self._processes.get(MASTER):
            locust.tell({"users": users, "spawn_rate": spawn_rate})

    def tell(self, kind: str, at: float, data: Mapping[str, Any]) -> None:
        pulse = self._processes.get(PULSE)
        if pulse and kind in TOLD:
            pulse.tell(as_told(kind, at, data))

    def lost(self) -> str:
        """Why the load is not what was asked for, or empty. After stop(): what could not be ended in order."""
        if self._stopping:
            return self._lost
        return "; ".join(trouble for process in self._processes.values() if (trouble := process.trouble()))

    def stop(self) -> None:
        """Ends all within 3 s and flushes the recordings. Idempotent; never raises."""
        if self._stopping:
            return
        lost = self.lost()
        self._stopping = True
        deadline = time.monotonic() + _STOP_WITHIN_S
        # A master that ends tells its workers to break off, so it ends once they have finished what they were doing.
        led = any(who.startswith(WORKER) for who in self._processes)
        master = [process for who, process in self._processes.items() if led and who == MASTER]
        others = [process for process in self._processes.values() if process not in master]
        for some in (others, master):
            for process in some:
                process.terminate()
            for process in some:
                process.wait_ended(deadline)
        killed = "; ".join(process.trouble() for process in self._processes.values() if process.killed)
        self._lost = lost or killed


def _parts(plan: LoadPlan, origin_ns: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(who, module of `chaoskit.load`, configuration) of each process."""
    workers = sorted(who for who in plan.pods if who.startswith(WORKER))
    if plan.locustfile is not None:
        agent = _agent_config(plan, origin_ns)
        yield MASTER, "agent", {**agent, "workers": len(workers)}
        for number, who in enumerate(workers):
            yield who, "agent", {**agent, "master_host": plan.master_host, "seed": plan.seed + number}
    yield PULSE, "pulse", _pulse_config(plan, origin_ns)


def _files(locustfile: Path) -> dict[str, str]:
    """A locustfile and the modules beside it that it may import, for a machine that has none of them."""
    beside = [] if locustfile.parent == BUILT_IN else sorted(locustfile.parent.glob("*.py"))
    found = {path.name: _text(path) for path in dict.fromkeys((locustfile, *beside))}
    if (size := sum(map(len, found.values()))) > MOST_CODE:
        raise UsageError(
            f"the modules beside the locustfile have {size:,} characters; {MOST_CODE:,} are sent to a pod",
            where=str(locustfile.parent),
            fix="put the locustfile, and what it imports, into a folder of their own",
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(
            "a module beside the locustfile cannot be sent to a pod",
            where=str(path),
            why=str(error),
            fix="write it in UTF-8, or put the locustfile, and what it imports, into a folder of their own",
        ) from error


def _summed(master: Mapping[str, Any], workers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a master and its workers said last as what one Locust says: its counts, and the worst of their troubles."""
    if not workers:
        return master
    sums = {key: sum(told[key] for told in workers) for key in ("sent", "ok", "failed", "not_sent")}
    worst = {key: max(told[key] for told in (master, *workers)) for key in ("cpu", "late_p99_s", "clock_s")}
    outcomes = {key: sum(told["outcomes"][key] for told in workers) for key in master["outcomes"]}
    return {**master, **sums, **worst, "outcomes": outcomes}


def as_told(kind: str, at: float, data: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of the journal as the pulse hears it. Of a change, that there is one is enough."""
    known = {key: bool(data[key]) if key == "change" else data[key] for key in TOLD[kind]}
    return {"journal": {"kind": kind, "at": at, **known}}


def _agent_config(plan: LoadPlan, origin_ns: int) -> dict[str, Any]:
    return {
        "locustfile": str(plan.locustfile),
        "host": plan.target.rstrip("/"),
        "users": plan.users,
        "spawn_rate": plan.spawn_rate,
        "recording": str(plan.folder / "locust"),
        "origin_ns": origin_ns,
        "stop_after_s": plan.stop_after_s,
        "seed": plan.seed,
        "master_port": plan.master_port,
    }


def _pulse_config(plan: LoadPlan, origin_ns: int) -> dict[str, Any]:
    return {
        "url": plan.target.rstrip("/") + "/" + plan.pulse_path.lstrip("/"),
        "recording": str(plan.folder / "pulse"),
        "origin_ns": origin_ns,
        "stop_after_s": plan.stop_after_s,
        "period_s": plan.pulse_period_s,
        "timeout_s": plan.pulse_timeout_s,
        "metrics_address": plan.metrics_address,
        "experiment": plan.experiment,
        "run": plan.run,
        "seed": plan.seed,
        "namespace": plan.namespace,
        "cluster": plan.cluster,
    }


def _status(who: str, said: Mapping[str, Any]) -> LoadStatus:
    return LoadStatus(
        at=float(said["t"]),
        who=who,
        users=int(said.get("users", 0)),
        sent=int(said["sent"]),
        ok=int(said["ok"]),
        failed=int(said["failed"]),
        not_sent=int(said["not_sent"]),
        cpu=float(said["cpu"]),
        late_p99_s=float(said["late_p99_s"]),
        done=bool(said.get("done")),
        clock_s=float(said.get("clock_s", 0.0)),
    )
