"""The Load port: starts the Locust agent and the pulse, passes on what they say, and ends them.

Both are processes of their own, and neither Locust nor `chaoskit.load` is imported here: Locust changes the standard
library for its whole process. They speak JSON, one object a line (see `chaoskit/load/process.py`), and keep their
configuration, recording and log in the load's folder.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from chaoskit.errors import PortError, UsageError
from chaoskit.model import LoadStatus
from chaoskit.ports import LoadPlan, Post
from chaoskit.samples import Sample, SampleReader

Inside = Callable[[Sequence[str]], list[str]]
"""Wraps a command so that it runs inside the cluster's network; `list` leaves it in ours."""

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
_SILENT_S = 2.0
"""A process that has said nothing for eight statuses does not work any more."""


def check_locustfile(path: Path) -> tuple[str, ...]:
    """The names of a locustfile's users; UsageError, with the line and the cause, if it does not import."""
    _look_for(path)
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
    said = _last_object(done.stdout)
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


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        with suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                return value
    return {}


def _refusal(said: Mapping[str, Any], where: str, log: str) -> UsageError:
    """`where` is the locustfile."""
    error = said.get("error") or {}
    return UsageError(
        str(error.get("what") or "the locustfile could not be looked at: the process that loads it ended"),
        where=str(error.get("where") or where),
        why=str(error.get("why", "") if error else _tail(log)),
        fix=f"{shlex.join([sys.executable, '-m', 'locust', '--headless', '--list', '-f', where])} loads it by itself",
    )


def _tail(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return " / ".join(lines[-3:]) or "it left no message"


class _Process:
    """One of the load's processes, and the thread that reads what it says."""

    def __init__(self, who: str, argv: list[str], log: Path, env: Mapping[str, str], hear: Callable[..., None]) -> None:
        self.who = who
        self._log, self._hear = log, hear
        self.heard_at = time.monotonic()
        self.refused: dict[str, Any] = {}
        self.done = False
        self.killed = False
        self.settled = threading.Event()
        """Set once it works or is known not to."""
        with log.open("wb") as errors:
            # A session of its own: Ctrl-C reaches chaoskit alone, which then ends the load in order.
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(env),
                bufsize=0,
                start_new_session=True,
            )
        assert self._popen.stdin is not None  # noqa: S101  # It is a pipe.
        os.set_blocking(self._popen.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._read, name=f"load-{who}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None  # noqa: S101  # It is a pipe.
        with self._popen.stdout as lines:
            for line in lines:
                said = _last_object(line.decode(errors="replace"))
                self.heard_at = time.monotonic()
                self.refused = said.get("error") or self.refused
                self.done = self.done or bool(said.get("done"))
                if "t" in said:
                    self.settled.set()
                    self._hear(self, said)
        self._popen.wait()
        self.settled.set()
        self._hear(self, None)

    def tell(self, told: Mapping[str, Any]) -> None:
        """Never waits: a process that does not read is told nothing."""
        if self._popen.stdin is not None:
            with suppress(OSError, ValueError):
                self._popen.stdin.write(json.dumps(told).encode() + b"\n")

    @property
    def ended(self) -> bool:
        return self._popen.poll() is not None

    def trouble(self) -> str:
        """Why it is not doing its work; empty if it is."""
        if self.killed:
            return f"{self.who} had to be killed: the end of its recording is lost"
        if self.ended and not self.done:
            cause = self.refused.get("why") or _tail(self._log.read_text(encoding="utf-8", errors="replace"))
            return f"{self.who} ended unexpectedly with code {self._popen.returncode}: {cause}"
        if self.done:
            return f"{self.who} ended by itself"
        silent = time.monotonic() - self.heard_at
        return f"{self.who} has said nothing for {silent:.1f} s" if silent > _SILENT_S else ""

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def terminate(self) -> None:
        self._popen.terminate()

    def wait_ended(self, deadline: float) -> None:
        """Kills it at the deadline, and returns once nothing of it is left."""
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.killed = True
            self._popen.kill()
            self._popen.wait()
        self._reader.join(1.0)
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.close()


class LocustLoad:
    """Locust users and the pulse, inside the network that `inside` leads to."""

    def __init__(self, inside: Inside = list) -> None:
        self._inside = inside
        self._processes: dict[str, _Process] = {}
        self._readers: list[SampleReader] = []
        self._origin_ns = 0
        self._post: Post = lambda _: None
        self._stopping = False
        self._lost = ""

    def start(self, plan: LoadPlan, origin_ns: int, post: Post) -> None:
        """Returns once both work. UsageError if the locustfile does not import, PortError if one does not start."""
        self._processes, self._readers, self._stopping, self._lost = {}, [], False, ""
        self._origin_ns, self._post = origin_ns, post
        plan = replace(plan, folder=plan.folder.resolve())  # A locustfile may change the working directory.
        plan.folder.mkdir(parents=True, exist_ok=True)
        if plan.locustfile is not None:
            _look_for(plan.locustfile)
        env = {**os.environ, **(plan.environment or {})}
        if plan.locustfile is not None:
            self._launch("locust", "agent", plan.folder, _agent_config(plan, origin_ns), env)
        self._launch("pulse", "pulse", plan.folder, _pulse_config(plan, origin_ns), env)
        deadline = time.monotonic() + _START_WITHIN_S
        for process in self._processes.values():
            self._settle(process, deadline, str(plan.locustfile or ""))

    def _launch(self, who: str, module: str, folder: Path, config: Mapping[str, Any], env: Mapping[str, str]) -> None:
        file = folder / f"{who}.json"
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
        argv = self._inside(_command(module, file))
        try:
            self._processes[who] = _Process(who, argv, folder / f"{who}.log", env, self._hear)
        except OSError as error:
            self.stop()
            raise PortError(f"{who} could not be started", where=argv[0], why=str(error)) from error
        self._readers.append(SampleReader(folder / who))

    def _settle(self, process: _Process, deadline: float, locustfile: str) -> None:
        settled = process.settled.wait(max(0.0, deadline - time.monotonic()))
        if settled and not process.ended:
            return
        refused, log = process.refused, process.log()
        self.stop()
        if refused and process.who == "locust":
            raise _refusal({"error": refused}, locustfile, log)
        why = f"{refused['where']}: {refused['why']}" if refused else _tail(log)
        late = f"{process.who} did not start within {_START_WITHIN_S:.0f} s"
        what = str(refused.get("what") or (f"{process.who} ended before it had begun" if settled else late))
        raise PortError(what, where=process.who, why=why)

    def _hear(self, process: _Process, said: Mapping[str, Any] | None) -> None:
        """Called by the reader threads: a status, or None when the process has ended."""
        if said is None:
            if not self._stopping and process.trouble():
                self._post(LoadStatus(at=self._now(), who=process.who, done=True, error=process.trouble()))
            return
        if process.who == "locust" and "pulse" in self._processes:
            self._processes["pulse"].tell({"load": {"users": said["users"], "outcomes": said["outcomes"]}})
        self._post(_status(process.who, said))

    def _now(self) -> float:
        return (time.monotonic_ns() - self._origin_ns) / 1e9

    def recent(self) -> Sequence[Sample]:
        """The samples recorded since the last call, of both recordings."""
        return [sample for reader in self._readers for sample in reader.read()]

    def set_users(self, users: int, spawn_rate: float) -> None:
        if locust := self._processes.get("locust"):
            locust.tell({"users": users, "spawn_rate": spawn_rate})

    def tell(self, kind: str, at: float, data: Mapping[str, Any]) -> None:
        pulse = self._processes.get("pulse")
        if pulse and kind in TOLD:
            pulse.tell(as_told(kind, at, data))

    def lost(self) -> str:
        """Why the load is not what was asked for, or empty. After stop(): what could not be ended in order."""
        if self._stopping:
            return self._lost
        return "; ".join(trouble for process in self._processes.values() if (trouble := process.trouble()))

    def stop(self) -> None:
        """Ends both within 3 s and flushes the recordings. Idempotent; never raises."""
        if self._stopping:
            return
        lost = self.lost()
        self._stopping = True
        deadline = time.monotonic() + _STOP_WITHIN_S
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait_ended(deadline)
        killed = "; ".join(process.trouble() for process in self._processes.values() if process.killed)
        self._lost = lost or killed


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
    )
