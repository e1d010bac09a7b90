"""The files that come with the package: Go sources, the pause container's C source, the reference app.

They are read through importlib.resources and copied before use, since the package may be installed where nobody may
write.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SKIPPED = frozenset({"__pycache__", "build", "dist"})


def servers() -> Traversable:
    return files("chaoskit.cluster") / "servers"


def reference_app() -> Traversable:
    return files("chaoskit.refapp")


def walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Every file below, with its relative path, in a fixed order; caches and hidden files are left out."""
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name.startswith(".") or item.name in SKIPPED:
            continue
        if item.is_dir():
            yield from walk(item, f"{prefix}{item.name}/")
        else:
            yield prefix + item.name, item


def go_files() -> dict[str, bytes]:
    """What a program is compiled from; tests are not part of it."""
    wanted = {
        path: file
        for path, file in walk(servers())
        if path.endswith((".go", "go.mod", "go.sum")) and not path.endswith("_test.go")
    }
    return {path: file.read_bytes() for path, file in wanted.items()}


def app_files() -> dict[str, bytes]:
    """What the reference app's image is built from: its Containerfile and the folder that this copies."""
    app = reference_app()
    code = {f"app/{path}": file.read_bytes() for path, file in walk(app / "app")}
    return {"Containerfile": (app / "Containerfile").read_bytes(), **code}


def write(contents: dict[str, bytes], folder: Path) -> None:
    for path, content in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
