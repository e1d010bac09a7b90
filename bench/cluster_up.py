"""How long the embedded cluster takes to start, until the reference app on it answers, and how much memory it takes.

    python bench/cluster_up.py [--starts 10]

Each start is a command of its own, timed from before its process is there. The app's manifests are applied as soon as
the API server answers, so that the app starts beside the platform's own pods. "App answers" is a request through the
load balancer to `front`, which asks `back` by its DNS name: it needs the nodes' networks and DNS from a pod. A request
is given up after a quarter of a second, for one that came before the way was open is never answered.
Writes docs/bench/cluster_up.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaoskit.cluster import asking, embedded
from chaoskit.cluster.state import Folder

TABLE = Path(__file__).parent.parent / "docs" / "bench" / "cluster_up.md"
MANIFESTS = Path(embedded.__file__).parent.parent / "refapp" / "manifests"
RENDERED = Path(tempfile.gettempdir()) / "chaoskit-bench-app.yaml"
NAME = "bench"
NAMESPACE = "shop"
# The first address of the load balancer's range: the only LoadBalancer Service of a fresh cluster gets it.
FRONT = "10.89.100.1"
APP_DEADLINE_S = 60.0
ANSWER_S = 0.25
SETTLED_S = 30.0
LIMIT_S, MEMORY_LIMIT_MB = 9.0, 850


@dataclass(frozen=True)
class Start:
    """Seconds from before the command's process was there."""

    load_before: float
    phases: dict[str, float] = field(default_factory=dict)
    down_s: float = 0.0

    @property
    def all_s(self) -> float:
        return max(self.phases.values())


def one(begun: float) -> None:
    """A start, in a process of its own; prints its phases as JSON."""
    phases: dict[str, float] = {}
    applied: list[threading.Thread] = []

    def note(name: str) -> None:
        phases[name] = time.monotonic() - begun

    def say(line: str) -> None:
        name = line.split(" s  ", 1)[-1].strip()
        note(name)
        if name == "API server":
            applied.append(threading.Thread(target=deploy))
            applied[0].start()

    cluster = embedded.up(NAME, say=say)
    note("up has returned")
    applied[0].join()
    await_answer()
    note("app answers")
    print(json.dumps({"phases": phases, "pid": cluster.pid}))


def deploy() -> None:
    kubectl("apply", "--validate=false", "-n", NAMESPACE, "-f", str(RENDERED))


def render() -> None:
    """The namespace and the app's manifests in one file, as `kubectl kustomize` puts them together."""
    namespace = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n"
    RENDERED.write_text(namespace + kubectl("kustomize", str(MANIFESTS)))


def kubectl(*arguments: str) -> str:
    environment = {**os.environ, "KUBECONFIG": str(Folder.of(NAME).kubeconfig)}
    argv = [f"{embedded.toolset.ensure(print).bin}/kubectl", *arguments]
    return subprocess.run(argv, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def await_answer() -> None:
    """Through a port that leads to the load balancer's address, until `front` can serve what it asks `back` for."""
    with asking.listen() as listener:
        port = listener.getsockname()[1]
        asking.call(Folder.of(NAME).control, {"do": "expose", "address": FRONT, "port": 80}, (listener.fileno(),))
    end = time.monotonic() + APP_DEADLINE_S
    while not answers(port):
        if time.monotonic() > end:
            sys.exit(f"the app did not answer within {APP_DEADLINE_S:.0f} s")
        time.sleep(0.05)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/items")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start() -> Start:
    load = os.getloadavg()[0]
    command = [sys.executable, __file__, "--one", repr(time.monotonic())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        phases: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["phases"]
    finally:
        begun = time.monotonic()
        embedded.down(NAME)
        down_s = time.monotonic() - begun
    return Start(load, phases, down_s)


def memory_mb() -> dict[str, float]:
    """What an idle cluster takes, by program, as the sum of proportional set sizes, in megabytes of 10^6 bytes."""
    cluster = embedded.up(NAME, say=lambda _: None)
    try:
        time.sleep(SETTLED_S)
        return sizes(descendants(cluster.pid) | {parent_of(cluster.pid)})
    finally:
        embedded.down(NAME)


def sizes(processes: set[int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for process in processes:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        kilobytes = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        name = program(process)
        found[name] = found.get(name, 0.0) + kilobytes * 1024 / 1e6
    return found


def program(process: int) -> str:
    argv = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    name = Path(argv[0]).name
    return (
        "the supervisor" if name.startswith("python") and "-m" in argv else "nodes' init" if "python" in name else name
    )


def descendants(top: int) -> set[int]:
    parents = {int(path.name): parent_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    found = {top}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def parent_of(process: int) -> int:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    return int(stat[stat.rindex(")") + 2 :].split()[1])


def table(starts: list[Start], memory: dict[str, float]) -> str:
    # What only one start met (a store that had to be made anew) is no phase of a start.
    names = [name for name in starts[0].phases if all(name in start.phases for start in starts)]
    medians = {name: statistics.median(start.phases[name] for start in starts) for name in names}
    whole = statistics.median(start.all_s for start in starts)
    total = sum(memory.values())
    lines = [
        "# How long a cluster takes to start, and what it takes",
        "",
        f"`python bench/cluster_up.py`: {len(starts)} starts of three nodes with everything cached, timed from before",
        f"the command's process is there. {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"kernel {platform.release()}, {time.strftime('%Y-%m-%d')}. Seconds.",
        "The load average is the machine's just before the start: each program that others run then takes its share.",
        "",
        f"**Median until everything answers: {whole:.1f} s.** The limit is {LIMIT_S:.0f} s. The app's manifests are",
        "applied when the API server answers; the app answers once `front` serves, through the load balancer, what it",
        "asked `back` for by name.",
        "",
        f"| start | load | {' | '.join(names)} | all | down |",
        f"|---|---|{'---|' * (len(names) + 2)}",
    ]
    lines += [
        f"| {number} | {start.load_before:.1f} | {' | '.join(f'{start.phases[name]:.1f}' for name in names)} "
        f"| {start.all_s:.1f} | {start.down_s:.1f} |"
        for number, start in enumerate(starts, 1)
    ]
    down = statistics.median(start.down_s for start in starts)
    lines.append(f"| median | | {' | '.join(f'{medians[name]:.1f}' for name in names)} | {whole:.1f} | {down:.1f} |")
    lines += [
        "",
        f"**Idle memory, without the app: {total:.0f} MB** (sum of PSS, {SETTLED_S:.0f} s after the start).",
        f"The limit is {MEMORY_LIMIT_MB} MB.",
        "",
        "| program | MB |",
        "|---|---|",
        *(f"| {name} | {size:.0f} |" for name, size in sorted(memory.items(), key=lambda item: -item[1])),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--starts", type=int, default=10)
    options.add_argument("--one", type=float, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one is not None:
        one(chosen.one)
        return
    render()
    embedded.seed.ensure(embedded.toolset.ensure(print), "accelerated", 3, print)
    starts = []
    for number in range(1, chosen.starts + 1):
        starts.append(start())
        print(f"{number:2}  load {starts[-1].load_before:.1f}  {json.dumps(asdict(starts[-1])['phases'])}", flush=True)
    text = table(starts, memory_mb())
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
