"""The programs and images that the embedded cluster is made of: found in the cache, or built.

`python -m chaoskit.cluster.toolset` installs what the system lacks, builds what is missing and tells where it is.
"""

from __future__ import annotations

import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chaoskit.cluster import system
from chaoskit.cluster.parts import containers, go, sources, template
from chaoskit.cluster.parts.store import Part, Store, cache_folder
from chaoskit.cluster.parts.tools import Tools
from chaoskit.cluster.progress import duration
from chaoskit.errors import ChaoskitError

Say = Callable[[str], None]

PAUSE, COREDNS, METRICS_SERVER, PYTHON, REFAPP = "pause", "coredns", "metrics-server", "python", "refapp"
# The reference app's second version is the same code under another name; its environment tells it apart.
SECOND = {f"{containers.PREFIX}refapp:2": f"{containers.PREFIX}refapp:1"}
IMAGES = (
    *(f"{containers.PREFIX}{name}:1" for name in (PAUSE, COREDNS, METRICS_SERVER, PYTHON, REFAPP)),
    *SECOND,
)
LOG = "build.log"
# With everything in Go's own cache; what is to be compiled is counted and told once that is known.
LINKING_S = 60.0


@dataclass(frozen=True)
class Toolset:
    """`bin` holds the programs, `template` is the containerd store that nodes take over, `images` are its images."""

    bin: Path
    template: Path
    images: tuple[str, ...]


def find() -> Toolset | None:
    """What is in the cache, if it is whole and of this version."""
    plan = _Plan(Store(cache_folder()), _silent)
    return None if plan.missing() else plan.toolset()


def ensure(say: Say) -> Toolset:
    """Find everything, or build what is missing, which may take a quarter of an hour; `say` gets the progress."""
    plan = _Plan(Store(cache_folder()), say)
    if plan.missing():
        system.ensure(say)
        plan.build()
    plan.store.mark_used(plan.parts)
    return plan.toolset()


def python_part(
    store: Store, say: Say, name: str = "image-python", packages: Sequence[str] = containers.PYTHON_PACKAGES
) -> Part:
    """A Python base: what other images are built on."""
    suite = containers.suite(_os_release())
    return Part(
        name,
        (suite, platform.machine(), *packages, containers.PYTHON_FILE),
        lambda target: containers.python_image(suite, packages, target, tools_of(store), say),
        25.0,
    )


def tools_of(store: Store) -> Tools:
    """What builds parts, under the lock that the builder holds."""
    return Tools(store.root / LOG, store.held_lock)


def _silent(_: str) -> None:
    """Nobody waits for a look."""


class _Plan:
    """The parts of this version, each with what it is built from, in the order in which they are built."""

    def __init__(self, store: Store, say: Say) -> None:
        self.store = store
        self._say = say
        self._programs = self._programs_part(go.choose(store.root))
        self._images = self._image_parts()
        self._template = self._template_part()
        self.parts = (self._programs, *self._images.values(), self._template)

    def missing(self) -> list[Part]:
        return self.store.missing(self.parts)

    def toolset(self) -> Toolset:
        return Toolset(self.store.path(self._programs) / "bin", self.store.path(self._template) / "root", IMAGES)

    def build(self) -> None:
        with self.store.lock(self._say):
            missing = self.missing()  # Another build may have made them while we waited.
            total = sum(part.expected_s for part in missing)
            names = ", ".join(part.name for part in missing)
            longer = ", or 15 min if Go has compiled nothing of it yet" if self._programs in missing else ""
            self._say(f"to be built, once: {names} (about {duration(total)}{longer})")
            self._tools().log.write_text("", encoding="utf-8")
            for part in missing:
                self._make(part)
            self._prune()

    def _make(self, part: Part) -> None:
        started = time.monotonic()
        if part is not self._programs:
            self._say(f"{part.name}: about {duration(part.expected_s)}")
        self.store.make(part)
        self._say(f"{part.name}: built in {duration(time.monotonic() - started)}")

    def _prune(self) -> None:
        for name in self.store.prune(self.parts, [part.name for part in self.parts], time.time()):
            self._say(f"removed {name}, which was not used for two weeks")

    def _tools(self) -> Tools:
        return tools_of(self.store)

    def _programs_part(self, toolchain: go.Toolchain) -> Part:
        return Part("programs", go.inputs(toolchain), self._compile, LINKING_S)

    def _compile(self, target: Path) -> None:
        tools = self._tools()
        compiler = go.bring(self.store.root, tools, self._say)
        work = target / "work"
        work.mkdir()
        go.compile_all(compiler, work, target, tools, self._say)
        shutil.rmtree(work)

    def _image_parts(self) -> dict[str, Part]:
        pause_source = (sources.servers() / "pause.c").read_text(encoding="utf-8")
        python = python_part(self.store, self._say)
        app = Part("image-refapp", (python.folder_name, *_app_inputs()), self._build_app, 10.0)
        pause = Part("image-pause", (pause_source, platform.machine(), containers.PROGRAM_FILE), self._build_pause, 2.0)
        served = {name: self._server_image(name) for name in (COREDNS, METRICS_SERVER)}
        return {PAUSE: pause, **served, PYTHON: python, REFAPP: app}

    def _server_image(self, name: str) -> Part:
        return Part(
            f"image-{name}",
            (self._programs.folder_name, containers.PROGRAM_FILE),
            partial(self._build_server_image, name),
            3.0,
        )

    def _build_server_image(self, name: str, target: Path) -> None:
        program = self.store.path(self._programs) / "images" / name
        containers.program_image(name, program, target, self._tools())

    def _build_pause(self, target: Path) -> None:
        containers.pause_image((sources.servers() / "pause.c").read_bytes(), target, self._tools())

    def _build_app(self, target: Path) -> None:
        containers.app_image(self.store.path(self._images[PYTHON]), target, self._tools())

    def _template_part(self) -> Part:
        made_of = (self._programs, *self._images.values())
        inputs = (*(part.folder_name for part in made_of), template.CONFIGURATION, *IMAGES)
        return Part("template", inputs, self._unpack, 20.0)

    def _unpack(self, target: Path) -> None:
        archives = {name: self.store.path(part) / containers.ARCHIVE for name, part in self._images.items()}
        template.make(self.store.path(self._programs) / "bin", archives, SECOND, target, self._tools())


def _app_inputs() -> tuple[str, ...]:
    return tuple(f"{path}\0{content.decode('utf-8', 'replace')}" for path, content in sources.app_files().items())


def _os_release() -> str:
    path = Path("/etc/os-release")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main() -> int:
    """Make this machine able to run embedded clusters, and say where things are."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        system.ensure(say)
        system.check_kernel()
        toolset = ensure(say)
    except ChaoskitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what was built is kept, and what was begun is gone", file=sys.stderr)
        return 130
    print(f"programs  {toolset.bin}\ntemplate  {toolset.template}\nimages    {' '.join(toolset.images)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
