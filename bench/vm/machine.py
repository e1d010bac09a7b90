"""Makes the emulated machine: Debian with its kernel and systemd, what was built for the cluster, Python's libraries.

It is kept in the user's cache, named by what went into it. chaoskit's own code is not in it: it comes on a second disk.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from chaoskit.cluster import system
from chaoskit.cluster.parts import containers, go
from chaoskit.cluster.parts.store import Part, Store, cache_folder
from chaoskit.cluster.toolset import Toolset
from chaoskit.errors import ToolError

Say = Callable[[str], None]

SUITE, PYTHON = "bookworm", (3, 11)
# What a Debian machine has, and what `make tools` would install on it.
PACKAGES = (
    *("systemd-sysv", "dbus", "udev", "linux-image-amd64", "procps", "kmod", "python3", "ca-certificates"),
    *system.packages(system.NEEDS, "apt"),
)
# Chores that would start at any moment, and that the comparison would then take for the cluster's.
QUIET = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
)
DISK = "10G"
LIBRARIES, JOB = "/opt/libraries", "/opt/job"
# One processor of a thousand million instructions a second: see `check.py`.
PATIENCE = 5
# The second serial port is the only way out: there is no network, and the first port is the kernel's.
START = f"""#!/bin/sh
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost
tar xf /dev/vdb -C /
python3 {JOB}/inside.py
echo "exit code $?"
sync
poweroff -f
"""
UNIT = f"""[Unit]
Description=The check of the embedded cluster
After=multi-user.target
[Service]
Environment=HOME=/root XDG_CACHE_HOME={cache_folder().parent} PYTHONPATH={JOB}:{LIBRARIES} PYTHONUNBUFFERED=1
Environment=CHAOSKIT_PATIENCE={PATIENCE}
ExecStart=/bin/sh /opt/start.sh
[Install]
WantedBy=default.target
"""
# What only developers need, and chaoskit itself, which comes with the job.
NOT_TAKEN = ("mypy", "mypy-*", "ruff*", "pip", "pip-*", "setuptools*", "__editable__*", "chaoskit")
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}


def prepare(toolset: Toolset, say: Say) -> Path:
    """The folder with `disk.img`, `vmlinuz` and `initrd`."""
    _check()
    store = Store(cache_folder() / "vm")
    base = Part("base", (SUITE, *PACKAGES), partial(_build_base, say))
    made_of = (base.folder_name, toolset.bin.parent.name, toolset.template.parent.name, _go_version(), *_libraries())
    inputs = (*made_of, *QUIET, *NOT_TAKEN, START, UNIT, DISK)
    machine = Part("machine", inputs, lambda target: _build_machine(store.path(base), toolset, target, say))
    with store.lock(say):
        for part in store.missing((base, machine)):
            store.make(part)
        store.prune((base, machine), ("base", "machine"), math.inf)  # At once, for each machine takes 2 GB.
    return store.path(machine)


def _check() -> None:
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        raise ToolError(
            f"programs are missing, of the packages {', '.join(missing)}",
            fix=f"apt-get install --no-install-recommends {' '.join(missing)}",
        )
    if sys.version_info[:2] != PYTHON or containers.suite(Path("/etc/os-release").read_text()) != SUITE:
        raise ToolError(
            "this check needs Debian 12 and Python 3.11, as the emulated machine has them",
            why="it takes over the libraries and the images that were built here",
            fix="run it on Debian 12: make vm-check",
        )


def _build_base(say: Say, target: Path) -> None:
    say("a Debian machine with its kernel, from packages: about 3 min, once")
    packages = f"--include={','.join(PACKAGES)}"
    _run(["mmdebstrap", "--quiet", "--variant=important", packages, SUITE, f"{target}/base.tar"])


def _build_machine(base: Path, toolset: Toolset, target: Path, say: Say) -> None:
    say("its disk: about 1 min, once")
    root = target / "root"
    root.mkdir()
    _run(["tar", "xf", f"{base}/base.tar", "-C", str(root)])
    for name, pattern in (("vmlinuz", "vmlinuz-*"), ("initrd", "initrd.img-*")):
        shutil.copy(next((root / "boot").glob(pattern)), target / name)
    _add_toolset(root, toolset)
    libraries = Path(sysconfig.get_path("purelib"))
    shutil.copytree(libraries, inside(root, LIBRARIES), symlinks=True, ignore=shutil.ignore_patterns(*NOT_TAKEN))
    _configure(root)
    _run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), f"{target}/disk.img", DISK])
    shutil.rmtree(root)


def _add_toolset(root: Path, toolset: Toolset) -> None:
    """The same cache folder as here, so that the cluster finds everything built."""
    cache = inside(root, str(cache_folder()))
    cache.mkdir(parents=True)
    _run(["cp", "-a", str(toolset.bin.parent), str(toolset.template.parent), str(cache)])
    # The images are in the template already; that they were built is told by their folders.
    for image in cache_folder().glob("image-*"):
        (cache / image.name).mkdir()
    compiler = root / "usr/local/bin/go"
    compiler.write_text(f"#!/bin/sh\n# Only the version is asked for, to find what it built.\necho {_go_version()}\n")
    compiler.chmod(0o755)


def _configure(root: Path) -> None:
    (root / "etc/fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("debian\n")
    (root / "opt/start.sh").write_text(START)
    units = root / "etc/systemd/system"
    (units / "check.service").write_text(UNIT)
    (units / "default.target.wants").mkdir(exist_ok=True)
    (units / "default.target.wants/check.service").symlink_to("../check.service")
    for timer in QUIET:
        (units / timer).unlink(missing_ok=True)
        (units / timer).symlink_to("/dev/null")


def inside(root: Path, path: str) -> Path:
    """Where an absolute path of the emulated machine is, as long as it is a folder here."""
    return root / path.lstrip("/")


def _libraries() -> list[str]:
    return sorted(path.name for path in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


def _go_version() -> str:
    return go.choose(cache_folder()).version


def _run(argv: Sequence[str]) -> None:
    subprocess.run(["nice", "-n", "19", *argv], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
