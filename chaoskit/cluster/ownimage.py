"""The image of chaoskit itself, made on this machine without a registry, on the distribution's own Python.

`python -m chaoskit.cluster.ownimage` (`make image`) makes it from a checkout, and prints where its archive is. Nothing
of the embedded cluster needs it: it is for running chaoskit in a cluster.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from chaoskit.cluster import system
from chaoskit.cluster.parts import containers, sources
from chaoskit.cluster.parts.store import Part, Store, cache_folder
from chaoskit.cluster.toolset import python_part, tools_of
from chaoskit.errors import ChaoskitError, ToolError

Say = Callable[[str], None]
CONTAINERFILE = Path("deploy") / "image" / "Containerfile"
PROJECT = ("pyproject.toml", "README.md", "LICENSE")
LIBRARIES = "libraries"
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore")


def ensure(say: Say) -> Path:
    """The image's archive, found in the cache or made. ToolError where this is no checkout."""
    plan = _Plan(_checkout(), Store(cache_folder()), say)
    if plan.store.missing(plan.parts):
        system.ensure(say)
        plan.build()
    plan.store.mark_used(plan.parts)
    return plan.store.path(plan.image) / containers.ARCHIVE


def tag() -> str:
    """What pods call the image."""
    return f"chaoskit:{version('chaoskit')}"


def _checkout() -> Path:
    root = Path(__file__).parents[2]
    if not (root / CONTAINERFILE).is_file():
        raise ToolError(
            "the image is made from a checkout of chaoskit, and this is an installed one",
            where=str(root),
            fix="git clone chaoskit's repository, and type make image there (load.workers: name it with --load-image)",
        )
    return root


class _Plan:
    """A Python base, the libraries, which change seldom, and the image with chaoskit's own code."""

    def __init__(self, checkout: Path, store: Store, say: Say) -> None:
        self.store = store
        self._say = say
        project: Mapping[str, Any] = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self._dependencies: list[str] = project["dependencies"]
        self._tag = tag()
        self._source = _source(checkout)
        self._base = python_part(store, say, "own-base", containers.WHEELS_PACKAGES)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._libraries = Part(
            "own-libraries", (python, platform.machine(), *self._dependencies), self._install_libraries, 30.0
        )
        inputs = (self._base.folder_name, self._libraries.folder_name, *_digests(self._source))
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

    def _build_image(self, target: Path) -> None:
        tools = tools_of(self.store)
        with containers.workshop(target) as work:
            source, context = work / "source", work / "context"
            sources.write(self._source, source)
            context.mkdir()
            shutil.copy(source / CONTAINERFILE, context)
            libraries = context / LIBRARIES
            tools.run("linking", ("cp", "-al", str(self.store.path(self._libraries) / LIBRARIES), str(libraries)))
            tools.run("installing chaoskit", (*PIP, "--no-deps", "--target", str(libraries), str(source)))
            builder = containers.Builder(work, tools)
            builder.load(self.store.path(self._base) / containers.ARCHIVE, containers.PYTHON)
            builder.build(context, self._tag, {"BASE": containers.PYTHON})
            builder.save(self._tag, target / containers.ARCHIVE)


def _source(checkout: Path) -> dict[str, bytes]:
    """What is installed, and how the image is built."""
    code = {f"chaoskit/{path}": file.read_bytes() for path, file in sources.walk(files("chaoskit"))}
    return {name: (checkout / name).read_bytes() for name in (*PROJECT, str(CONTAINERFILE))} | code


def _digests(source: Mapping[str, bytes]) -> tuple[str, ...]:
    return tuple(f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in source.items())


def main() -> int:
    try:
        archive = ensure(lambda text: print(text, file=sys.stderr, flush=True))
    except ChaoskitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main())
