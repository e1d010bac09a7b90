"""Runs the tools that build things, so that none outlives the build and each failure is told with its last lines.

A tool dies with us even if we are killed (`setpriv --pdeathsig`). What mounts or starts daemons runs in namespaces of
its own, whose end takes everything along.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from typing import IO

from chaoskit.errors import ClusterError

LAST_LINES = 15
SECOND = 1.0
ORPHANS_DIE = ("setpriv", "--pdeathsig", "KILL", "--")
ISOLATED = (
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
)
# What a tool says when the trouble is not in what it builds.
NO_SPACE = ("no space left on device", "disk quota exceeded")
AGAIN = "type the same command again; what is built is kept"
NO_NETWORK = (
    "no such host",
    "dial tcp",
    "network is unreachable",
    "temporary failure",
    "could not resolve",
    "i/o timeout",
    "connection refused",
    "tls handshake timeout",
    "could not connect",
)

OnLine = Callable[[str | None], None]


@dataclass(frozen=True)
class Tools:
    """Where tools log to, what they inherit, and the lock that they hold together with us."""

    log: Path
    lock: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        what: str,
        argv: Sequence[str],
        *,
        cwd: Path = Path("/"),
        environment: Mapping[str, str] | None = None,
        isolated: bool = False,
        on_line: OnLine = lambda _: None,
    ) -> None:
        """Run one tool to its end. `on_line` gets each line of its output, and None when a second passed without."""
        command = (*ORPHANS_DIE, *(ISOLATED if isolated else ()), *argv)
        with self.log.open("a", encoding="utf-8") as log, self._start(what, command, cwd, environment or {}) as process:
            log.write(f"$ {' '.join(argv)}\n")
            try:
                for line in _lines(process):
                    if line is not None:
                        log.write(line)
                        log.flush()
                    on_line(line)
            except BaseException:  # An interrupt: the tool must not go on.
                process.kill()
                raise
        if process.returncode:
            raise self._failure(what, process.returncode)

    def _start(
        self, what: str, command: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C.UTF-8", **self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=() if self.lock is None else (self.lock,),
            )
        except FileNotFoundError as error:
            raise ClusterError(
                f"{what} failed: {error.filename} is not there", fix="python -m chaoskit.cluster.toolset"
            ) from error

    def _failure(self, what: str, status: int) -> ClusterError:
        last = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
        return ClusterError(
            f"{what} failed with status {status}" if status > 0 else f"{what} was ended by {Signals(-status).name}",
            where=str(self.log),
            why="its last lines were\n" + "\n".join(f"    {line}" for line in last),
            fix=AGAIN if status < 0 else remedy("\n".join(last), self.log),
        )


def remedy(output: str, log: Path) -> str:
    """The next command, from what the tool said last."""
    lower = output.lower()
    if any(sign in lower for sign in NO_SPACE):
        return f"df -h; make room (about 6 GB for the first build), then {AGAIN}"
    if any(sign in lower for sign in NO_NETWORK):
        return f"check the network or the proxy settings, then {AGAIN} (the first build downloads modules and packages)"
    return f"less {log}"


def _lines(process: subprocess.Popen[str]) -> Iterator[str | None]:
    """Lines as they come, and None for each second without one. Ends when the tool has closed its output."""
    assert process.stdout is not None  # noqa: S101 (it was asked for)
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process.stdout, arrived), daemon=True)
    reader.start()
    while True:
        try:
            line = arrived.get(timeout=SECOND)
        except queue.Empty:
            yield None
            continue
        if not line:
            return
        yield line


def _read(stream: IO[str], arrived: queue.SimpleQueue[str]) -> None:
    for line in stream:
        arrived.put(line)
    arrived.put("")
