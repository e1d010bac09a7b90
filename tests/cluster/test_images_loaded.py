"""An image of the user's own, which no registry has, and which the embedded cluster was not built with."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from started import chaoskit, until

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.cluster.parts.store import cache_folder
from chaoskit.cluster.state import Folder
from chaoskit.errors import ClusterError
from chaoskit.model import Raw
from chaoskit.objects import condition, name, ready

pytestmark = pytest.mark.cluster
NODE = "node3"


def archive(path: Path, tag: str, change: Callable[[Raw], Raw] = dict) -> Path:
    """The smallest image that there is, the pause container's, under another name; `change` spoils its manifest."""
    known = next(cache_folder().glob("image-pause-*/image.tar"))
    with tarfile.open(known) as old, tarfile.open(path, "w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""
            if member.name == "manifest.json":
                data = json.dumps([change({**image, "RepoTags": [tag]}) for image in json.loads(data)]).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def made(api: KubeCluster) -> Iterator[Callable[[str, str], None]]:
    """Makes pods of an image on a node, and waits until they run."""
    pods = []

    def make(pod: str, image: str) -> None:
        container = {"name": "main", "image": image}
        spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 0, "containers": [container]}
        api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec}, "default")
        pods.append(pod)
        until(f"{pod} to be ready", lambda: ready(api.get("pod", pod, "default")), 30)

    yield make
    for pod in pods:
        api.delete("pod", pod, "default")


def test_a_loaded_image_runs_and_survives_a_power_failure(
    api: KubeCluster, embedded_cluster: EmbeddedCluster, made: Callable[[str, str], None], tmp_path: Path
) -> None:
    file = archive(tmp_path / "shop.tar", "shop/web:1")
    done = chaoskit(tmp_path, "cluster", "load", file.name)
    assert done.stdout == f"docker.io/shop/web:1: on {', '.join(embedded_cluster.nodes)}\n", done.stderr
    made("web-before", "shop/web:1")

    embedded_cluster.power_off(NODE)
    done = chaoskit(tmp_path, "cluster", "load", str(archive(tmp_path / "late.tar", "shop/late:1")))
    assert f"on {NODE} when there is power" in done.stdout, done.stderr
    embedded_cluster.power_on(NODE)

    def seen_again() -> bool:
        """The kubelet has registered anew, with its images."""
        (node,) = (n for n in api.list("node") if name(n) == NODE)
        known = {tag for image in node["status"].get("images") or () for tag in image["names"]}
        return bool(condition(node, "Ready")) and "docker.io/shop/late:1" in known

    until(f"{NODE} to be back", seen_again)
    made("web-after", "shop/web:1")
    made("late", "shop/late:1")


def test_an_archive_that_cannot_be_unpacked_is_told_and_not_kept(
    embedded_cluster: EmbeddedCluster, tmp_path: Path
) -> None:
    kept = Folder(embedded_cluster.state).images
    before = sorted(kept.iterdir())
    broken = archive(tmp_path / "broken.tar", "shop/broken:1", lambda image: {**image, "Layers": ["none.tar"]})
    with pytest.raises(ClusterError, match="could not take in") as told:
        embedded_cluster.load(broken)
    assert told.value.where == str(broken)
    assert "none.tar" in told.value.why
    assert sorted(kept.iterdir()) == before
