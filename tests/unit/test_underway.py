"""`chaoskit heal` without a name: it puts back what ended runs left, and leaves alone what others are at."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from chaoskit import underway
from chaoskit.adapters.fake import FakeCluster, FakeWorld, manifests
from chaoskit.contracts import Intent
from chaoskit.model import RUN_LABEL, Target
from chaoskit.session import Options, Session
from chaoskit.underway import Life

HOLDING = """
import sys, time
from chaoskit import underway
with underway.held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def process():
    """Starts a process in which a run is under way, as another shell would."""
    started = []

    def start(run):
        started.append(subprocess.Popen([sys.executable, "-c", HOLDING, run], stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


class Here(Session):
    """A session on the double."""

    world: FakeWorld

    def connect(self, clock=None):
        return Closable(self.world.cluster)


class Closable:
    """The double with the one method that only real connections have."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def close(self) -> None: ...

    def __getattr__(self, name):
        return getattr(self._cluster, name)


def heal(run="", *, runs):
    """(what was healed, what was said) on a cluster where each of `runs` left a namespace."""
    said = []
    session = Here(Options(context="double"), said.append)
    session.world = FakeWorld(1)
    for i, owner in enumerate(runs):
        session.world.cluster.create(manifests.namespace(f"space-{i}", {RUN_LABEL: owner}))
    done = session.heal(run, None)
    there = {o["metadata"]["name"] for o in session.world.cluster.there("namespace")}
    return {i.run: h for i, h in done}, said, {f"space-{i}" for i in range(len(runs))} & there


def test_a_run_is_under_way_until_its_process_ends_however_it_ends(process):
    running = process("r1")
    assert underway.life("r1") is Life.UNDER_WAY
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert underway.life("r1") is Life.ENDED
    underway.forget("r1")
    assert underway.life("r1") is Life.UNKNOWN


@pytest.mark.parametrize("run", ["", "..", "a/b", "never-seen"])
def test_what_names_no_run_of_ours_is_unknown(run):
    assert underway.life(run) is Life.UNKNOWN


def test_a_folder_that_cannot_be_written_does_not_keep_a_run_from_running(tmp_path):
    (tmp_path / "state").write_text("a file")
    with underway.held("r1"):
        assert underway.life("r1") is Life.UNKNOWN


def ended(run):
    with underway.held(run):
        pass


def test_what_an_ended_run_left_is_put_back_and_then_forgotten():
    ended("r1")
    done, said, left = heal(runs=["r1"])
    assert (done["r1"].done, said, left) == (True, [], set())
    assert underway.life("r1") is Life.UNKNOWN


def test_a_run_under_way_is_named_and_left_alone_unless_it_is_meant(process):
    process("r1")
    ended("r2")
    done, said, left = heal(runs=["r1", "r2"])
    assert list(done) == ["r2"]
    assert left == {"space-0"}
    assert said == ["· r1 is under way and left alone; chaoskit heal r1 would undo what it does"]
    done, said, left = heal("r1", runs=["r1", "r2"])
    assert (done["r1"].done, said, left) == (True, [], {"space-1"})


def test_a_run_of_another_machine_is_not_taken_for_ended():
    done, _, left = heal(runs=["r1"])
    assert not done["r1"].done
    assert "may be under way elsewhere" in done["r1"].how
    assert done["r1"].fix == "chaoskit heal r1"
    assert left == {"space-0"}
    assert heal("r1", runs=["r1"])[2] == set()


def test_intents_keep_their_order():
    ended("r1")
    intents = [Intent("r1" if n % 2 else "r2", n, "", "cordon_node", Target("node", "n", "", "u")) for n in range(6)]
    found = underway.by_life(intents)
    assert [i.n for i in found[Life.ENDED]] == [1, 3, 5]
    assert [i.n for i in found[Life.UNKNOWN]] == [0, 2, 4]
    assert not found[Life.UNDER_WAY]
