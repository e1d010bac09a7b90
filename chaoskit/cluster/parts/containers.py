"""Builds images without a registry and without Docker: static programs from scratch, a Python base from packages.

buildah's storage lives in the folder of the part that is being built and goes with it; the user's own is not touched.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoskit.cluster.parts import sources
from chaoskit.cluster.parts.tools import Tools
from chaoskit.cluster.progress import Progress, Say

PREFIX = "localhost/chaoskit/"
PYTHON = f"{PREFIX}python:1"
ARCHIVE = "image.tar"
# What the reference app imports needs no more; libpython3-stdlib holds the modules, python3-minimal the interpreter.
PYTHON_PACKAGES = ("python3-minimal", "libpython3-stdlib", "ca-certificates")
# What libraries in wheels expect to find: most of C++'s bring nothing but themselves.
WHEELS_PACKAGES = (*PYTHON_PACKAGES, "libstdc++6")
# The suite where the machine's own is no Debian or Ubuntu release.
DEFAULT_SUITE = "bookworm"
# Everything may be run: the images are our own, and nothing is pulled.
TRUST_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
PROGRAM_FILE = 'FROM scratch\nCOPY {name} /{name}\nENTRYPOINT ["/{name}"]\n'
PYTHON_FILE = 'FROM scratch\nADD base.tar /\nENTRYPOINT ["/usr/bin/python3"]\n'


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own in `work`, a folder that goes when the part is built."""

    work: Path
    tools: Tools

    def build(self, context: Path, tag: str, arguments: Mapping[str, str] | None = None) -> None:
        """Build the Containerfile of a folder."""
        given = [f"--build-arg={name}={value}" for name, value in (arguments or {}).items()]
        self._run("bud", "--quiet", "--tag", tag, *given, "--file", str(context / "Containerfile"), str(context))

    def load(self, archive: Path, tag: str) -> None:
        self._run("pull", "--quiet", f"docker-archive:{archive}:{tag}")

    def save(self, tag: str, archive: Path) -> None:
        self._run("push", "--quiet", tag, f"docker-archive:{archive}:{tag}")

    def _run(self, command: str, *arguments: str) -> None:
        policy = self.work / "policy.json"
        policy.write_text(TRUST_POLICY, encoding="utf-8")
        place = ("--root", str(self.work / "storage"), "--runroot", str(self.work / "run"))
        self.tools.run(
            f"buildah {command}",
            # vfs needs no mounts, and these images are small.
            ("buildah", *place, "--storage-driver", "vfs", command, "--signature-policy", str(policy), *arguments),
            environment={"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.work)},
            isolated=True,
        )


def program_image(name: str, program: Path, target: Path, tools: Tools) -> None:
    """One static program and nothing else."""
    with workshop(target) as work:
        shutil.copy2(program, work / name)
        (work / "Containerfile").write_text(PROGRAM_FILE.format(name=name), encoding="utf-8")
        _build_and_save(Builder(work, tools), work, f"{PREFIX}{name}:1", target)


def pause_image(source: bytes, target: Path, tools: Tools) -> None:
    """The container that holds a pod's namespaces: one static C program, since there is one in each pod."""
    with workshop(target) as work:
        (work / "pause.c").write_bytes(source)
        argv = ("cc", "-Os", "-static", "-s", "-o", str(work / "pause"), str(work / "pause.c"))
        tools.run("compiling the pause container", argv)
        program_image("pause", work / "pause", target, tools)


def python_image(suite: str, packages: Sequence[str], target: Path, tools: Tools, say: Say) -> None:
    """A Python base from the distribution's packages: no shell, no package manager."""
    with workshop(target) as work:
        progress = Progress(say, f"image python: from the packages of {suite}", 25)
        included = f"--include={','.join(packages)}"
        tools.run(
            "mmdebstrap",
            ("mmdebstrap", "--variant=extract", included, suite, str(work / "base.tar")),
            environment={"TMPDIR": str(work)},
            isolated=True,
            on_line=lambda _: progress.tick(),
        )
        (work / "Containerfile").write_text(PYTHON_FILE, encoding="utf-8")
        _build_and_save(Builder(work, tools), work, PYTHON, target)
        progress.done()


def app_image(base: Path, target: Path, tools: Tools) -> None:
    """The reference app from its own Containerfile, on the Python base."""
    with workshop(target) as work:
        context = work / "context"
        sources.write(sources.app_files(), context)
        builder = Builder(work, tools)
        builder.load(base / ARCHIVE, PYTHON)
        tag = f"{PREFIX}refapp:1"
        builder.build(context, tag, {"BASE": PYTHON})
        builder.save(tag, target / ARCHIVE)


def _build_and_save(builder: Builder, context: Path, tag: str, target: Path) -> None:
    builder.build(context, tag)
    builder.save(tag, target / ARCHIVE)


@contextlib.contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """A folder inside the part, removed before the part is whole."""
    folder = Path(tempfile.mkdtemp(prefix="work-", dir=target))
    yield folder
    shutil.rmtree(folder)


def suite(os_release: str) -> str:
    """The Debian or Ubuntu release of this machine, whose mirrors and keys are set up; elsewhere a Debian release."""
    entries = (line.partition("=") for line in os_release.splitlines())
    facts = {name: value.strip('"') for name, _, value in entries}
    known = facts.get("ID") in ("debian", "ubuntu")
    return facts.get("VERSION_CODENAME", "") if known and facts.get("VERSION_CODENAME") else DEFAULT_SUITE
