"""One embedded cluster for the whole gallery, reused when it is up. Its runs stay in runs/gallery, to be looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster

NAME = "chaoskit"


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[EmbeddedCluster]:
    found = embedded.find(NAME)
    if found is not None:
        yield found
        return
    yield embedded.up(NAME, say=print)
    embedded.down(NAME)
