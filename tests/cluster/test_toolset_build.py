"""A build that is killed at any moment leaves nothing that is used, and the next one completes what it began."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaoskit.cluster import toolset
from chaoskit.cluster.parts.store import cache_folder

pytestmark = pytest.mark.cluster

BUILD = [sys.executable, "-m", "chaoskit.cluster.toolset"]
LIMIT_S = 300.0
KILLS = 6
# Compiling and the Python base take long and are taken over; what is built is what mounts, daemonises and unpacks.
TAKEN_OVER = ("programs-*", "image-python-*", "image-coredns-*", "image-metrics-server-*")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder in which the long parts are there already, by hard links."""
    toolset.ensure(print)
    folder = tmp_path / "chaoskit"
    folder.mkdir()
    for pattern in TAKEN_OVER:
        for part in cache_folder().glob(pattern):
            subprocess.run(["cp", "-a", "--link", str(part), str(folder)], check=True)
    return folder


def test_killed_builds_leave_nothing_and_the_next_completes(cache: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache.parent)}
    chance = random.Random(8)  # noqa: S311 (moments, not secrets)
    for _ in range(KILLS):
        killed(environment, chance.uniform(0.1, 4.0))
        assert mounts(cache) == []
        wait_until_ended(cache)
    for part in ("image-refapp-*", "template-*"):
        for path in cache.glob(part):
            assert list(path.iterdir()), f"{path.name} is empty"
    done = subprocess.run(BUILD, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert list(cache.glob(".unfinished-*")) == []
    assert template_of(done.stdout).is_dir()


def test_a_second_run_builds_nothing(cache: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache.parent)}
    subprocess.run(BUILD, env=environment, capture_output=True, timeout=LIMIT_S, check=True)
    again = subprocess.run(BUILD, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert again.stderr == ""


def test_a_compiler_that_fails_is_told_with_its_last_lines(cache: Path, tmp_path: Path) -> None:
    """Another C compiler first on PATH refuses everything."""
    shutil.rmtree(cache)
    compiler = tmp_path / "bin" / "cc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\ncase $1 in -print-file-name*) echo /;; *) echo pause.c: bad; exit 1;; esac\n")
    compiler.chmod(0o755)
    for part in cache_folder().glob("programs-*"):
        subprocess.run(["cp", "-a", "--link", "-t", str(make(cache)), str(part)], check=True)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(cache.parent),
        "PATH": f"{compiler.parent}:{os.environ['PATH']}",
    }
    failed = subprocess.run(BUILD, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert failed.returncode == 2
    assert "pause.c: bad" in failed.stderr
    assert "build.log" in failed.stderr
    assert list(cache.glob("image-pause-*")) == []


def make(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def killed(environment: dict[str, str], after_s: float) -> None:
    """Start a build and kill it, as the kernel or an impatient user would, without giving it a word."""
    with subprocess.Popen(BUILD, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
        time.sleep(after_s)  # The moment is what is being varied.
        build.send_signal(signal.SIGKILL)


def mounts(below: Path) -> list[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point.startswith(str(below))]


def wait_until_ended(cache: Path) -> None:
    """A killed build's tools end with it."""
    end = time.monotonic() + 10
    while left := tools_of(cache):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.05)


def tools_of(cache: Path) -> list[str]:
    commands = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # It ended while we looked.
            commands.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in commands if str(cache) in command]


def template_of(output: str) -> Path:
    (line,) = (line for line in output.splitlines() if line.startswith("template"))
    return Path(line.split()[1])
