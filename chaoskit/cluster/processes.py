"""The processes of the cluster's PID namespace: started, watched and reaped in one place.

The supervisor is PID 1 there, so orphans become its children: one reaper waits for everything, nothing else may.
It all happens in the event loop's thread, so a process cannot end before it is known.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaoskit.errors import ClusterError

LOG_LINES = 12


@dataclass
class Process:
    """A running program. `ended` resolves to its wait status."""

    name: str
    pid: int
    log: Path
    ended: asyncio.Future[int] = field(repr=False)

    @property
    def running(self) -> bool:
        return not self.ended.done()

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.running:  # Not reaped yet, so the id cannot belong to another process.
            os.kill(self.pid, number)

    def failure(self) -> ClusterError:
        """What to say when it ended though it should not have."""
        return ClusterError(f"{self.name} {how_it_ended(self.ended.result())}", why=last_lines(self.log))


class Processes:
    """Starts programs and reaps them. Make it inside the running event loop."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._known: dict[int, Process] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
    ) -> Process:
        """Start `argv` with its output in `logs/<name>.log`; `stdin` is a descriptor, or nothing."""
        log = self._logs / f"{name}.log"
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        if stdin is None:
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
        pid = os.posix_spawnp(argv[0], list(argv), {**os.environ, **(env or {})}, file_actions=actions)
        process = Process(name, pid, log, self._loop.create_future())
        self._known[pid] = process
        return process

    async def run(self, name: str, argv: Sequence[str], text: str = "") -> None:
        """Run a short command with `text` as its input; raises when it fails."""
        memory = os.memfd_create(name)
        try:
            os.write(memory, text.encode())
            os.lseek(memory, 0, os.SEEK_SET)
            process = self.start(name, argv, stdin=memory)
        finally:
            os.close(memory)
        if await process.ended:
            raise process.failure()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            process = self._known.pop(pid, None)
            if process is not None:
                process.ended.set_result(status)


def how_it_ended(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def last_lines(log: Path, count: int = LOG_LINES) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return f"it wrote no log ({log})"
    return f"the last lines of {log}:\n" + "\n".join(f"    {line[:400]}" for line in lines[-count:])
