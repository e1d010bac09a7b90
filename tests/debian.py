"""Servers and tools as Debian packages them, unpacked, not installed: no service of the machine is started by them.

A test that needs one is skipped where it cannot be had, and says so; where CHAOSKIT_NEED_CLUSTER is set, as in CI, that
is a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-pushgateway": "prometheus-pushgateway",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DOWNLOAD_S = 300.0
PATIENCE_S = 30.0


def program(name: str) -> str:
    """Where the program is: on the PATH, or out of its package, which is fetched once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaoskit-tests" / PACKAGES[name]
    unpacked = folder / "usr" / "bin" / name
    if not unpacked.exists() and (installed := shutil.which(name)):
        return installed
    if not unpacked.exists():
        _fetch(PACKAGES[name], folder)
    return str(unpacked)


def browser() -> str:
    """A Chromium as it is installed: with its libraries it is too large to be fetched for a test."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), "")
    if not found:
        _cannot("no Chromium is installed: apt-get install --no-install-recommends chromium")
    return found


def _fetch(package: str, folder: Path) -> None:
    """A package whose lists are not there yet is looked for once more after an update."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if _run("apt-get", "download", package, cwd=folder):
            _run("apt-get", "update", cwd=folder)
        why = _run("apt-get", "download", package, cwd=folder)
        found = sorted(folder.glob("*.deb"))
        why = _run("dpkg-deb", "-x", str(found[-1]), str(folder), cwd=folder) if found else why
    except FileNotFoundError as error:
        why = f"there is no {error.filename} here"
    if why:
        _cannot(f"Debian's {package} cannot be had: {why}")


def _run(*argv: str, cwd: Path) -> str:
    """Why it failed, or empty."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=DOWNLOAD_S, check=False)
    return done.stderr.strip()[-300:] if done.returncode else ""


def _cannot(why: str) -> None:
    if os.environ.get("CHAOSKIT_NEED_CLUSTER"):
        pytest.fail(why)
    pytest.skip(why)


@contextlib.contextmanager
def serving(name: str, folder: Path, *arguments: str, ready: str = "/-/ready") -> Iterator[str]:
    """A server on a loopback port of its own, until the end; yields its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        argv = [program(name), f"--web.listen-address={address}", *arguments]
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=folder)
    try:
        _await(f"http://{address}{ready}", process, log)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(requests.RequestException):
            if requests.get(url, timeout=5).ok:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
