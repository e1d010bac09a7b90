"""Unpacks every image once, into the store that each node takes over by hard links.

Runs as a program of its own (`python -m chaoskit.cluster.parts.template`), as PID 1 of namespaces made for it:
containerd, its mounts and its sockets end with it, whatever happens.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaoskit.cluster.parts.tools import Tools

# A tmpfs of this mount namespace: a socket's path may have 107 characters at most, and a cache folder's can be longer.
RUN = Path("/run")
SOCKET = RUN / "containerd.sock"
START_S = 30.0
STOP_S = 30.0
CONFIGURATION = """\
version = 3
root = "{store}"
state = "/run/containerd"
[grpc]
  address = "/run/containerd.sock"
"""


def make(programs: Path, archives: dict[str, Path], aliases: dict[str, str], target: Path, tools: Tools) -> None:
    """Fill `target/root` with a containerd store that holds these images."""
    images = [f"{name}={archive}" for name, archive in archives.items()]
    names = [f"{alias}={name}" for alias, name in aliases.items()]
    module = (sys.executable, "-m", "chaoskit.cluster.parts.template")
    argv = (*module, str(programs), str(target / "root"), *images, "--", *names)
    tools.run("unpacking the images", argv, cwd=Path.cwd(), isolated=True)


def main(programs: Path, store: Path, archives: list[Path], aliases: dict[str, str]) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(RUN)], check=True)
    with _containerd(programs, store):
        ctr = [str(programs / "ctr"), "--address", str(SOCKET), "--namespace", "k8s.io", "images"]
        for archive in archives:
            subprocess.run([*ctr, "import", "--local", str(archive)], check=True)
        for alias, name in aliases.items():
            subprocess.run([*ctr, "tag", name, alias], check=True)


@contextmanager
def _containerd(programs: Path, store: Path) -> Iterator[None]:
    configuration = RUN / "containerd.toml"
    configuration.write_text(CONFIGURATION.format(store=store), encoding="utf-8")
    with subprocess.Popen([str(programs / "containerd"), "--config", str(configuration)]) as process:
        _await_socket(process)
        yield
        process.terminate()  # Its databases are whole once it has ended by itself.
        process.wait(STOP_S)


def _await_socket(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not SOCKET.exists():
        if process.poll() is not None:
            raise SystemExit(f"containerd ended with status {process.returncode} before it listened")
        if time.monotonic() > deadline:
            raise SystemExit(f"containerd did not listen on {SOCKET} within {START_S:.0f} s")
        time.sleep(0.02)


def _arguments(words: list[str]) -> tuple[Path, Path, list[Path], dict[str, str]]:
    split = words.index("--")
    archives = [Path(word.partition("=")[2]) for word in words[2:split]]
    aliases = dict(word.split("=", 1) for word in words[split + 1 :])
    return Path(words[0]), Path(words[1]), archives, aliases


if __name__ == "__main__":
    main(*_arguments(sys.argv[1:]))
