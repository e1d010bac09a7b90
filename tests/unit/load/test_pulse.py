"""The pulse as a real process, against a server that misbehaves on command."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from chaoskit.samples import Outcome, Sample, Stream

pytestmark = pytest.mark.slow

PERIOD_S = 0.01


@pytest.fixture
def pulse(start, server):
    def begin(**config):
        defaults = {"url": server.url + "/items", "stop_after_s": 30, "period_s": PERIOD_S, "timeout_s": 2}
        return start("pulse", **(defaults | config))

    return begin


def of(samples: list[Sample], stream: Stream) -> list[Sample]:
    return sorted((s for s in samples if s.stream is stream), key=lambda s: s.intended)


def test_keeps_its_schedule_and_says_who_answered(pulse, server):
    process = pulse()
    process.wait_for(lambda line: line["sent"] >= 100)
    process.stop()
    for stream in (Stream.FRESH, Stream.KEPT):
        samples = of(process.samples(), stream)
        gaps = [b.intended - a.intended for a, b in pairwise(samples)]
        assert gaps == pytest.approx([PERIOD_S] * len(gaps), abs=1e-6)
        good = [s for s in samples if s.ok]
        assert len(good) >= 45
        assert {(s.status, s.answerer, s.name) for s in good} == {(200, "pod-1|2|blue", "pulse")}
        assert all(s.intended <= s.sent <= s.end for s in good)
    assert set(server.requests) == {"GET /items HTTP/1.1"}


def test_one_stream_connects_anew_each_time_and_the_other_keeps_its_connection(pulse, server):
    process = pulse(period_s=0.05)
    process.wait_for(lambda line: line["ok"] >= 20)
    process.stop()
    samples = process.samples()
    fresh, kept = (
        len([s for s in of(samples, stream) if s.outcome is not Outcome.NOT_SENT])
        for stream in (Stream.FRESH, Stream.KEPT)
    )
    assert 1 <= server.connections - fresh < kept / 2


def test_speaks_tls_to_a_certificate_of_the_apps_own_making(pulse, tls_server):
    process = pulse(url=tls_server.url, period_s=0.05)
    process.wait_for(lambda line: line["ok"] >= 20)
    process.stop()
    ended = [s for s in process.samples() if s.outcome is not Outcome.NOT_SENT]
    assert {(s.outcome, s.answerer) for s in ended} == {(Outcome.OK, "pod-1|2|blue")}


def test_a_slow_service_does_not_slow_the_pulse(pulse, server):
    server.behaviour, server.delay_s = "slow", 0.1
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 60)
    process.stop()
    kept = [s for s in of(process.samples(), Stream.KEPT) if s.outcome is not Outcome.NOT_SENT]
    assert all(s.ok for s in kept)
    latencies = sorted(s.latency for s in kept)
    assert 0.1 <= latencies[len(latencies) // 2] < 0.5  # A queue of those that wait would have grown to seconds.


@pytest.mark.parametrize(
    ("behaviour", "outcome", "status"),
    [
        ("hang", Outcome.TIMEOUT, 0),
        ("reset", Outcome.RESET, 0),
        ("error", Outcome.HTTP_ERROR, 503),
        ("garbage", Outcome.OTHER, 0),
    ],
)
def test_tells_how_a_request_failed(pulse, server, behaviour, outcome, status):
    server.behaviour = behaviour
    process = pulse(timeout_s=0.2)
    line = process.wait_for(lambda line: line["failed"] >= 20)
    assert line["down_since"] is not None
    process.stop()
    ended = [s for s in process.samples() if s.outcome is not Outcome.NOT_SENT]
    assert {(s.outcome, s.status) for s in ended} == {(outcome, status)}


def test_tells_that_connections_are_refused(pulse, server):
    server.off()
    process = pulse()
    process.wait_for(lambda line: line["failed"] >= 20)
    process.stop()
    assert {s.outcome for s in process.samples()} <= {Outcome.REFUSED, Outcome.NOT_SENT}


def test_tells_that_a_name_does_not_resolve(pulse):
    process = pulse(url="http://no-such-host.invalid/", timeout_s=5, period_s=0.1)
    process.wait_for(lambda line: line["failed"] >= 2)
    process.stop()
    assert Outcome.DNS in {s.outcome for s in process.samples()}


@pytest.mark.parametrize("stream", [Stream.FRESH, Stream.KEPT])
def test_brackets_an_outage(pulse, server, stream):
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 40)
    going_off = process.now()
    server.off()
    off = process.now()
    process.wait_for(lambda line: line["t"] > off + 0.4 and line["down_since"] is not None)
    going_on = process.now()
    server.on()
    on = process.now()
    process.wait_for(lambda line: line["t"] > on + 0.3 and line["down_since"] is None)
    process.stop()
    samples = [s for s in of(process.samples(), stream) if s.outcome is not Outcome.NOT_SENT]
    assert all(s.ok for s in samples if s.end < going_off or s.intended > on)
    assert not any(s.ok for s in samples if s.intended > off and s.end < going_on)
    bad = [s.intended for s in samples if not s.ok]
    last_good = max((s for s in samples if s.ok and s.intended < bad[0]), key=lambda s: s.intended)
    first_good = min((s for s in samples if s.ok and s.intended > bad[-1]), key=lambda s: s.intended)
    # A period on either side, how long the server takes to go off and on, and what a busy machine adds.
    gaps = max(b.intended - a.intended for a, b in pairwise(samples))
    slack = 2 * gaps + (off - going_off) + (on - going_on) + last_good.latency + first_good.latency + 0.005
    assert first_good.intended - last_good.intended == pytest.approx(going_on - off, abs=slack)
    assert gaps == pytest.approx(PERIOD_S, abs=0.3)


def test_reconnects_after_its_connection_broke(pulse, server):
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 40)
    server.reset_connections()
    broken = process.now()
    process.wait_for(lambda line: line["t"] > broken + 0.3)
    process.stop()
    after = [s for s in of(process.samples(), Stream.KEPT) if broken < s.intended < broken + 0.3]
    assert sum(not s.ok for s in after) <= 3  # What was under way; one, unless the machine is busy.
    assert after[-1].ok


def test_says_what_it_could_not_send(pulse, server):
    server.behaviour = "hang"
    process = pulse(max_pending=10, timeout_s=0.5)
    process.wait_for(lambda line: line["not_sent"] >= 20)
    last = process.stop()
    samples = process.samples()
    assert len(samples) == last["due"] == last["sent"] + last["not_sent"]
    assert len([s for s in samples if s.outcome is Outcome.NOT_SENT]) == last["not_sent"]


def stand_still(process, seconds):
    """Since when it did, in the run's seconds."""
    process.popen.send_signal(signal.SIGSTOP)
    since = process.now()
    time.sleep(seconds)
    process.popen.send_signal(signal.SIGCONT)
    return since


def test_a_stall_of_its_own_is_not_taken_for_an_answer_or_an_outage(pulse):
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 40)
    stalled = stand_still(process, 0.6)
    process.wait_for(lambda line: line["t"] > stalled + 0.9)
    process.stop()
    during = [s for s in process.samples() if stalled + 0.1 < s.intended < stalled + 0.4]
    assert {s.outcome for s in during} == {Outcome.NOT_SENT}
    assert len(during) == pytest.approx(60, abs=2)


def test_an_answer_that_came_while_it_stood_still_is_not_taken_for_a_time_out(pulse, server):
    server.behaviour, server.delay_s = "slow", 0.2
    process = pulse(timeout_s=0.5)
    process.wait_for(lambda line: line["ok"] >= 40)
    stalled = stand_still(process, 1.0)
    process.wait_for(lambda line: line["t"] > stalled + 1.5)
    process.stop()
    under_way = {s.outcome for s in process.samples() if stalled - 0.2 < s.intended < stalled - 0.05}
    assert under_way <= {Outcome.OK, Outcome.NOT_SENT}
    assert Outcome.TIMEOUT not in {s.outcome for s in process.samples()}


def test_all_that_was_due_is_written_when_it_is_told_to_end(pulse):
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 20)
    told = time.monotonic()
    last = process.stop()
    assert process.wait() == 0
    assert time.monotonic() - told < 2.5
    assert len(process.samples()) == last["due"]


def test_its_recording_is_readable_after_a_kill(pulse):
    process = pulse()
    process.wait_for(lambda line: line["ok"] >= 40)
    process.popen.kill()
    process.wait()
    assert sum(s.ok for s in process.samples()) >= 20


def test_ends_after_the_time_it_was_given(pulse):
    process = pulse(stop_after_s=0.5)
    last = process.wait_for(lambda line: bool(line.get("done")))
    assert process.wait() == 0
    assert last["due"] == pytest.approx(100, abs=30)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_does_not_outlive_its_parent(pulse, tmp_path):
    process = pulse(stop_after_s=60)
    process.wait_for(lambda line: True)
    process.stop()
    for file in tmp_path.glob("pulse.[bn]*"):
        file.unlink()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *process.argv], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert '"ok"' in parent.stdout.readline()
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)
    assert (tmp_path / "pulse.bin").stat().st_size > 0


PARENT = textwrap.dedent(
    """
    import subprocess, sys, time
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(child.pid, flush=True)
    while '"ok": 0,' in (line := child.stdout.readline()):
        pass
    print(line, flush=True)
    time.sleep(60)
    """
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_serves_what_it_measures_and_what_the_run_does(pulse):
    address = f"127.0.0.1:{free_port()}"
    run = {"experiment": "losing a pod", "run": "r1", "seed": 7, "namespace": "shop", "cluster": "ours"}
    process = pulse(metrics_address=address, **run)
    process.wait_for(lambda line: line["ok"] >= 20)
    process.tell(load={"users": 3, "outcomes": {"ok": 5, "reset": 1}})
    process.tell(journal={"kind": "phase", "at": 0.9, "name": "watched"})
    process.tell(journal={"kind": "step began", "at": 1.0, "step": "lose a node"})
    page = scrape_until(address, 'chaoskit_step_active{step="lose a node"} 1.0')
    assert 'chaoskit_load_requests_total{outcome="ok"} 5.0' in page
    assert "chaoskit_load_users 3.0" in page
    assert 'chaoskit_pulse_up{stream="fresh"} 1.0' in page
    info = 'app_namespace="shop",cluster="ours",experiment="losing a pod",run="r1",seed="7"'
    assert f"chaoskit_run_info{{{info}}} 1.0" in page
    assert 'chaoskit_run_phase{phase="watched"} 1.0' in page
    assert 'chaoskit_run_phase{phase="load"} 0.0' in page
    assert 'chaoskit_pulse_latency_seconds_bucket{le="0.5",stream="kept"}' in page
    process.tell(journal={"kind": "step ended", "at": 9.0, "step": "lose a node"})
    scrape_until(address, 'chaoskit_step_active{step="lose a node"} 0.0')
    process.stop()


def test_serves_when_acts_were_ordered_landed_and_put_back(pulse):
    address = f"127.0.0.1:{free_port()}"
    origin_ns, began = time.monotonic_ns(), time.time()
    process = pulse(metrics_address=address, origin_ns=origin_ns)
    process.wait_for(lambda line: line["ok"] >= 1)
    step = {"step": "lose a node"}
    process.tell(journal={"kind": "step began", "at": 1.0, **step})
    process.tell(journal={"kind": "intent", "at": 1.0, "n": 1, "change": True, **step})
    process.tell(journal={"kind": "intent", "at": 2.0, "n": 2, "change": True, **step})
    process.tell(journal={"kind": "intent", "at": 3.0, "n": 3, "change": False, **step})
    process.tell(journal={"kind": "landed", "at": 4.0, **step})
    page = scrape_until(address, 'chaoskit_step_unhealed{step="lose a node"} 2.0')
    assert "chaoskit_step_healed_timestamp_seconds{" not in page
    process.tell(journal={"kind": "healed", "at": 5.0, "n": 1, "done": True})
    process.tell(journal={"kind": "healed", "at": 6.0, "n": 2, "done": False})
    page = scrape_until(address, 'chaoskit_step_unhealed{step="lose a node"} 1.0')
    for name, at in (("ordered", 1.0), ("landed", 4.0), ("healed", 5.0)):
        shown = re.search(rf"^chaoskit_step_{name}_timestamp_seconds\{{.*\}} (.+)$", page, re.MULTILINE)
        assert shown is not None
        assert float(shown[1]) - began == pytest.approx(at, abs=1.0)
    process.stop()


def scrape_until(address: str, text: str) -> str:
    deadline = time.monotonic() + 5
    while True:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            page = answer.read().decode()
        if text in page:
            return page
        assert time.monotonic() < deadline, page
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"url": "ftp://shop/"}, "no place to send to"),
        ({"perid_s": 1}, "perid_s"),
        ({"metrics_address": "203.0.113.1:9464"}, "metrics cannot be served"),
    ],
)
def test_says_what_is_wrong_with_its_configuration(pulse, config, what):
    process = pulse(**config)
    error = process.wait_for(lambda line: "error" in line)["error"]
    assert what in error["what"]
    assert process.wait() == 2
