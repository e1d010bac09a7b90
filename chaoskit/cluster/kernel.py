"""Tries, one by one, the kernel features that the embedded cluster uses. Prints what does not work.

Runs as a program of its own inside fresh mount, PID, network, UTS and IPC namespaces, which `chaoskit.cluster.system`
makes: whatever it sets up is gone when it ends.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# What kube-proxy's nftables mode is made of: address translation, masquerading, maps of verdicts, random choice.
RULES = """\
table ip chaoskit_probe {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain endpoint { meta l4proto tcp dnat to 10.0.0.1:80; }
  chain choose { numgen random mod 2 vmap { 0 : goto endpoint, 1 : goto endpoint }; }
  chain output { type nat hook output priority -100; ip daddr . meta l4proto . th dport vmap @services; }
  chain postrouting { type nat hook postrouting priority 100; masquerade; }
  chain forward { type filter hook forward priority 0; ct state invalid drop; }
}
"""
CGROUP = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")


def problems(folder: Path) -> Iterator[str]:
    """`folder` is an empty folder of this mount namespace."""
    yield from _failed("tmpfs", ["mount", "-t", "tmpfs", "tmpfs", str(folder)])
    yield from _overlay(folder)
    yield from _failed("veth interfaces", ["ip", "link", "add", "ck0", "type", "veth", "peer", "name", "ck1"])
    yield from _failed("bridge interfaces", ["ip", "link", "add", "ckbr", "type", "bridge"])
    yield from _failed("nftables with address translation", ["nft", "-f", "-"], RULES)
    yield from _missing_controllers(CGROUP)


def _overlay(folder: Path) -> Iterator[str]:
    lower, upper, work, merged = (folder / name for name in ("lower", "upper", "work", "merged"))
    for path in (lower, upper, work, merged):
        path.mkdir()
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    yield from _failed("overlayfs", ["mount", "-t", "overlay", "overlay", "-o", layers, str(merged)])


def _missing_controllers(cgroup: Path) -> Iterator[str]:
    unified = cgroup / "cgroup.controllers"
    if unified.exists():
        there = unified.read_text(encoding="utf-8").split()
        missing = [name for name in CONTROLLERS if name not in there]
    else:
        missing = [name for name in CONTROLLERS if not (cgroup / name).is_dir()]
    if missing:
        kind = "version 2" if unified.exists() else "version 1"
        yield f"control groups ({kind}, {cgroup}): no controller {', '.join(missing)}"


def _failed(feature: str, argv: Sequence[str], given: str = "") -> Iterator[str]:
    tried = subprocess.run(argv, input=given, capture_output=True, text=True, check=False)
    if tried.returncode:
        first = tried.stderr.strip().partition("\n")[0]
        yield f"{feature}: {first or f'{argv[0]} ended with status {tried.returncode}'}"


def main() -> int:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = list(problems(Path(folder)))
        subprocess.run(["umount", "--recursive", folder], check=False, capture_output=True)
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
