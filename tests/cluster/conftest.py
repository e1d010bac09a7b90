"""The embedded cluster for the cluster tests: one for the whole session, reused when it is up; and a small app on it.

On a machine that cannot run nodes these tests are skipped, and say so; where CHAOSKIT_NEED_CLUSTER is set, as in CI,
that is a failure.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from started import until

from chaoskit.adapters.kube import KubeCluster
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.errors import ToolError
from chaoskit.objects import ready, terminating

WEB = Path(__file__).parent / "web.yaml"
REPLICAS = 4


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = _cannot()
    if not why:
        return
    if os.environ.get("CHAOSKIT_NEED_CLUSTER"):
        pytest.exit(f"a cluster is needed, and this machine cannot run one: {why}", returncode=1)
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.skip(reason=f"this machine cannot run nodes: {why}"))


def _cannot() -> str:
    """Why this machine cannot run the embedded cluster, or empty."""
    if os.geteuid() != 0:
        return "not root"
    try:
        from chaoskit.cluster import system

        system.check_kernel()
    except ToolError as error:
        return error.what
    return ""


@pytest.fixture(scope="session")
def api(embedded_cluster: EmbeddedCluster) -> Iterator[KubeCluster]:
    found = KubeCluster.connect(embedded_cluster.kubeconfig, None)
    yield found
    found.close()


@pytest.fixture(scope="session")
def web_namespace(api: KubeCluster) -> Iterator[str]:
    name = f"web-{uuid.uuid4().hex[:6]}"
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for manifest in yaml.safe_load_all(WEB.read_text()):
        api.apply(manifest, name)
    yield name
    api.delete("namespace", name)


@pytest.fixture(scope="session")
def own_image(embedded_cluster: EmbeddedCluster) -> str:
    """chaoskit's own image, made from this checkout and loaded."""
    from chaoskit.cluster import ownimage

    images, _ = embedded_cluster.load(ownimage.ensure(print))
    return images[0]


@pytest.fixture
def web(api: KubeCluster, web_namespace: str) -> str:
    """A namespace in which web.yaml is deployed, and whole again after whatever the test before did to it."""

    def whole() -> bool:
        pods = api.list("pod", web_namespace)
        service = api.get("service", "web", web_namespace)
        balanced = (service["status"].get("loadBalancer") or {}).get("ingress")
        return bool(balanced) and len(pods) == REPLICAS and all(ready(p) and not terminating(p) for p in pods)

    until("four servers", whole)
    return web_namespace
