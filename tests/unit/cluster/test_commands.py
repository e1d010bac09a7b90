"""`chaoskit cluster …` on a machine without a cluster; `tests/cluster` tries it with one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from chaoskit.cluster.commands import cluster
from chaoskit.cluster.state import Folder
from chaoskit.errors import ClusterError, UsageError


@pytest.fixture(autouse=True)
def _state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def run(*arguments: str) -> str:
    return CliRunner().invoke(cluster, arguments, catch_exceptions=False).output


@pytest.mark.parametrize("command", [["status"], ["kubeconfig"], ["logs"], ["shell"]])
def test_without_a_cluster_the_next_command_is_told(command: list[str]) -> None:
    with pytest.raises(ClusterError, match="no cluster 'shop'") as missing:
        run(*command, "--name", "shop")
    assert missing.value.fix == "chaoskit cluster up --name shop"


def test_logs_are_listed_and_shown_from_their_end() -> None:
    folder = Folder.of("shop")
    folder.make()
    (folder.logs / "etcd.log").write_text("first\nsecond\nthird\n")
    assert run("logs", "--name", "shop") == "etcd\n"
    assert run("logs", "--name", "shop", "--lines", "2", "etcd") == "second\nthird\n"
    with pytest.raises(UsageError, match="no server 'kubelet'"):
        run("logs", "--name", "shop", "kubelet")


def test_an_archive_is_looked_at_before_a_cluster_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        run("load", "--name", "shop", str(tmp_path / "none.tar"))


def test_a_name_that_leads_elsewhere_is_refused() -> None:
    with pytest.raises(UsageError):
        run("status", "--name", "../../etc")
