"""PID 1 of a node: gives it files of its own, starts its servers, reaps its orphans. Its death is a power failure.

It runs as a plain file with nothing but the standard library (`python -I -S node_init.py SPEC`): there is one for each
node, and each megabyte counts. The supervisor writes "go" to its standard input once the node's network is wired.

The root holds the host's programs read-only, and nothing else of the host: what a pod's hostPath volume or a server
writes stays in the node's folder and goes with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

# <sys/mount.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_SHARED = 1 << 20
MNT_DETACH = 2

HOST_FOLDERS = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64")
OWN_FOLDERS = ("proc", "sys", "dev", "run/lock", "tmp", "var/log", "root", "opt", "old-root")
# The kubelet sets these for the whole machine; the node shows it files that already say what it wants (kubelet's
# `setupKernelTunables`, pkg/kubelet/cm/container_manager_linux.go), and the host's settings stay as they are.
KERNEL_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, kind: str = "", flags: int = 0, data: str = "") -> None:
    done = libc.mount(source.encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    check(done, f"mount {source} on {target}")


def bind(source: Path, target: Path, *, read_only: bool = False) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(str(source), target, flags=MS_BIND | MS_REC)
    if read_only:
        mount("none", target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def make_root(root: Path, binds: dict[str, str], read_only_binds: dict[str, str]) -> None:
    """Build the node's file system at `root`."""
    mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755")
    for name in OWN_FOLDERS:
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in HOST_FOLDERS:
        host = Path("/") / name
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
        elif host.is_dir():
            bind(host, root / name, read_only=True)
    bind(Path("/dev"), root / "dev")
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    bind(Path("/sys/fs/cgroup"), root / "sys/fs/cgroup")
    for inside, outside in binds.items():
        bind(Path(outside), root / inside.lstrip("/"))
    for inside, outside in read_only_binds.items():
        bind(Path(outside), root / inside.lstrip("/"), read_only=True)


def show_kernel_tunables(root: Path) -> None:
    for name, value in KERNEL_TUNABLES.items():
        shown = root / "run/tunables" / name.replace("/", ".")
        shown.parent.mkdir(exist_ok=True)
        shown.write_text(value + "\n")
        if (root / "proc/sys" / name).exists():
            mount(str(shown), root / "proc/sys" / name, flags=MS_BIND)


def enter_root(root: Path) -> None:
    check(libc.pivot_root(str(root).encode(), str(root / "old-root").encode()), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/old-root", MNT_DETACH), "umount /old-root")
    Path("/old-root").rmdir()
    mount("none", Path("/"), flags=MS_REC | MS_SHARED)  # Volumes mounted by the kubelet must reach the containers.


def start(server: dict[str, Any]) -> int:
    """Start a server with its output in the log that was opened before the root changed."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, server["log"], 1),
        (os.POSIX_SPAWN_DUP2, server["log"], 2),
    ]
    argv = server["argv"]
    return os.posix_spawnp(argv[0], argv, {**os.environ, **server["env"]}, file_actions=actions)


def prepare(server: dict[str, Any]) -> None:
    """Run what a server's first start waits for, to its end, with its output in the server's log. What fails is told
    there, and is no reason to keep the node down."""
    for argv in server["first"]:
        os.waitpid(start({**server, "argv": argv}), 0)


def await_path(path: str, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not Path(path).exists():
        if time.monotonic() > end:
            sys.exit(f"{path} did not appear within {deadline_s:.0f} s")
        time.sleep(0.01)


def reap(servers: dict[int, dict[str, Any]]) -> None:
    """Wait for everything; a server that ends is started again, as an init system would."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            signal.pause()
            continue
        server = servers.pop(pid, None)
        if server is not None:
            print(f"{server['argv'][0]} ended with {os.waitstatus_to_exitcode(status)}; starting it again", flush=True)
            time.sleep(0.5)  # Without a pause, a server that cannot start would keep a core busy.
            servers[start(server)] = server


def main() -> None:
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    for entry in spec["cgroup_entries"]:
        Path(entry).write_text("0")  # The writer itself, whatever namespace its id belongs to.
    socket.sethostname(spec["name"])
    for server in spec["servers"]:
        server["log"] = os.open(server["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    root = Path(spec["root"])
    make_root(root, spec["binds"], spec["read_only_binds"])
    show_kernel_tunables(root)
    if sys.stdin.readline().strip() != "go":
        sys.exit("the supervisor went away before the node was wired")
    for name, value in spec["settings"].items():
        if (root / "proc/sys" / name).exists():  # What belongs to a module that is not loaded does no harm either.
            (root / "proc/sys" / name).write_text(value)
    enter_root(root)
    os.environ["PATH"] = spec["path"]
    servers = {}
    for server in spec["servers"]:
        await_path(server["after"], spec["server_start_deadline_s"])
        prepare(server)
        servers[start(server)] = server
    reap(servers)


if __name__ == "__main__":
    main()
