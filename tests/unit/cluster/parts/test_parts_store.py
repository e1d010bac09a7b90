"""What is in the cache is whole, whatever happened while it was built."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaoskit.cluster.parts.store import KEPT_S, Part, Store, cache_folder, digest
from chaoskit.errors import ClusterError

pytestmark = pytest.mark.slow

DEADLINE_S = 10.0
# Holds the lock, with half of a part built, until it is killed; a tool that it started holds the lock too.
BUILDER = """
import sys
from pathlib import Path
from chaoskit.cluster.parts.store import Part, Store
from chaoskit.cluster.parts.tools import Tools

store = Store(Path(sys.argv[1]))
TOOL = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1] + '/tool', 'w'), flush=True); time.sleep(60)"

def build(target):
    (target / "half").write_text("half")
    Tools(store.root / "log", store.held_lock).run("waiting", [sys.executable, "-c", TOOL, str(target)])

with store.lock(print):
    store.make(Part("thing", ("1",), build))
"""


def silent(_: str) -> None:
    pass


def part(content: str = "whole", name: str = "thing", version: str = "1") -> Part:
    return Part(name, (version,), lambda target: (target / "file").write_text(content) and None)


def test_a_part_is_built_once_and_found_by_its_inputs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lock(silent):
        made = store.make(part())
    assert (made / "file").read_text() == "whole"
    assert store.has(part())
    assert not store.has(part(version="2"))


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise ClusterError("did not compile")

    store = Store(tmp_path)
    broken = Part("thing", ("1",), fail)
    with pytest.raises(ClusterError, match="did not compile"), store.lock(silent):
        store.make(broken)
    assert not store.has(broken)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_full_disk_is_named_with_the_next_command(tmp_path: Path) -> None:
    def fill(_: Path) -> None:
        with Path("/dev/full").open("w") as full:  # The kernel's own full disk.
            full.write("x")

    store = Store(tmp_path)
    with pytest.raises(ClusterError) as raised, store.lock(silent):
        store.make(Part("thing", ("1",), fill))
    assert "No space left on device" in str(raised.value)
    assert "df -h" in raised.value.fix


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError) as raised, Store(tmp_path / "file" / "cache").lock(silent):
        pass
    assert "XDG_CACHE_HOME" in raised.value.fix


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_build_is_never_found_and_is_cleared_away(tmp_path: Path, how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)], stderr=subprocess.DEVNULL, start_new_session=True
    ) as builder:
        tool = int(wait_for_text(tmp_path, ".unfinished-*/tool"))
        builder.send_signal(how)
        builder.wait(DEADLINE_S)
    store = Store(tmp_path)
    assert not store.has(part())
    with store.lock(silent):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "log"]
        store.make(part())
    assert store.has(part())
    wait_until(lambda: not Path(f"/proc/{tool}").exists(), "the tool to end with its builder")


def test_a_second_builder_waits_and_says_so(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path)]) as builder:
        wait_for_text(tmp_path, ".unfinished-*/tool")
        said: list[str] = []

        def end_first(text: str) -> None:
            said.append(text)
            builder.kill()

        with Store(tmp_path).lock(end_first):
            pass
        builder.wait(DEADLINE_S)
    assert said == [f"another build is going on (process {builder.pid}); waiting for it since 0 s"]


def test_old_versions_go_when_nobody_uses_them(tmp_path: Path) -> None:
    store, now = Store(tmp_path), time.time()
    with store.lock(silent):
        for version in ("old", "recent", "present"):
            store.make(part(version=version))
        store.make(part(name="other"))
    for old in (part(version="old"), part(version="present"), part(name="other")):
        os.utime(store.path(old), (now - KEPT_S - 60,) * 2)
    assert store.prune([part(version="present")], ["thing"], now) == [part(version="old").folder_name]
    assert store.has(part(version="recent"))
    assert store.has(part(version="present"))
    assert store.has(part(name="other"))


def test_an_old_version_that_still_runs_stays(tmp_path: Path) -> None:
    sleep = Path("/bin/sleep").resolve().read_bytes()
    running = Part("thing", ("1",), lambda target: (target / "sleep").write_bytes(sleep) and None)
    store, now = Store(tmp_path), time.time()
    with store.lock(silent):
        program = store.make(running) / "sleep"
    program.chmod(0o755)
    os.utime(program.parent, (now - KEPT_S - 60,) * 2)
    with subprocess.Popen([str(program), "60"]) as process:
        kept = store.prune([], ["thing"], now)
        process.kill()
    assert kept == []
    assert store.prune([], ["thing"], now) == [running.folder_name]


def test_inputs_are_told_apart_by_where_they_end() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["a"]) != digest(["a", ""])


def test_the_cache_is_where_xdg_says() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/roomy"}) == Path("/roomy/chaoskit")
    assert cache_folder({}) == Path.home() / ".cache/chaoskit"
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == Path.home() / ".cache/chaoskit"


def wait_for_text(folder: Path, pattern: str) -> str:
    def found() -> str:
        return "".join(path.read_text() for path in folder.glob(pattern))

    wait_until(lambda: found().endswith("\n"), pattern)
    return found()


def wait_until(met: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < end, f"waited {DEADLINE_S:.0f} s for {what}"
        time.sleep(0.01)
