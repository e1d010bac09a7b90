"""Image archives, as `docker save`, `buildah push` and `skopeo copy` write them: which images one holds, and where a
cluster keeps those that its user has loaded.

They are kept because a node that is switched on begins with a fresh image store (`images.take_over`): it takes them in
again before its kubelet starts.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import posixpath
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaoskit.errors import UsageError

SUFFIX = ".tar"
# Files of an archive: https://github.com/opencontainers/image-spec/blob/main/image-layout.md, and docker save's own.
OCI_LAYOUT, OCI_INDEX, DOCKER_MANIFEST = "oci-layout", "index.json", "manifest.json"
# containerd's annotation of a whole name, and OCI's, which may be a tag only.
WHOLE_NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
MOST_JSON = 20 * 1024 * 1024
MAKE_ONE = "docker save -o shop.tar shop:1, or buildah push shop:1 docker-archive:shop.tar:shop:1"


def image_names(archive: Path) -> tuple[str, ...]:
    """The images in it, by the names that pods give. UsageError if it is no image archive, or names none."""
    found = _described(archive)
    names = _oci_names(found) if OCI_LAYOUT in found else _docker_names(found)
    if not names:
        raise UsageError("the archive does not say what its image is called", where=str(archive), fix=MAKE_ONE)
    for name in names:
        if whole(name) != name:
            raise UsageError(
                f"the archive calls its image {name!r}, which is not a whole name",
                where=str(archive),
                why="a node would keep it under that name, and pods would look for another",
                fix="buildah push shop:1 oci-archive:shop.tar:localhost/shop:1, or docker-archive:shop.tar:shop:1",
            )
    return names


def kept_as(names: tuple[str, ...], folder: Path) -> Path:
    """Where the archive with these images is kept."""
    return folder / f"{hashlib.sha256(' '.join(sorted(names)).encode()).hexdigest()[:20]}{SUFFIX}"


def keep(archive: Path, names: tuple[str, ...], folder: Path) -> Path:
    """A copy for the nodes; it takes the place of one with the same images."""
    kept = kept_as(names, folder)
    draft = kept.with_suffix(".part")
    try:
        shutil.copyfile(archive, draft)
        draft.replace(kept)
    finally:
        draft.unlink(missing_ok=True)
    return kept


def kept_in(folder: Path) -> list[Path]:
    """What was kept, in the order in which it was loaded: of two that hold the same image, the later one counts."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda kept: kept.stat().st_mtime_ns)


def _described(archive: Path) -> Mapping[str, Any]:
    """The files of an archive that tell of its images, parsed."""
    if not archive.is_file():
        what = "this is a folder, not an image archive" if archive.is_dir() else "there is no such file"
        raise UsageError(what, where=str(archive), fix=MAKE_ONE)
    found: dict[str, Any] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = posixpath.normpath(member.name)
                if name in (OCI_LAYOUT, OCI_INDEX, DOCKER_MANIFEST) and member.isfile() and member.size <= MOST_JSON:
                    file = tar.extractfile(member)
                    found[name] = json.load(file) if file else None
    except PermissionError as error:
        raise UsageError("the archive cannot be read", where=str(archive), why=str(error.strerror)) from error
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as error:
        raise UsageError("this is no image archive, or not a whole one", where=str(archive), why=str(error)) from error
    if OCI_LAYOUT not in found and DOCKER_MANIFEST not in found:
        raise UsageError(
            "this is no image archive",
            where=str(archive),
            why=f"it is a tar file without {DOCKER_MANIFEST} and {OCI_LAYOUT}",
            fix=MAKE_ONE,
        )
    return found


def _oci_names(found: Mapping[str, Any]) -> tuple[str, ...]:
    index = found.get(OCI_INDEX)
    manifests = index.get("manifests") if isinstance(index, dict) else None
    notes = [m.get("annotations") for m in manifests or () if isinstance(m, dict)]
    names = [n.get(WHOLE_NAME) or n.get(REF_NAME) for n in notes if isinstance(n, dict)]
    return tuple(dict.fromkeys(str(name) for name in names if name))


def _docker_names(found: Mapping[str, Any]) -> tuple[str, ...]:
    manifests = found[DOCKER_MANIFEST]
    tags = [m.get("RepoTags") for m in manifests if isinstance(m, dict)] if isinstance(manifests, list) else []
    return tuple(dict.fromkeys(whole(str(tag)) for listed in tags for tag in listed or ()))


def whole(name: str) -> str:
    """As Docker and Kubernetes complete a short name (`ParseNormalizedNamed`, github.com/distribution/reference)."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name if re.search(r"[:@][^/]*$", name) else f"{name}:latest"
