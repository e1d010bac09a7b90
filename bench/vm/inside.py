"""What is tried in the emulated machine: a cluster starts, a pod runs, the cluster ends, and the machine is as before.

The comparison itself is tried too, each time: at the end one thing of every kind is left behind on purpose, and each
must be found.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from chaoskit.cluster import cgroups, embedded, network, node_init

NODES = 1
NODE, POD = "node1", "hello"
SAID = "hello from a pod"
POD_DEADLINE_S = 600
# What the machine itself happens to do at the same moment is done by then.
SETTLE_S = 20.0
GROUPS = cgroups.ROOT
FILES = ("/etc", "/root", "/run", "/srv", "/tmp", "/var")  # noqa: S108 (looked into, not written to)
# The machine's own books, and the cache, which is meant to stay.
NOT_COMPARED = ("/run/log", "/run/systemd", "/run/udev", "/var/cache", "/var/lib/systemd", "/var/log", "/root/.cache")
SETTINGS = (*node_init.KERNEL_TUNABLES, *network.NODE_SETTINGS, *network.CONTROL_SETTINGS)
TRANSIENT = "(udev-worker)"  # udev has some while there is work, and ends those that wait.
LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h

Facts = dict[str, frozenset[str]]


def main() -> None:
    Path("/root/.local/state").mkdir(parents=True, exist_ok=True)  # As on any machine that somebody uses.
    tell_machine()
    before = look()
    tell("before: " + ", ".join(f"{len(found)} {kind}" for kind, found in before.items()))
    timed("the cluster is up", lambda: chaoskit("up", f"--nodes={NODES}"))
    timed("a pod ran", run_pod)
    tell_groups()
    timed(f"{NODE} is frozen, for a cluster ends with a frozen node too", freeze)
    timed("the cluster is down", lambda: chaoskit("down"))
    compare(before)
    prove_that_it_would_be_seen(before)


def tell(text: str) -> None:
    print(text, flush=True)


def timed(what: str, act: Callable[[], object]) -> None:
    begun = time.monotonic()
    act()
    tell(f"{what}: {time.monotonic() - begun:.1f} s")


def tell_machine() -> None:
    """What this is; it must be what it is said to be."""
    first = Path("/proc/1/comm").read_text().strip()
    version_2 = cgroups.is_version_2()
    tell(f"Linux {platform.release()}, PID 1 is {first}, cgroup {'v2' if version_2 else 'v1'}, {os.cpu_count()} CPUs")
    tell(f"the root has the controllers {read(GROUPS / 'cgroup.controllers')}")
    tell(f"and hands down {read(GROUPS / 'cgroup.subtree_control')}")
    if first != "systemd" or not version_2:
        sys.exit("this is no machine with systemd and cgroup v2")


def chaoskit(*words: str, reading: int | None = None) -> str:
    """A command as a user types it; what it prints is seen, or read."""
    command = [sys.executable, "-m", "chaoskit", "cluster", *words]
    environment = {**os.environ, "KUBECACHEDIR": "/root/.cache/kube"}  # What kubectl leaves is not the cluster's.
    ended = subprocess.run(command, stdout=reading, text=True, env=environment, check=False)
    if ended.returncode:
        sys.exit(f"chaoskit cluster {' '.join(words)} ended with exit code {ended.returncode}")
    return ended.stdout or ""


def kubectl(*words: str) -> str:
    return chaoskit("shell", "--", "kubectl", *words, reading=subprocess.PIPE)


def run_pod() -> None:
    image = "--image=localhost/chaoskit/python:1"
    kubectl("run", POD, image, "--restart=Never", "--command", "--", "python3", "-c", f"print({SAID!r})")
    wait = ("--for=jsonpath={.status.phase}=Succeeded", f"--timeout={POD_DEADLINE_S}s")
    kubectl("wait", f"pod/{POD}", *wait)
    said = kubectl("logs", POD).strip()
    if said != SAID:
        sys.exit(f"the pod said {said!r} and not {SAID!r}")


def tell_groups() -> None:
    """Pods' processes are in the groups of their nodes; what the root hands down meanwhile."""
    top = GROUPS / cgroups.OURS
    held = [path for path, _, _ in os.walk(top) if "kubepods" in path and read(Path(path) / "cgroup.procs")]
    tell(f"{len(held)} groups of containers below {top}; the root hands down {read(GROUPS / 'cgroup.subtree_control')}")
    if not held:
        sys.exit("no container is in the groups of its node")


def freeze() -> None:
    running = embedded.find()
    if running is None:
        sys.exit("the cluster is not running any more")
    running.freeze(NODE)
    events = GROUPS / cgroups.OURS / running.name / NODE / "cgroup.events"
    end = time.monotonic() + SETTLE_S
    while "frozen 1" not in read(events):
        if time.monotonic() > end:
            sys.exit(f"{NODE} is not frozen: {events} says {read(events)!r}")
        time.sleep(0.1)


def compare(before: Facts) -> None:
    """End with an error if the machine is not what it was."""
    begun = time.monotonic()
    at_once = different = list(differences(before, look()))
    while different and time.monotonic() < begun + SETTLE_S:
        time.sleep(1.0)
        different = list(differences(before, look()))
    for difference in at_once:
        if difference not in different:
            tell(f"within {time.monotonic() - begun:.0f} s as before again: {difference}")
    if different:
        sys.exit("\n".join([f"{len(different)} differences to before:", *different]))
    tell("nothing is left behind: " + ", ".join(before))


def prove_that_it_would_be_seen(before: Facts) -> None:
    """Leave one thing of each kind behind; the machine is thrown away afterwards."""
    with socket.create_server(("127.0.0.1", 0)), subprocess.Popen(["sleep", "1000"]) as process:
        for command in ("mount -t tmpfs left /mnt", "ip link add left0 type dummy", "nft add table inet left"):
            subprocess.run(command.split(), check=True)
        (GROUPS / "left").mkdir()
        (GROUPS / "cgroup.subtree_control").write_text("+hugetlb")  # systemd has no use for this one.
        Path("/tmp/left").touch()  # noqa: S108 (it is to be found there)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        found = list(differences(before, look()))
        process.kill()
    unseen = [kind for kind in before if not any(line.startswith(f"{kind}:") for line in found)]
    if unseen:
        sys.exit(f"left behind on purpose, but not seen: {', '.join(unseen)}")
    tell(f"left behind on purpose and found: {', '.join(before)}")


def look() -> Facts:
    """All of the machine that a cluster could change, by kind."""
    return {
        "processes": frozenset(processes()),
        "mounts": frozenset(mounts()),
        "interfaces": frozenset(line for what in ("link", "addr", "route") for line in said_by("ip", "-o", what)),
        "rules": frozenset(said_by("nft", "list", "ruleset")),
        "groups": frozenset(path for path, _, _ in os.walk(GROUPS)),
        "controllers": frozenset(f"the root hands down {name}" for name in handed_down()),
        "ports": frozenset(ports()),
        "files": frozenset(files()),
        "settings": frozenset(f"{name} = {read(Path('/proc/sys') / name)}" for name in SETTINGS),
    }


def differences(before: Facts, after: Facts) -> Iterator[str]:
    for kind, were in before.items():
        yield from (f"{kind}: left behind: {what}" for what in sorted(after[kind] - were))
        yield from (f"{kind}: gone: {what}" for what in sorted(were - after[kind]))


def processes() -> Iterator[str]:
    """Commands, and how many of each; the kernel's own threads come and go."""
    found = Counter(filter(None, map(command, Path("/proc").glob("[0-9]*"))))
    yield from (f"{number} × {words}" for words, number in found.items())


def command(process: Path) -> str:
    """Empty for what is not compared: threads of the kernel (the children of its PID 2), and what comes and goes."""
    status = dict(line.partition(":")[::2] for line in read(process / "status").splitlines())
    facts = {key: value.strip() for key, value in status.items()}
    if not facts or process.name == "2" or facts["PPid"] == "2" or facts["Name"] == TRANSIENT:
        return ""
    return f"{facts['Name']}: {read(process / 'cmdline')}"


def mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        first, last = (part.split() for part in line.split(" - "))
        yield f"{last[0]} {last[1]} {first[3]} on {first[4]}"


def handed_down() -> list[str]:
    return read(GROUPS / "cgroup.subtree_control").split()


def ports() -> Iterator[str]:
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == LISTENS or kind.startswith("udp"):
                yield f"{kind} {local}"
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[3] == "00010000":  # __SO_ACCEPTCON, include/uapi/linux/net.h
            yield f"unix {words[7]}"


def files() -> Iterator[str]:
    for top in FILES:
        for folder, below, names in os.walk(top):
            below[:] = [name for name in below if f"{folder}/{name}" not in NOT_COMPARED]
            yield from (f"{folder}/{name}" for name in (*below, *names))


def said_by(*argv: str) -> list[str]:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def read(path: Path) -> str:
    """A file of the kernel's; empty where it went away."""
    try:
        return path.read_text(errors="replace").replace("\0", " ").strip()
    except OSError:  # A process, or a group, which is told by ENODEV.
        return ""


if __name__ == "__main__":
    main()
