"""The image of chaoskit itself, made on this machine without a registry, on the distribution's own Python.

It holds chaoskit as it is installed here, and the libraries that it names. The embedded cluster is given it when a
load is to run inside (`load.workers`); `chaoskit cluster image` makes it for any other.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import Distribution, distributions, version
from importlib.resources import files
from pathlib import Path

from chaoskit.cluster import system
from chaoskit.cluster.parts import containers, sources
from chaoskit.cluster.parts.store import Part, Store, cache_folder
from chaoskit.cluster.toolset import python_part, tools_of

Say = Callable[[str], None]
CONTAINERFILE = "Containerfile"
METADATA = "METADATA"
ABOUT = (METADATA, "entry_points.txt", "licenses/LICENSE")
LIBRARIES = "libraries"  # As the Containerfile calls them.
# Each node unpacks the image: what is imported is compiled while it is made, and what is never imported is left out.
QUIETLY = ("--quiet", "--disable-pip-version-check", "--root-user-action=ignore")
PIP = (sys.executable, "-m", "pip", "install", *QUIETLY, "--no-compile")
UNUSED = ("kubernetes/aio",)


def ensure(say: Say) -> Path:
    """The image's archive, found in the cache or made. ToolError where a program is missing or fails."""
    plan = _Plan(Store(cache_folder()), say)
    if plan.store.missing(plan.parts):
        system.ensure(say)
        plan.build()
    plan.store.mark_used(plan.parts)
    return plan.store.path(plan.image) / containers.ARCHIVE


def tag() -> str:
    """What pods call the image."""
    return f"chaoskit:{version('chaoskit')}"


class _Plan:
    """A Python base, the libraries, which change seldom, and the image with chaoskit's own code."""

    def __init__(self, store: Store, say: Say) -> None:
        self.store = store
        self._say = say
        own = _installed()
        self._dependencies = [each for each in own.requires or () if "extra ==" not in each]
        self._tag = tag()
        self._code = _code(own)
        self._containerfile = (files("chaoskit.cluster") / "image" / CONTAINERFILE).read_bytes()
        self._base = python_part(store, say, "own-base", containers.WHEELS_PACKAGES)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._libraries = Part(
            "own-libraries", (python, platform.machine(), *UNUSED, *self._dependencies), self._install_libraries, 30.0
        )
        content = _digests({CONTAINERFILE: self._containerfile, **self._code})
        inputs = (self._base.folder_name, self._libraries.folder_name, *content)
        self.image = Part("own-image", inputs, self._build_image, 25.0)
        self.parts = (self._base, self._libraries, self.image)

    def build(self) -> None:
        with self.store.lock(self._say):
            for part in self.store.missing(self.parts):
                self._say(f"{part.name}: about {part.expected_s:.0f} s")
                self.store.make(part)
            self.store.prune(self.parts, [part.name for part in self.parts], time.time())

    def _install_libraries(self, target: Path) -> None:
        argv = (*PIP, "--target", str(target / LIBRARIES), *self._dependencies)
        tools_of(self.store).run("installing chaoskit's libraries", argv)
        for folder in UNUSED:
            shutil.rmtree(target / LIBRARIES / folder)

    def _build_image(self, target: Path) -> None:
        tools = tools_of(self.store)
        with containers.workshop(target) as work:
            context = work / "context"
            context.mkdir()
            (context / CONTAINERFILE).write_bytes(self._containerfile)
            libraries = context / LIBRARIES
            tools.run("linking", ("cp", "-al", str(self.store.path(self._libraries) / LIBRARIES), str(libraries)))
            sources.write(self._code, libraries)
            builder = containers.Builder(work, tools)
            builder.load(self.store.path(self._base) / containers.ARCHIVE, containers.PYTHON)
            builder.build(context, self._tag, {"BASE": containers.PYTHON})
            builder.save(self._tag, target / containers.ARCHIVE)


def _code(own: Distribution) -> dict[str, bytes]:
    """The package, and what Python knows of it: version, libraries, entry points, licence."""
    code = {f"chaoskit/{path}": file.read_bytes() for path, file in sources.walk(files("chaoskit"))}
    folder = f"chaoskit-{own.version}.dist-info"
    about = {name: own.read_text(name) or "" for name in ABOUT}
    about[METADATA] = about[METADATA].partition("\n\n")[0] + "\n"  # Without the description, the whole README.
    return code | {f"{folder}/{name}": text.encode() for name, text in about.items()}


def _installed() -> Distribution:
    """A checkout has an .egg-info beside it, from which its licence is missing."""
    return next(found for found in distributions(name="chaoskit") if found.read_text(METADATA))


def _digests(content: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(f"{path} {hashlib.sha256(part).hexdigest()}" for path, part in content.items())
