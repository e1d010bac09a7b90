"""How the tests run: Hypothesis explores anew on a developer's machine, and repeats itself exactly in CI. And the one
embedded cluster that cluster tests and the gallery share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from chaoskit.cluster import embedded
from chaoskit.cluster.embedded import EmbeddedCluster
from chaoskit.cluster.state import Folder, is_alive

settings.register_profile("dev", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("dev"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def no_dead_clusters() -> None:
    """Away with what is left of clusters that were ended with the tests before these, or with their machine."""
    for name in embedded.names():
        if not is_alive(Folder.of(name)):
            embedded.down(name)


@pytest.fixture(scope="session")
def embedded_cluster(no_dead_clusters: None) -> Iterator[EmbeddedCluster]:
    """Reused when it is up."""
    found = embedded.find()
    if found is not None:
        yield found
        return
    yield embedded.up(say=print)
    embedded.down()
