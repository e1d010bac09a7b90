"""chaoskit as users start it, on the embedded cluster, killed by SIGKILL, healed by `chaoskit heal`, and compared.

Half of the runs that a kubeconfig alone allows go through an unkind API server (unkind.py), and so does their healing.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from chaoskit import journal
from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.model import MANAGED_BY, OPT_IN_LABEL, Raw
from chaoskit.objects import namespace
from chaoskit.record import RUN
from chaoskit.simulation.snapshot import Snapshot, differences, snapshot
from sweep.unkind import unkind

NAME = NAMESPACE = "kill-sweep"
APP = Path(__file__).with_name("web.yaml")
KINDS = ("node", "namespace", "deployment", "service", "poddisruptionbudget", "configmap")
KEPT_BY_KUBERNETES = "kube-root-ca.crt"
OWN, ANY = False, True
STEPS: Sequence[tuple[str, bool, str]] = (
    ("cordon_node", ANY, "{name: node2}"),
    ("drain_node", ANY, "{of: deployment/web, within: 5s}"),
    ("scale", ANY, "{of: deployment/web, to: 3}"),
    ("roll_out", ANY, "{of: deployment/web, env: {VERSION: '2'}}"),
    ("switch_service", ANY, "{of: service/web, to: {app: other}}"),
    ("recreate_service", ANY, "{of: service/web}"),
    ("kill_pod", ANY, "{of: deployment/web, mode: now}"),
    ("freeze_node", OWN, "{name: node3}"),
    ("unplug_node", OWN, "{name: node3}"),
    ("power_off_node", OWN, "{name: node3}"),
    ("kill_container", OWN, "{of: deployment/web}"),
    ("freeze_server", OWN, "{of: kube-scheduler, for: 30s}"),
    ("kill_server", OWN, "{of: kube-scheduler}"),
)
"""Action, whether a kubeconfig alone allows it, and its keys."""
EXPERIMENT = """\
name: kill sweep
app: {{namespace: {namespace}, service: web}}
load: none
steps: [{{name: a step, {verb}: {keys}, watch: 4s}}]
expect: [{{reached: {{of: a step}}}}]
safety: {{platform: {platform}, at_most: 100%}}
"""
HEALERS = ("folder", "cluster", "folder", "cluster", "janitor")
MOST_HEALS = 4
AS_BEFORE_WITHIN_S = 120.0
READY_WITHIN_S = 90.0
LOOK_S = 0.002


@dataclass(frozen=True)
class Killed:
    """One run and what was left of it."""

    part: str
    number: int
    action: str
    unkind: bool
    killed: str
    """When; empty: it had ended before."""
    healer: str
    left_by_kill: tuple[str, ...]
    """What differed right after the kill, before anything was healed."""
    left: tuple[str, ...]
    """What differs in the end."""
    seconds: float


@contextlib.contextmanager
def cluster() -> Iterator[tuple[EmbeddedCluster, KubeCluster]]:
    """A cluster for as long as this takes, with the app on it."""
    own = embedded.find(NAME) or embedded.up(NAME, say=print)
    api = KubeCluster.connect(own.kubeconfig, None)
    try:
        _deploy(api)
        yield own, api
    finally:
        api.close()
        embedded.down(NAME)


def sweep(numbers: Sequence[int]) -> Iterator[Killed]:
    with cluster() as (own, api), tempfile.TemporaryDirectory(prefix="kill-sweep-") as made:
        for number in numbers:
            with unkind(own.kubeconfig, number) as (kubeconfig, _met):
                yield _Sweeper(own, api, kubeconfig, Path(made) / str(number), number).run()


class _Sweeper:
    """One kill."""

    def __init__(self, own: EmbeddedCluster, api: KubeCluster, kubeconfig: Path, home: Path, number: int) -> None:
        self._own, self._api, self._home, self._number = own, api, home, number
        self._rng = random.Random(f"kill sweep {number}")  # noqa: S311 - repeatable
        self._verb, anywhere, self._keys = STEPS[number % len(STEPS)]
        self._unkind = anywhere and self._rng.random() < 0.5
        self._direct = ["--cluster", own.name]
        self._where = ["--kubeconfig", str(kubeconfig), "--context", "unkind"] if self._unkind else self._direct
        home.mkdir(parents=True)

    def run(self) -> Killed:
        began, before = time.monotonic(), state(self._api)
        killed = self._kill()
        left_by_kill = differences(before, state(self._api)) if killed else []
        healer = HEALERS[self._number % len(HEALERS)] if not self._unkind else HEALERS[self._number % 2]
        if killed:
            self._heal(healer)
        left = _await_as_before(self._api, before)
        if left:  # It counts; the next run must not stumble over it.
            self._heal("cluster")
        took = time.monotonic() - began
        return Killed(
            "chaoskit", self._number, self._verb, self._unkind, killed, healer, tuple(left_by_kill), tuple(left), took
        )

    def _kill(self) -> str:
        """Kills it at a line of its journal, or some time after the journal's first; says when."""
        line = self._rng.randint(1, 11) if self._rng.random() < 0.6 else 0
        after_s = 0.0 if line else self._rng.uniform(0.0, 4.0)
        text = EXPERIMENT.format(
            namespace=NAMESPACE, verb=self._verb, keys=self._keys, platform=str("server" in self._verb).lower()
        )
        (self._home / "experiment.yaml").write_text(text)
        with (self._home / "said").open("wb") as said:
            argv = [sys.executable, "-m", "chaoskit", "run", "experiment.yaml", "--out", "run", "--yes", *self._where]
            process = subprocess.Popen(argv, cwd=self._home, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        with process:
            path = self._home / "run" / journal.FILE
            while process.poll() is None and _lines(path) < max(line, 1):
                time.sleep(LOOK_S)
            time.sleep(after_s)
            ended = process.poll() is not None
            process.kill()
        if ended:
            print((self._home / "said").read_text()[-600:], flush=True)
        return "" if ended else f"after line {line}" if line else f"{after_s:.2f} s after line 1"

    def _heal(self, healer: str) -> None:
        """By people: again until it works, through the API that they have, and at last through a good one. A janitor
        needs nobody."""
        if healer == "janitor":
            return
        told = self._home / "run" / RUN
        # A run that was refused, or killed very early, has no name that anybody could give: all that have ended, then.
        name = json.loads(told.read_text())["run"] if told.exists() else ""
        about = ["run" if healer == "folder" else name] if name else []
        for attempt in range(MOST_HEALS):
            where = self._direct if attempt == MOST_HEALS - 1 else self._where
            argv = [sys.executable, "-m", "chaoskit", "heal", *about, *where]
            done = subprocess.run(argv, cwd=self._home, capture_output=True, text=True, timeout=200, check=False)
            if done.returncode == 0:
                return


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _deploy(api: KubeCluster) -> None:
    api.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {OPT_IN_LABEL: "true"}}}
    )
    for manifest in yaml.safe_load_all(APP.read_text()):
        api.apply(manifest, NAMESPACE)
    deadline = time.monotonic() + READY_WITHIN_S
    while api.get("deployment", "web", NAMESPACE)["status"].get("readyReplicas", 0) < 2:
        if time.monotonic() > deadline:
            raise SystemExit(f"the app was not ready within {READY_WITHIN_S:.0f} s")
        time.sleep(0.5)


def state(api: KubeCluster) -> Snapshot:
    """Nodes, namespaces, what is in the app's namespace, and the Leases of runs."""

    def read(kind: str) -> Sequence[Raw]:
        if kind == "lease":
            return api.list(kind, "", f"{MANAGED_BY}=chaoskit")
        found = api.list(kind, "" if kind in ("node", "namespace") else NAMESPACE)
        return [o for o in found if namespace(o) == "" or o["metadata"]["name"] != KEPT_BY_KUBERNETES]

    return snapshot(read, (*KINDS, "lease"))


def _await_as_before(api: KubeCluster, before: Snapshot) -> list[str]:
    deadline = time.monotonic() + AS_BEFORE_WITHIN_S
    while left := differences(before, state(api)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return left
