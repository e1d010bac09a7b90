"""What the embedded cluster needs from the machine: programs, which can be installed, and kernel features.

Programs are looked for first; what is missing is installed where that is possible (root, apt-get), and else named
together with the command that installs it. Kernel features are tried, not guessed, in namespaces that end afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoskit.cluster.progress import Progress
from chaoskit.errors import ToolError

Say = Callable[[str], None]
INSTALL_S = 40.0
INSTALL_LIMIT_S = 900.0
PROBE_LIMIT_S = 30.0
# Some systems keep these programs where only root looks.
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Need:
    """A program, what it is for, and the package that brings it on each family of distributions."""

    program: str
    purpose: str
    apt: str
    dnf: str
    pacman: str


RUNS = (
    Need("runc", "starts containers", "runc", "runc", "runc"),
    Need("nft", "kube-proxy's Services", "nftables", "nftables", "nftables"),
    Need("ip", "the cluster's network", "iproute2", "iproute", "iproute2"),
    Need("conntrack", "kube-proxy forgets dead connections", "conntrack", "conntrack-tools", "conntrack-tools"),
    Need("unshare", "namespaces", "util-linux", "util-linux", "util-linux"),
    Need("nsenter", "namespaces", "util-linux", "util-linux", "util-linux"),
    Need("mount", "image stores and nodes", "mount", "util-linux", "util-linux"),
)
"""What a cluster uses."""
BUILDS = (
    Need("setpriv", "nothing outlives a build", "util-linux", "util-linux", "util-linux"),
    Need("buildah", "images", "buildah", "buildah", "buildah"),
    Need("mmdebstrap", "the Python base image", "mmdebstrap", "mmdebstrap debian-keyring", "mmdebstrap (AUR)"),
    Need("cc", "the pause container", "gcc", "gcc", "gcc"),
)
"""What is needed beside it as long as something is to be built."""
NEEDS = RUNS + BUILDS
# A compiler alone does not link statically: the C library must be there as an archive.
STATIC_C = Need("libc.a", "the pause container is one static program", "libc6-dev", "glibc-static", "glibc")


def ensure(say: Say, needs: Sequence[Need] = NEEDS) -> None:
    """Install what is missing, or raise ToolError with the command that does. Instant when nothing is."""
    lacking = missing(needs)
    if not lacking:
        return
    names = ", ".join(f"{need.program} ({need.purpose})" for need in lacking)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ToolError(f"programs are missing: {names}", fix=advice(lacking))
    say(f"missing: {names}")
    _install(packages(lacking, "apt"), say)
    if still := missing(needs):
        raise ToolError(f"not there even after their packages were installed: {_programs(still)}", fix=advice(still))


def missing(needs: Sequence[Need] = NEEDS, find: Callable[[str], str | None] | None = None) -> tuple[Need, ...]:
    """Which of the needs this machine does not meet."""
    look = find or _which
    lacking = tuple(need for need in needs if look(need.program) is None)
    compiles = any(need.program == "cc" for need in needs)
    return lacking if not compiles or look("cc") is None or _has_static_c() else (*lacking, STATIC_C)


def packages(needs: Sequence[Need], manager: str) -> list[str]:
    """The packages that bring these, each once, for "apt", "dnf" or "pacman". A compiler comes with its library."""
    wanted = (*needs, STATIC_C) if any(need.program == "cc" for need in needs) else tuple(needs)
    names = [name for need in wanted for name in str(getattr(need, manager)).split(" ")]
    return sorted(dict.fromkeys(name for name in names if not name.startswith("(")))


def advice(needs: Sequence[Need]) -> str:
    """What to type on each family of distributions."""
    outside = "  (mmdebstrap is in the AUR)" if any("(AUR)" in need.pacman for need in needs) else ""
    return (
        "install them as root, then type the same command again:"
        f"\n    Debian, Ubuntu:  apt-get install --no-install-recommends {' '.join(packages(needs, 'apt'))}"
        f"\n    Fedora:          dnf install {' '.join(packages(needs, 'dnf'))}"
        f"\n    Arch:            pacman -S {' '.join(packages(needs, 'pacman'))}{outside}"
    )


def _programs(needs: Sequence[Need]) -> str:
    return ", ".join(need.program for need in needs)


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(SYSTEM_FOLDERS))


def _has_static_c() -> bool:
    asked = subprocess.run(["cc", "-print-file-name=libc.a"], capture_output=True, text=True, check=False)
    return Path(asked.stdout.strip()).is_absolute()


def _install(names: Sequence[str], say: Say) -> None:
    """Package lists are fetched only if the present ones do not do: that saves most of the time."""
    progress = Progress(say, f"installing {' '.join(names)} with apt-get", INSTALL_S)
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *names]
    first = _apt(install, progress)
    if first.returncode:
        _apt(["apt-get", "update", "-q"], progress)
        again = _apt(install, progress)
        if again.returncode:
            raise ToolError(
                f"apt-get could not install {' '.join(names)}",
                why=again.stdout.strip()[-1500:],
                fix=f"apt-get install --no-install-recommends {' '.join(names)}",
            )
    progress.done()


def _apt(argv: Sequence[str], progress: Progress) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output = _collect(process, progress)
    return subprocess.CompletedProcess(argv, process.returncode, output)


def _collect(process: subprocess.Popen[str], progress: Progress) -> str:
    """The whole output, with a word to the reader now and then."""
    waited = 0.0
    while waited < INSTALL_LIMIT_S:
        try:
            return process.communicate(timeout=1)[0]
        except subprocess.TimeoutExpired:
            waited += 1
            progress.tick()
    process.terminate()
    return process.communicate()[0] + f"\nstopped after {INSTALL_LIMIT_S:.0f} s"


def check_kernel() -> None:
    """Try what the cluster will do, in namespaces of its own, and raise ToolError with all that does not work."""
    if os.geteuid() != 0:
        raise ToolError(
            "only root can start the embedded cluster",
            why="it makes namespaces, mounts and network interfaces",
            fix="sudo -E make demo (or, on a cluster that you have: chaoskit run FILE --context NAME)",
        )
    probe = ["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    module = [sys.executable, "-m", "chaoskit.cluster.kernel"]
    try:
        tried = subprocess.run(
            [*probe, "--", *module], capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"the kernel's features could not be tried within {PROBE_LIMIT_S:.0f} s", fix=" ".join([*probe, "true"])
        ) from error
    if tried.returncode:
        raise ToolError(
            "this kernel, or the container that we are in, lacks what the embedded cluster needs",
            why=(tried.stdout + tried.stderr).strip(),
            fix="use a stock distribution kernel (5.10 or newer); in a container, run it privileged",
        )
