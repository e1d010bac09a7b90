"""The Go sources of the cluster's programs are formatted, vetted and pass their own tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from chaoskit.cluster import toolset
from chaoskit.cluster.parts import go
from chaoskit.cluster.parts.store import cache_folder

pytestmark = pytest.mark.cluster

SERVERS = Path(go.__file__).parents[1] / "servers"
LIMIT_S = 900.0


@pytest.fixture(scope="module")
def compiler() -> Path:
    """The Go that built the toolset; what it compiled then is compiled already."""
    toolset.ensure(print)
    program = go.choose(cache_folder()).program
    if program is None:
        pytest.skip("the toolset was built elsewhere, and there is no Go here")
    return program


def run(program: Path, *arguments: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        [str(program), *arguments],
        cwd=SERVERS,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_sources_are_formatted(compiler: Path) -> None:
    formatter = Path(run(compiler, "env", "GOROOT").strip()) / "bin" / "gofmt"
    assert run(formatter, "-l", ".") == ""


def test_sources_are_vetted(compiler: Path) -> None:
    run(compiler, "vet", "-trimpath", "./statemetrics")


def test_state_metrics_serves_what_it_should(compiler: Path) -> None:
    run(compiler, "test", "-trimpath", "./statemetrics")
