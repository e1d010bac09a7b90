"""`make vm-check`: the embedded cluster on a machine as users have it: Debian's own kernel, systemd, cgroup v2.

The machine is emulated in software, so that it needs no virtualisation and no right on the host beyond root's. What is
tried in it is in `inside.py`; what it says comes out of a serial port. Exit code 0 only if it says that all held.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import inside
import machine

import chaoskit
from chaoskit.cluster import seed, toolset
from chaoskit.cluster.parts.store import cache_folder
from chaoskit.cluster.profile import ACCELERATED
from chaoskit.errors import ChaoskitError

LIMIT_S = 90 * 60.0
MEMORY_MB = 4096
# The machine's clock counts its instructions, one a nanosecond, and not our time: what runs in it has deadlines of its
# own, and a busy machine would make it miss them. While it waits, its time jumps to the next timer.
CLOCK = ("-icount", "shift=0,sleep=off", "-rtc", "clock=vm")
LAST_WORD = re.compile(r"exit code (\d+)")
CODE = Path(__file__).parent


def main() -> int:
    try:
        built = toolset.ensure(_say)
        store = seed.ensure(built, ACCELERATED.name, inside.NODES, _say)
        folder = machine.prepare(built, _say)
    except ChaoskitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder.parent) as work:
        return _run(folder, _job_disk(Path(work), store), Path(work))


def _say(text: str) -> None:
    print(text, flush=True)


def _job_disk(work: Path, store: Path) -> Path:
    """A disk that holds one archive: chaoskit, what is to be tried, and the store that clusters start from."""
    root, disk = work / "root", work / "job.tar"
    job = machine.inside(root, machine.JOB)
    package = Path(chaoskit.__file__).parent
    shutil.copytree(package, job / "chaoskit", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CODE / "inside.py", job)
    cache = machine.inside(root, str(cache_folder()))
    cache.mkdir(parents=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(store.parent), str(cache)], check=True)
    subprocess.run(["tar", "--create", "--sparse", f"--file={disk}", f"--directory={root}", "."], check=True)
    shutil.rmtree(root)
    return disk


def _run(folder: Path, disk: Path, work: Path) -> int:
    """Boot the machine and tell what it says, until it says how it ended."""
    begun, said, console = time.monotonic(), work / "said.log", work / "console.log"
    said.touch()
    _say("booting; emulated, it takes about ten minutes")
    with subprocess.Popen(_qemu(folder, disk, said, console), env={"PATH": "/usr/bin:/bin", "TMPDIR": str(work)}) as vm:
        try:
            for line in _lines(said, vm, begun + LIMIT_S):
                _say(f"{time.monotonic() - begun:6.0f} s  {line}")
                if ended := LAST_WORD.fullmatch(line):
                    return int(ended.group(1))
        finally:
            vm.kill()
    print("error: the machine did not say how it ended; the last that its kernel said:", file=sys.stderr)
    print(console.read_text(errors="replace")[-2000:], file=sys.stderr)
    return 2


def _qemu(folder: Path, disk: Path, said: Path, console: Path) -> list[str]:
    drive = "if=virtio,format=raw,cache=unsafe"
    return [
        *("nice", "-n", "19", "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", *CLOCK),
        *("-m", str(MEMORY_MB), "-display", "none", "-nic", "none", "-no-reboot"),
        *("-serial", f"file:{console}", "-serial", f"file:{said}"),
        *("-kernel", f"{folder}/vmlinuz", "-initrd", f"{folder}/initrd"),
        *("-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1"),
        *("-drive", f"file={folder}/disk.img,{drive},snapshot=on"),  # The disk stays as it was made.
        *("-drive", f"file={disk},{drive},readonly=on"),
    ]


def _lines(file: Path, vm: subprocess.Popen[bytes], end: float) -> Iterator[str]:
    """The whole lines of a file that grows, until the machine is off or the time is over."""
    with file.open(errors="replace") as reader:
        begun = ""
        while time.monotonic() < end:
            over = vm.poll() is not None
            begun += reader.read()
            *whole, begun = begun.split("\n")
            yield from whole
            if over:
                return
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
