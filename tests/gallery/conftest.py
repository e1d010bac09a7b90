"""A gallery in lanes ends its lanes' clusters also when it is broken off: a worker that is ended tears nothing down."""

from __future__ import annotations

import pytest

from chaoskit.cluster import embedded

OF_A_LANE = "gallery-gw"
BEFORE = pytest.StashKey[frozenset[str]]()


def lanes() -> frozenset[str]:
    return frozenset(name for name in embedded.names() if name.startswith(OF_A_LANE))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEFORE] = lanes()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # Only xdist's workers have that.
        for name in lanes() - session.config.stash[BEFORE]:
            embedded.down(name)
