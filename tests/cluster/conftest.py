"""The embedded cluster for the cluster tests: one for the whole session, reused when it is up.

On a machine that cannot run nodes these tests are skipped, and say so; where CHAOSKIT_NEED_CLUSTER is set, as in CI,
that is a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.errors import ToolError

NAME = "chaoskit"


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
def embedded_cluster() -> Iterator[EmbeddedCluster]:
    found = embedded.find(NAME)
    if found is not None:
        yield found
        return
    yield embedded.up(NAME, say=print)
    embedded.down(NAME)
