"""Locust's agent as a real process, with locustfiles as people write them."""

from __future__ import annotations

import collections
import textwrap
import time
from statistics import median

import pytest

from chaoskit.samples import Outcome, Stream

pytestmark = pytest.mark.slow

USERS = """
    from locust import FastHttpUser, HttpUser, constant, constant_throughput, task
"""
NOBODY_LISTENS = 9
"""The discard port: nothing listens there on loopback."""
ONE_USER = (
    USERS
    + """
    class Visitor(FastHttpUser):
        wait_time = constant_throughput(20)
        @task
        def page(self):
            self.client.get("/")
"""
)


@pytest.fixture
def agent(start, server, tmp_path):
    def begin(source: str, **config):
        file = tmp_path / "locustfile.py"
        file.write_text(textwrap.dedent(source))
        defaults = {"locustfile": str(file), "host": server.url, "users": 2, "spawn_rate": 100, "stop_after_s": 30}
        return start("agent", **(defaults | config))

    return begin


def test_records_every_request(agent, server):
    process = agent(ONE_USER)
    line = process.wait_for(lambda line: line["sent"] >= 20)
    assert len(process.samples()) >= line["sent"]  # Already now, should it be killed.
    last = process.stop()
    assert process.wait() == 0
    samples = process.samples()
    assert len(samples) == last["sent"] == last["ok"] == len(server.requests)
    assert {(s.stream, s.name, s.status, s.answerer) for s in samples} == {
        (Stream.LOCUST, "GET /", 200, "pod-1|2|blue")
    }
    assert all(0 < s.intended <= s.sent < s.end < last["t"] for s in samples)
    assert last["users"] == 0


def test_a_failure_that_the_locustfile_finds_is_one(agent):
    process = agent(
        USERS
        + """
    class Visitor(FastHttpUser):
        wait_time = constant(0.02)
        @task
        def refuse(self):
            with self.client.get("/", name="refused", catch_response=True) as answer:
                answer.failure("not what I asked for")
    class Other(HttpUser):
        wait_time = constant(0.02)
        @task
        def refuse(self):
            with self.client.get("/", name="refused too", catch_response=True) as answer:
                answer.failure("not what I asked for")
    """
    )
    process.wait_for(lambda line: line["failed"] >= 10)
    process.stop()
    outcomes = {(s.name, s.outcome, s.status) for s in process.samples()}
    assert outcomes == {
        ("GET refused", Outcome.HTTP_ERROR, 200),
        ("GET refused too", Outcome.HTTP_ERROR, 200),
    }


def test_an_answer_that_tells_a_thing_twice_is_recorded(agent):
    process = agent(ONE_USER.replace('get("/")', 'get("/twice")'))
    process.wait_for(lambda line: line["sent"] >= 5)
    process.stop()
    assert {(s.name, s.outcome) for s in process.samples()} == {("GET /twice", Outcome.OK)}


def test_tells_how_requests_failed_with_either_client(agent):
    process = agent(
        USERS
        + f"""
    FAILURES = ("reset", "hang", "error", "garbage")
    class Fast(FastHttpUser):
        wait_time = constant(0.1)
        network_timeout = connection_timeout = 0.2
        @task
        def fail(self):
            for path in FAILURES:
                self.client.get("/" + path)
            self.client.get("http://127.0.0.1:{NOBODY_LISTENS}/", name="refused")
            self.client.get("http://no-such-host.invalid/", name="dns")
    class Requests(HttpUser):
        wait_time = constant(0.1)
        @task
        def fail(self):
            for path in FAILURES:
                self.client.get("/" + path, timeout=0.2)
            self.client.get("http://127.0.0.1:{NOBODY_LISTENS}/", name="refused")
            self.client.get("http://no-such-host.invalid/", name="dns")
    """
    )
    wanted = {
        ("GET /reset", Outcome.RESET),
        ("GET /hang", Outcome.TIMEOUT),
        ("GET /error", Outcome.HTTP_ERROR),
        ("GET /garbage", Outcome.OTHER),
        ("GET refused", Outcome.REFUSED),
        ("GET dns", Outcome.DNS),
    }
    line = process.wait_for(lambda line: line["outcomes"]["dns"] >= 4)
    assert line["failed"] == line["sent"]
    process.stop()
    ended = collections.Counter((s.name, s.outcome) for s in process.samples())
    assert set(ended) == wanted
    assert min(ended.values()) >= 2  # One of each client, at the least.


def test_a_paced_user_counts_from_when_its_task_was_due(agent, server):
    server.behaviour, server.delay_s = "slow", 0.35
    process = agent(ONE_USER.replace("20)", "10)"), users=1)
    process.wait_for(lambda line: line["sent"] >= 4 and line["behind"] >= 5)
    process.stop()
    first, *later = process.samples()
    assert first.intended == first.sent
    # The next one is due 0.1 s after the one before it began, and that one takes 0.35 s.
    assert median(s.sent - s.intended for s in later) == pytest.approx(0.25, abs=0.1)
    assert median(s.latency for s in later) == pytest.approx(0.6, abs=0.15)
    assert min(s.latency for s in later) > 0.55


def test_a_locustfile_may_print_and_define_arguments_listeners_and_a_shape(agent):
    process = agent(
        """
    from locust import FastHttpUser, LoadTestShape, constant, events, task

    @events.init_command_line_parser.add_listener
    def _(parser):
        parser.add_argument("--path", default="/from-an-argument")

    @events.init.add_listener
    def _(environment, **kwargs):
        print("listened")

    class Visitor(FastHttpUser):
        wait_time = constant(0.05)
        @task
        def page(self):
            self.client.get(self.environment.parsed_options.path)

    class Three(LoadTestShape):
        def tick(self):
            return 3, 100
    """
    )
    process.wait_for(lambda line: line["users"] == 3 and line["sent"] >= 5)
    process.stop()
    assert {s.name for s in process.samples()} == {"GET /from-an-argument"}
    assert "listened" in process.log()


STAIRS = """
    from locust import LoadTestShape
    class Stairs(LoadTestShape):
        def tick(self):
            return (1 if self.get_run_time() < 1.5 else 4), 100
"""


def test_a_shape_of_the_locustfile_is_followed_step_by_step(agent):
    process = agent(ONE_USER + STAIRS, users=9)
    process.wait_for(lambda line: line["users"] == 1 and line["sent"] > 0)
    process.wait_for(lambda line: line["users"] == 4)
    assert max(line["users"] for line in process.said) == 4


def test_an_order_ends_a_shape_of_the_locustfile(agent):
    process = agent(ONE_USER + STAIRS)
    process.wait_for(lambda line: line["users"] == 1)
    process.tell(users=2, spawn_rate=100)
    told = process.wait_for(lambda line: line["users"] == 2)["t"]
    process.wait_for(lambda line: line["t"] > told + 2.5)
    assert {line["users"] for line in process.said if line["t"] > told} == {2}


def test_users_come_and_go_as_ordered_while_it_runs(agent):
    process = agent(ONE_USER, users=2)
    process.wait_for(lambda line: line["users"] == 2)
    process.tell(users=8, spawn_rate=6)
    assert process.wait_for(lambda line: line["users"] == 8)["failed"] == 0
    process.tell(users=1, spawn_rate=7)
    assert process.wait_for(lambda line: line["users"] == 1)["failed"] == 0


def test_a_ramp_takes_its_time_and_gives_way_to_the_next_order(agent):
    process = agent(ONE_USER, users=1)
    began = process.wait_for(lambda line: line["users"] == 1)["t"]
    process.tell(users=4, spawn_rate=1)
    ended = process.wait_for(lambda line: line["users"] == 4)["t"]
    assert ended - began == pytest.approx(2.5, abs=1)  # Locust sends the first at once.
    process.tell(users=60, spawn_rate=1)
    process.wait_for(lambda line: line["users"] > 4)
    process.tell(users=3, spawn_rate=60)
    late = process.wait_for(lambda line: line["users"] == 3)["t"]
    assert late - ended < 5
    process.wait_for(lambda line: line["t"] > late + 1.5)
    assert process.said[-1]["users"] == 3


def test_requests_do_not_wait_for_a_minute_unless_the_locustfile_says_so(agent):
    process = agent(
        USERS
        + """
    from locust import events
    class Short(FastHttpUser):
        wait_time = constant(0.05)
        @task
        def page(self): self.client.get("/")
    class Long(Short):
        network_timeout = 45
    class Requests(HttpUser):
        host = "http://127.0.0.1"
        wait_time = constant(0.05)
        @task
        def page(self): self.client.get("/")
    @events.test_start.add_listener
    def _(environment, **kwargs):
        print("fast", Short.network_timeout, Short.connection_timeout, Long.network_timeout, Long.connection_timeout)
        print("requests", Requests(environment).client.request.keywords["timeout"])
    """
    )
    process.wait_for(lambda line: line["sent"] > 0)
    process.stop()
    process.wait()
    assert "fast 10.0 10.0 45 10.0" in process.log()
    assert "requests 10.0" in process.log()


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("import locust\n\nlocust.nothing_of_the_kind\n", 3, "AttributeError"),
        ("import locust\nclass A(locust.User:\n    pass\n", 2, "SyntaxError"),
        ("import sys\nsys.exit('not today')\n", 2, "not today"),
    ],
)
def test_says_where_a_locustfile_is_wrong(agent, tmp_path, source, line, why):
    process = agent(source)
    error = process.wait_for(lambda line: "error" in line)["error"]
    assert error["where"] == f"{tmp_path / 'locustfile.py'}:{line}"
    assert why in error["why"]
    assert process.wait() == 2


def test_says_that_a_locustfile_has_no_users(agent):
    process = agent("import locust\n")
    assert "no users" in process.wait_for(lambda line: "error" in line)["error"]["what"]
    assert process.wait() == 2


def test_users_that_do_not_let_go_do_not_hold_up_the_end(agent):
    process = agent(
        USERS
        + """
    import gevent
    class Stubborn(FastHttpUser):
        @task
        def page(self):
            self.client.get("/")
            gevent.sleep(60)
        def on_stop(self):
            gevent.sleep(60)
    """
    )
    process.wait_for(lambda line: line["sent"] >= 2)
    told = time.monotonic()
    process.stop()
    assert process.wait() == 0
    assert time.monotonic() - told < 2.5
    assert len(process.samples()) == 2


def test_ends_when_its_parent_is_gone(agent):
    process = agent(ONE_USER)
    process.wait_for(lambda line: line["sent"] >= 5)
    process.popen.stdin.close()
    last = process.wait_for(lambda line: bool(line.get("done")))
    assert process.wait() == 0
    assert len(process.samples()) == last["sent"]
