"""The same kill for chaostoolkit with chaostoolkit-kubernetes, in a virtual environment of its own.

It offers no command that puts back what a killed run left: what is there twenty seconds later is what stays. (To run
the experiment again would cordon the node again, and then uncordon it.)
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.errors import PortError
from chaoskit.simulation.snapshot import differences
from sweep.real import Killed, cluster, state

PACKAGES = ("chaostoolkit", "chaostoolkit-kubernetes")
LIBRARY = "kubernetes<34"
"""It asks for no version of the library, and with 37 its actions fail."""
VENV = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaoskit" / "bench" / "chaostoolkit"
NODE = "node2"
STAYS_AFTER_S = 20.0
PAUSE_S = 4
STARTED_S = 120.0
LOOK_S = 0.05
ARGUMENTS = {
    "cordon_node": {"name": NODE},
    "drain_nodes": {"name": NODE, "delete_pods_with_local_storage": True, "timeout": 30},
}


def install() -> str:
    """Installs it once; says which versions."""
    pip = VENV / "bin" / "pip"
    if not (VENV / "bin" / "chaos").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        subprocess.run([str(pip), "install", "--quiet", "--disable-pip-version-check", *PACKAGES, LIBRARY], check=True)
    said = subprocess.run([str(pip), "list", "--format=json"], capture_output=True, text=True, check=True).stdout
    versions = {each["name"]: each["version"] for each in json.loads(said)}
    return ", ".join(f"{name} {versions[name]}" for name in PACKAGES)


def sweep(numbers: Sequence[int]) -> Iterator[Killed]:
    install()
    with cluster() as (own, api), tempfile.TemporaryDirectory(prefix="chaostoolkit-") as made:
        for number in numbers:
            folder = Path(made) / str(number)
            folder.mkdir()
            yield _one(own, api, folder, number)


def _one(own: EmbeddedCluster, api: KubeCluster, folder: Path, number: int) -> Killed:
    rng = random.Random(f"chaostoolkit {number}")  # noqa: S311 - repeatable
    verb = sorted(ARGUMENTS)[number % len(ARGUMENTS)]
    began, before = time.monotonic(), state(api)
    (folder / "experiment.json").write_text(json.dumps(experiment(verb)))
    killed = _kill(own, folder, rng.uniform(0.0, PAUSE_S))
    time.sleep(STAYS_AFTER_S if killed else 0.0)
    left = differences(before, state(api))
    _put_back(api, before)
    return Killed(
        "chaostoolkit", number, verb, False, killed, "nobody", tuple(left), tuple(left), time.monotonic() - began
    )


def experiment(verb: str) -> dict[str, object]:
    def step(name: str, arguments: dict[str, object], **more: object) -> dict[str, object]:
        provider = {"type": "python", "module": "chaosk8s.node.actions", "func": name, "arguments": arguments}
        return {"type": "action", "name": name, "provider": provider, **more}

    return {
        "title": "kill sweep",
        "description": f"{verb}, and back",
        "method": [step(verb, ARGUMENTS[verb], pauses={"after": PAUSE_S})],
        "rollbacks": [step("uncordon_node", {"name": NODE})],
    }


def _kill(own: EmbeddedCluster, folder: Path, after_s: float) -> str:
    """Some time after the run says that its action begins."""
    log = folder / "log"
    argv = [str(VENV / "bin" / "chaos"), "--no-version-check", "--log-file", str(log), "run", "experiment.json"]
    argv += ["--rollback-strategy", "always"]
    environment = {**os.environ, "KUBECONFIG": str(own.kubeconfig), "HOME": str(folder)}
    with subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + STARTED_S
        while process.poll() is None and time.monotonic() < deadline and "Action:" not in _text(log):
            time.sleep(LOOK_S)
        time.sleep(after_s)
        ended = process.poll() is not None
        process.kill()
    if failed := [line for line in _text(log).splitlines() if "failed:" in line]:
        print(f"its action failed, so this counts for nothing: {failed[0][:400]}", flush=True)
    return "" if ended or failed else f"{after_s:.2f} s after its action began"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _put_back(api: KubeCluster, before: object) -> None:
    """For the next one: by hand, as its user would have to."""
    try:
        api.patch("node", NODE, {"spec": {"unschedulable": None}})
    except PortError as error:
        raise SystemExit(f"{NODE} could not be uncordoned: {error}") from error
    deadline = time.monotonic() + 60.0
    while differences(before, state(api)) and time.monotonic() < deadline:  # type: ignore[arg-type]
        time.sleep(0.5)
