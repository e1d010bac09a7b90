"""Commands of chaoskit's in a process of their own, as a user starts them, and what runs leave on a cluster."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from chaoskit import journal
from chaoskit.adapters.kube import KubeCluster
from chaoskit.journal import Entry
from chaoskit.model import MANAGED_BY, UNDO_ANNOTATION
from chaoskit.record import RUN

T = TypeVar("T")
LOOK_EVERY_S = 0.05


def until(what: str, look: Callable[[], T], within_s: float = 60.0) -> T:
    """The first true answer of `look`, which is asked again and again until the deadline."""
    deadline = time.monotonic() + within_s
    while not (answer := look()):
        assert time.monotonic() < deadline, f"{what}: not within {within_s:.0f} s"
        time.sleep(LOOK_EVERY_S)
    return answer


def chaoskit(folder: Path, *words: str, within_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """A command, waited for."""
    argv = [sys.executable, "-m", "chaoskit", *words]
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=within_s, check=False
    )


@dataclass(frozen=True)
class Started:
    """A `chaoskit run` that is under way. Its folder is `run`, in the folder that it was started in."""

    home: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def begin(cls, home: Path, experiment: str, *words: str) -> Started:
        (home / "experiment.yaml").write_text(experiment)
        argv = [sys.executable, "-m", "chaoskit", "run", "experiment.yaml", "--out", "run", *words]
        with (home / "said").open("wb") as said:
            # A session of its own, as a terminal's job has, so that Ctrl-C can be what it is: a signal to all of it.
            return cls(home, subprocess.Popen(argv, cwd=home, stdout=said, stderr=said, start_new_session=True))

    @property
    def run(self) -> Path:
        return self.home / "run"

    def said(self) -> str:
        return (self.home / "said").read_text()

    def entries(self) -> tuple[Entry, ...]:
        path = self.run / journal.FILE
        return journal.read(path) if path.exists() else ()

    def await_entry(self, kind: str, within_s: float = 60.0, **data: object) -> Entry:
        """The journal's first entry that is so."""

        def look() -> Entry | None:
            found = (e for e in self.entries() if e.kind == kind and data.items() <= e.data.items())
            if entry := next(found, None):
                return entry
            assert self.process.poll() is None, self.said()
            return None

        try:
            return until(f"{kind} {data}", look, within_s)
        except BaseException:
            self.kill()
            raise

    def interrupt(self, number: signal.Signals) -> float:
        """Signals all of its process group, as a terminal does; returns when, by the wall clock."""
        at = time.time()
        os.killpg(self.process.pid, number)
        return at

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(self, within_s: float = 120.0) -> int:
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise AssertionError(f"still running after {within_s:.0f} s: {self.said()}") from error

    def unix(self, entry: Entry) -> float:
        """When an entry was written, by the wall clock."""
        return float(json.loads((self.run / RUN).read_text())["origin_unix"]) + entry.at


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that were told of a folder, as a run's load is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It has just ended.
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line:
                found.append(line)
    return found


def residue(cluster: KubeCluster) -> list[str]:
    """What runs may have left: cordoned or annotated nodes, and namespaces and Leases of chaoskit's."""
    nodes = [
        str(node["metadata"]["name"])
        for node in cluster.list("node")
        if node["spec"].get("unschedulable")
        or any(key.startswith(UNDO_ANNOTATION) for key in node["metadata"].get("annotations") or {})
    ]
    ours = [o for kind in ("namespace", "lease") for o in cluster.list(kind, selector=f"{MANAGED_BY}=chaoskit")]
    return nodes + [str(o["metadata"]["name"]) for o in ours]


def kubeconfig_of(api: KubeCluster, account: str, namespace: str, like: Path, path: Path) -> Path:
    """Writes a kubeconfig of a ServiceAccount: `like` another one, but for its user."""
    name = f"{account}-token"
    about = {"name": name, "annotations": {"kubernetes.io/service-account.name": account}}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": about}
    api.apply(secret, namespace)
    token = until("the token", lambda: api.get("secret", name, namespace).get("data", {}).get("token"))
    content = yaml.safe_load(like.read_text())
    content["users"][0]["user"] = {"token": base64.b64decode(token).decode()}
    path.write_text(yaml.safe_dump(content))
    return path
