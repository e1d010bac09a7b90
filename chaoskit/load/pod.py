"""The load in a pod: carries out what is said on standard input, and sends back what is recorded, piece by piece.

    python -m chaoskit.load.pod hold SECONDS    the pod's own process: does nothing, and ends after so long
    python -m chaoskit.load.pod work            started by pods/exec: runs one of the load's processes (Work)

Both ways, it is one JSON object a line. What it hears: `{"ping": N}`; `{"begin": …}` with the fields of Order; `{"end":
true}`; all else goes on to the load's process. What it says: what the load's process says, and
`{"hello": VERSION}`, `{"pong": N, "ns": …}` (by this machine's monotonic clock), `{"records": …, "names": […]}`,
`{"left": CODE, "log": …}` at the end.

When its input ends, whoever ordered the load is gone, and so is the load.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chaoskit.samples import RECORD, Tail

RECORDING = "recording"
MODULES = ("agent", "pulse")
SEND_EVERY_S = 0.1
"""Also when there is nothing to send: an empty line of records says that all is well."""
MOST_SENT = RECORD.size * 20_000
"""Bytes of records in one line."""
LAST_LINES = 20
END_WITHIN_S = 2.5


@dataclass(frozen=True)
class Order:
    """What is to run: a module of `chaoskit.load`, its configuration, and the files that it needs, by their names."""

    module: str
    config: Mapping[str, Any]
    files: Mapping[str, str]
    environment: Mapping[str, str]


class Mouth:
    """Standard output, for lines of JSON from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def say(self, told: Mapping[str, Any]) -> None:
        self.pass_on(json.dumps(told).encode() + b"\n")

    def pass_on(self, line: bytes) -> None:
        """With nobody left to hear, what ends the input ends the load."""
        with self._lock, suppress(OSError):
            rest = memoryview(line)
            while rest:
                rest = rest[self._out.write(rest) :]


class Work:
    """One of the load's processes: started by an order, spoken with through us, ended with us."""

    def __init__(self, folder: Path, mouth: Mouth) -> None:
        self._folder, self._mouth = folder, mouth
        self._log = folder / "log"
        self._tail = Tail(folder / RECORDING)
        self._process: subprocess.Popen[bytes] | None = None
        self._ordered = threading.Event()

    def hear(self, lines: Iterator[str]) -> None:
        """Until the input ends."""
        for line in lines:
            said = json.loads(line)
            if "ping" in said:
                self._mouth.say({"pong": said["ping"], "ns": time.monotonic_ns()})
            elif "begin" in said:
                self._begin(Order(**said["begin"]))
            elif "end" in said:
                self.end()
            elif self._process is not None and self._process.stdin is not None:
                with suppress(OSError, ValueError):
                    self._process.stdin.write(line.encode())
        self.end()

    def _begin(self, order: Order) -> None:
        if order.module not in MODULES:
            raise ValueError(f"no process of the load is called {order.module}")
        for name, text in order.files.items():
            (self._folder / Path(name).name).write_text(text, encoding="utf-8")
        config = self._folder / "config.json"
        config.write_text(json.dumps({**order.config, "recording": RECORDING}), encoding="utf-8")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"chaoskit.load.{order.module}", str(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **order.environment},
                bufsize=0,
            )
        self._ordered.set()

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
        self._ordered.set()

    def report(self) -> int:
        """What the process says and records, until it has ended and all is told."""
        self._ordered.wait()
        process = self._process
        if process is None or process.stdout is None:
            return 0
        voice = threading.Thread(target=self._pass_on, args=(process.stdout,), daemon=True)
        voice.start()
        while process.poll() is None:
            self._send()
            with suppress(subprocess.TimeoutExpired):
                process.wait(SEND_EVERY_S)
        voice.join(END_WITHIN_S)
        while self._send():
            pass
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        self._mouth.say({"left": process.returncode, "log": "\n".join(lines[-LAST_LINES:])})
        return 0

    def _pass_on(self, lines: Iterator[bytes]) -> None:
        for line in lines:
            self._mouth.pass_on(line)

    def _send(self) -> bool:
        records, names = self._tail.read(MOST_SENT)
        self._mouth.say({"records": base64.b64encode(records).decode(), "names": names})
        return bool(records)


def _work() -> int:
    mouth = Mouth()
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        work = Work(Path(folder), mouth)
        mouth.say({"hello": version("chaoskit")})

        def hear() -> None:
            try:
                work.hear(iter(sys.stdin.readline, ""))
                time.sleep(END_WITHIN_S)
            except (OSError, ValueError, KeyError, TypeError) as error:
                mouth.say({"left": 1, "log": f"what was ordered cannot be done: {type(error).__name__}: {error}"})
            finally:
                os._exit(1)  # Nobody is left to read what would still be said, or nothing can be done.

        threading.Thread(target=hear, name="orders", daemon=True).start()
        return work.report()


def _hold(seconds: float) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    time.sleep(seconds)
    return 0


def main(argv: list[str]) -> int:
    match argv[1:]:
        case ["hold", seconds]:
            return _hold(float(seconds))
        case ["work"]:
            return _work()
    sys.exit("usage: python -m chaoskit.load.pod hold SECONDS | work")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
