"""Each node's image store, taken over from the template in which every image was unpacked once.

Unpacked layers are never written, so the node's store holds links to those of the template, which every node sees at
`LAYERS`, read-only. Two thousand files a node need not be touched, and they are in memory once for all nodes.
What containerd writes (its two databases) is the node's own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from chaoskit.cluster.processes import Processes

LAYERS = "/opt/chaoskit/layers"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs"
CONTENT = "io.containerd.content.v1.content"
METADATA = "io.containerd.metadata.v1.bolt"


def layers(template: Path) -> Path:
    """What a node must see at `LAYERS`."""
    return template / SNAPSHOTS / "snapshots"


def take_over(template: Path, store: Path) -> None:
    """Make `store` a fresh image store. One of an earlier life of the node is thrown away: containerd would look for
    the containers that it knew, and the node would not register in time."""
    shutil.rmtree(store, ignore_errors=True)
    for folder in (f"{SNAPSHOTS}/snapshots", f"{CONTENT}/ingest", f"{CONTENT}/blobs/sha256", METADATA):
        (store / folder).mkdir(parents=True)
    for layer in layers(template).iterdir():
        (layers(store) / layer.name).symlink_to(f"{LAYERS}/{layer.name}")
    for blob in (template / CONTENT / "blobs" / "sha256").iterdir():
        _link(blob, store / CONTENT / "blobs" / "sha256" / blob.name)
    for database in (f"{SNAPSHOTS}/metadata.db", f"{METADATA}/meta.db"):
        shutil.copy(template / database, store / database)


async def copy_sparse(processes: Processes, source: Path, target: Path) -> None:
    """Copy a folder's content, without the room that its files have reserved but not used."""
    await processes.run("copy", ["cp", "-a", "--reflink=auto", "--sparse=always", f"{source}/.", str(target)])


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # Another file system has no links to offer.
        shutil.copy(source, target)
