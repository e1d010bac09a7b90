"""The Load port over real processes, against a plain web server."""

from __future__ import annotations

import os
import queue
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chaoskit.adapters.locust import LocustLoad, check_locustfile
from chaoskit.errors import PortError, UsageError
from chaoskit.model import LoadStatus
from chaoskit.ports import LoadPlan
from chaoskit.samples import Stream
from chaoskit.spec import SHOPPER_FILE

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0
LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task

class Visitor(FastHttpUser):
    wait_time = constant_throughput(20)
    @task
    def page(self):
        self.client.get("/")
"""


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not in the tests' output."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Run:
    """A load, and the statuses that it posts."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.load = LocustLoad()
        self.posted: queue.Queue[LoadStatus] = queue.Queue()

    def start(self, load: LocustLoad | None = None, *, source: str | None = LOCUSTFILE, **changes: object) -> None:
        self.load = load or self.load
        locustfile = self.folder / "locustfile.py" if source is not None else None
        if locustfile is not None:
            locustfile.write_text(textwrap.dedent(source))
        plan = {
            "target": self.url,
            "folder": self.folder / "load",
            "locustfile": locustfile,
            "users": 2,
            "spawn_rate": 100.0,
            "pulse_path": "/",
            "pulse_period_s": 0.02,
            "pulse_timeout_s": 1.0,
            "stop_after_s": 60.0,
            "experiment": "a test",
            "run": "r1",
            "seed": 1,
        }
        self.load.start(LoadPlan(**(plan | changes)), time.monotonic_ns(), self.posted.put)

    def wait_for(self, condition: Callable[[LoadStatus], bool]) -> LoadStatus:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status = self.posted.get(timeout=max(0.01, deadline - time.monotonic()))
            if condition(status):
                return status

    def pid(self, who: str) -> int:
        return self.load._processes[who]._popen.pid


@pytest.fixture
def run(tmp_path, url) -> Iterator[Run]:
    run = Run(tmp_path, url)
    yield run
    run.load.stop()


def test_starts_both_passes_on_what_they_say_and_ends_them(run):
    run.start()
    run.wait_for(lambda status: status.who == "locust" and status.sent >= 20)
    assert run.load.lost() == ""
    before = run.load.recent()
    told = time.monotonic()
    run.load.stop()
    assert time.monotonic() - told < 3.5
    last = {status.who: status for status in list(run.posted.queue) if status.done}
    assert set(last) == {"locust", "pulse"}
    samples = [*before, *run.load.recent()]
    assert len([s for s in samples if s.stream is Stream.LOCUST]) == last["locust"].sent
    assert len([s for s in samples if s.stream is not Stream.LOCUST]) == last["pulse"].sent + last["pulse"].not_sent
    assert run.load.recent() == []
    assert run.load.lost() == ""
    run.load.stop()


def test_the_pulse_works_alone(run):
    run.start(source=None)
    run.wait_for(lambda status: status.who == "pulse" and status.ok >= 20)
    run.load.stop()
    assert {s.stream for s in run.load.recent()} == {Stream.FRESH, Stream.KEPT}


@pytest.mark.parametrize("who", ["locust", "pulse"])
def test_a_process_that_dies_is_missed_within_a_second(run, who):
    run.start()
    os.kill(run.pid(who), signal.SIGKILL)
    died = time.monotonic()
    status = run.wait_for(lambda status: bool(status.error))
    assert time.monotonic() - died < 1
    assert (status.who, status.done) == (who, True)
    assert f"{who} ended unexpectedly" in run.load.lost()
    run.load.stop()
    assert f"{who} ended unexpectedly" in run.load.lost()


def test_silence_while_nobody_listened_accuses_nobody(run):
    run.start(source=None)
    pid = run.pid("pulse")
    run.load.lost()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)  # As when chaoskit itself is not given the processor: nobody looks, nobody reads.
    assert run.load.lost() == ""
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.4)
    assert run.load.lost() == ""
    run.load.stop()


def test_a_process_that_hangs_is_missed_and_does_not_hold_up_the_end(run):
    run.start(source=None)
    pid = run.pid("pulse")
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_S
    while "has said nothing" not in run.load.lost():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    told = time.monotonic()
    run.load.stop()
    assert time.monotonic() - told < 4
    assert not Path(f"/proc/{pid}").exists()


def test_a_load_that_ends_by_itself_is_missed(run):
    run.start(source=None, stop_after_s=2.0)
    run.wait_for(lambda status: bool(status.error))
    assert "ended by itself" in run.load.lost()


def test_a_locustfile_that_does_not_import_is_named_by_line(run, tmp_path):
    with pytest.raises(UsageError) as caught:
        run.start(source="import locust\nlocust.User.nothing\n")
    assert caught.value.where == f"{tmp_path / 'locustfile.py'}:2"
    assert f"--list -f {tmp_path / 'locustfile.py'}" in caught.value.fix
    assert "AttributeError" in caught.value.why


def test_a_process_that_cannot_be_started_is_an_error(run):
    with pytest.raises(PortError, match="could not be started"):
        run.start(LocustLoad(lambda argv: ["/no/such/program", *argv]))
    with pytest.raises(PortError) as caught:
        run.start(LocustLoad(lambda argv: ["sh", "-c", "echo no such namespace >&2; exit 1"]))
    assert "no such namespace" in str(caught.value)


def test_a_metrics_address_that_cannot_be_had_is_an_error(run):
    with pytest.raises(PortError, match="metrics cannot be served"):
        run.start(source=None, metrics_address="203.0.113.1:9464")


def test_commands_run_where_and_with_what_they_are_told_to(run, tmp_path):
    wrapped: list[list[str]] = []

    def inside(argv):
        wrapped.append(list(argv))
        return ["env", "WHERE=inside", *argv]

    source = f"import os\nprint('told', os.environ['WHERE'], os.environ['SHOP_RATE'])\n{LOCUSTFILE}"
    run.start(LocustLoad(inside), source=source, environment={"SHOP_RATE": "7"})
    assert [argv[0] for argv in wrapped] == [sys.executable] * 2
    assert "told inside 7" in (tmp_path / "load" / "locust.log").read_text()


def test_checking_a_locustfile_names_its_users():
    assert check_locustfile(SHOPPER_FILE) == ("Shopper",)


def test_checking_a_locustfile_says_what_is_wrong_and_where(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import locust\nimport no_such_module\n")
    with pytest.raises(UsageError) as caught:
        check_locustfile(file)
    assert caught.value.where == f"{file}:2"
    assert "no_such_module" in caught.value.why


@pytest.mark.parametrize(("name", "what"), [("none.py", "there is no such locustfile"), (".", "is a folder")])
def test_a_locustfile_that_is_not_there_says_where_it_was_looked_for_and_what_to_do(tmp_path, name, what):
    with pytest.raises(UsageError, match=what) as caught:
        check_locustfile(tmp_path / name)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / name}: ")
    assert "relative to the experiment's own file" in told
    assert "next: correct load.locustfile" in told
    assert "no message" not in told
