"""The load as pods run it, over pipes instead of pods/exec: a real Locust master with its workers, and a pulse."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_locust import LOCUSTFILE, Run, url  # noqa: F401  # a fixture

from chaoskit import record
from chaoskit.adapters.locust import LocustLoad
from chaoskit.errors import PortError, UsageError
from chaoskit.samples import Outcome, read_samples

pytestmark = pytest.mark.slow
BESIDE = "PATH = '/'\n"
IMPORTING = LOCUSTFILE.replace('self.client.get("/")', "self.client.get(PATH)").replace(
    "from locust", "from beside import PATH\nfrom locust", 1
)


class Pipe:
    """The command of a pod, run here."""

    def __init__(self, argv: list[str]) -> None:
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._unread = b""
        self.over = ""

    def say(self, line: str) -> None:
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except OSError as error:
            self.over = str(error)

    def hear(self, within_s: float) -> list[str]:
        if select.select([self.process.stdout], [], [], within_s)[0]:
            more = os.read(self.process.stdout.fileno(), 65536)
            self.over = self.over or ("" if more else "the pipe ended")
            self._unread += more
        *lines, self._unread = self._unread.split(b"\n")
        return [line.decode() for line in lines]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


class Pods:
    """As many as are talked with."""

    def __init__(self) -> None:
        self.talks: dict[str, Pipe] = {}
        self.argv = [sys.executable, "-m", "chaoskit.load.pod", "work"]

    def talk(self, pod: str, namespace: str) -> Pipe:
        self.talks[pod] = Pipe(self.argv)
        return self.talks[pod]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def pods() -> Iterator[Pods]:
    pods = Pods()
    yield pods
    for pipe in pods.talks.values():
        if pipe.process.poll() is None:
            pipe.process.kill()


@pytest.fixture
def run(tmp_path, url, pods) -> Iterator[Run]:  # noqa: F811
    run = Run(tmp_path, url)
    run.load = LocustLoad(talk=pods.talk)
    yield run
    run.load.stop()


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def start(run: Run, workers: int, **changes: object) -> None:
    users = ["locust", *(f"locust-{n + 1}" for n in range(workers))]
    changes = {"users": 4, "master_host": "127.0.0.1", "master_port": free_port(), "namespace": "shop", **changes}
    run.start(pods={who: f"pod-{who}" for who in ("pulse", *users)}, **changes)


def test_a_master_spreads_its_users_over_the_workers_and_all_is_recorded_here(run, tmp_path):
    (tmp_path / "beside.py").write_text(BESIDE)
    start(run, workers=2, source=IMPORTING)
    status = run.wait_for(lambda status: status.who == "locust" and status.users == 4 and status.ok >= 40)
    assert run.wait_for(lambda status: status.who == "pulse" and status.ok >= 40).not_sent == 0
    assert 0 < status.clock_s < 0.1
    assert run.load.lost() == ""
    run.load.stop()
    assert run.load.lost() == ""

    folder = run.folder / "load"
    by_worker = [list(read_samples(folder / f"locust-{n}")) for n in (1, 2)]
    assert all(len(samples) >= 10 for samples in by_worker)
    assert not list(read_samples(folder / "locust"))
    every = [sample for samples in by_worker for sample in samples]
    assert {sample.outcome for sample in every} == {Outcome.OK}
    assert {sample.name for sample in every} == {"GET /"}
    assert len(list(record._locust(folder))) == len(every)
    now = (time.monotonic_ns() - run.load._origin_ns) / 1e9
    assert all(0 < sample.sent <= sample.end < now for sample in every)


def test_more_users_are_spread_as_well(run):
    start(run, workers=2)
    run.wait_for(lambda status: status.who == "locust" and status.users == 4)
    run.load.set_users(10, 100.0)
    run.wait_for(lambda status: status.who == "locust" and status.users == 10)


def test_a_worker_that_dies_is_noticed_within_a_second_and_what_it_lost_is_said(run, pods):
    start(run, workers=2)
    recording, end = run.folder / "load" / "locust-2", time.monotonic() + 30.0
    while not any(read_samples(recording)) and time.monotonic() < end:
        time.sleep(0.05)
    pods.talks["pod-locust-2"].process.kill()
    killed = time.monotonic()
    while not (lost := run.load.lost()) and time.monotonic() < killed + 5.0:
        time.sleep(0.01)
    assert time.monotonic() - killed < 1.0
    assert lost.startswith("locust-2 in pod/pod-locust-2 is gone: ")
    assert "what it sent after" in lost


def test_one_that_is_frozen_is_noticed_within_a_second(run, pods):
    start(run, workers=1)
    run.wait_for(lambda status: status.who == "locust" and status.ok >= 20)
    process = pods.talks["pod-pulse"].process
    process.send_signal(19)
    frozen = time.monotonic()
    while not (lost := run.load.lost()) and time.monotonic() < frozen + 5.0:
        time.sleep(0.01)
    took = time.monotonic() - frozen
    process.send_signal(18)
    assert took < 1.0
    assert "pulse in pod/pod-pulse has said nothing for" in lost


def test_whoever_ordered_the_load_is_outlived_by_none_of_it(pods):
    pipe = pods.talk("pod", "shop")
    config = {"url": "http://127.0.0.1:1/", "origin_ns": 0, "stop_after_s": 60.0}
    order = {"module": "pulse", "config": config, "files": {}, "environment": {}}
    pipe.say(json.dumps({"begin": order}))
    deadline = time.monotonic() + 20.0
    while not any('"t"' in line for line in pipe.hear(1.0)):
        assert time.monotonic() < deadline
    (child,) = children(pipe.process.pid)
    pipe.process.stdin.close()
    pipe.process.stdout.close()
    pipe.process.wait(10)
    assert not Path(f"/proc/{child}").exists()


def test_a_locustfile_that_does_not_import_there_is_refused_with_its_line_here(run):
    with pytest.raises(UsageError) as error:
        start(run, workers=1, source="from locust import task\nimport nowhere_to_be_found\n")
    assert error.value.where == f"{run.folder / 'locustfile.py'}:2"
    assert "nowhere_to_be_found" in error.value.why


def test_an_image_with_another_chaoskit_in_it_is_refused(run, pods):
    pods.argv = [sys.executable, "-c", "import json, sys; print(json.dumps({'hello': '0.0.1'}), flush=True); input()"]
    with pytest.raises(PortError, match=r"the pod's image has chaoskit 0\.0\.1 in it, and this is"):
        start(run, workers=1)


@pytest.mark.parametrize(
    "said", ['{"records": "AAAA", "names": []}', '{"left": "never"}', '{"pong": {}, "ns": 0}', "}{"]
)
def test_a_pod_that_says_what_nobody_understands_is_no_load(run, pods, said):
    talks = f"import time; print({said!r}, flush=True); time.sleep(1)"
    pods.argv = [sys.executable, "-c", talks]
    with pytest.raises(PortError, match="ended before it had begun"):
        start(run, workers=1)
    assert all(pipe.process.poll() is not None for pipe in pods.talks.values())
