"""An etcd store that already holds the platform's own objects, made once: a start from it saves about three seconds.

What makes it is `seed_maker.py`, in namespaces of its own.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from chaoskit.cluster.parts.store import Part, Store, cache_folder
from chaoskit.cluster.parts.tools import Tools
from chaoskit.cluster.toolset import Say, Toolset

EXPECTED_S = 10.0
# What decides the store's content, besides the programs: the add-ons, and the code that starts them.
SOURCES = ("addons/*.yaml", "addons.py", "control_plane.py", "network.py", "profile.py", "seed_maker.py")


@dataclass(frozen=True)
class Request:
    """What the maker is told; handed on as JSON."""

    programs: str
    profile: str
    nodes: int
    target: str


def ensure(toolset: Toolset, profile_name: str, nodes: int, say: Say) -> Path:
    """The store for a kind of cluster: found in the cache, or made."""
    store = Store(cache_folder())
    part = Part("seed", _inputs(toolset, profile_name, nodes), lambda _: None)
    if not store.has(part):
        with store.lock(say):
            if not store.has(part):
                say(f"preparing the store of clusters with {nodes} nodes, once (about {EXPECTED_S:.0f} s)")
                tools = Tools(store.root / "seed.log", store.held_lock)
                store.make(Part("seed", part.inputs, lambda target: _make(tools, toolset, profile_name, nodes, target)))
                store.prune([part], ["seed"], time.time())
    store.mark_used([part])
    return store.path(part) / "etcd"


def _inputs(toolset: Toolset, profile_name: str, nodes: int) -> tuple[str, ...]:
    folder = Path(__file__).parent
    files = [file for pattern in SOURCES for file in sorted(folder.glob(pattern))]
    content = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return (str(toolset.bin), profile_name, str(nodes), *content)


def _make(tools: Tools, toolset: Toolset, profile_name: str, nodes: int, target: Path) -> None:
    request = Request(str(toolset.bin), profile_name, nodes, str(target))
    isolated = ["unshare", "--net", sys.executable, "-m", "chaoskit.cluster.seed_maker", json.dumps(asdict(request))]
    tools.run("preparing the store", isolated, isolated=True)
