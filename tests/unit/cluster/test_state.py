from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaoskit.cluster.state import Folder, Record, check_name, claim, clusters_folder, is_alive, take_lock
from chaoskit.errors import ClusterError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "chaoskit" / "clusters" / "shop")


def test_clusters_live_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert clusters_folder() == tmp_path / "chaoskit" / "clusters"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clusters_folder() == tmp_path / ".local" / "state" / "chaoskit" / "clusters"


@pytest.mark.parametrize("name", ["", "Shop", "../etc", "a/b", "-a", "a-", "a" * 41, "a b", "ä"])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a cluster"):
        check_name(name)


def test_a_claimed_name_is_in_use_until_its_last_holder_is_gone(folder: Folder) -> None:
    lock = claim(folder)
    second = os.dup(lock)
    assert is_alive(folder)
    with pytest.raises(ClusterError, match="already running") as refused:
        claim(folder)
    assert "chaoskit cluster down --name shop" in refused.value.fix
    os.close(lock)
    assert is_alive(folder)
    os.close(second)
    assert not is_alive(folder)


def test_what_a_dead_cluster_left_is_named_with_the_command_that_removes_it(folder: Folder) -> None:
    os.close(claim(folder))
    folder.make()
    with pytest.raises(ClusterError, match="left behind") as refused:
        claim(folder)
    assert refused.value.fix == "chaoskit cluster down --name shop"


def test_an_interrupted_claim_stands_in_nobody_s_way(folder: Folder) -> None:
    os.close(claim(folder))
    os.close(claim(folder))


def test_files_of_somebody_else_are_left_alone(folder: Folder) -> None:
    folder.path.mkdir(parents=True)
    (folder.path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(ClusterError, match="in the way"):
        claim(folder)
    assert [path.name for path in folder.path.iterdir()] == ["thesis.tex"]


def test_the_lock_of_a_removed_folder_does_not_count(folder: Folder) -> None:
    lock = claim(folder)
    folder.remove()
    folder.path.mkdir(parents=True)
    again = take_lock(folder)
    assert again is not None
    os.close(lock)
    os.close(again)


def test_removing_leaves_neither_the_folder_nor_empty_parents(folder: Folder, tmp_path: Path) -> None:
    folder.make()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_removing_keeps_the_other_clusters(folder: Folder) -> None:
    other = Folder(folder.path.with_name("other"))
    folder.make()
    other.make()
    folder.remove()
    assert other.logs.is_dir()


def test_the_keys_are_the_owner_s_alone(folder: Folder) -> None:
    folder.make()
    assert folder.path.stat().st_mode & 0o077 == 0
    assert folder.keys.stat().st_mode & 0o077 == 0


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        "shop", 42, 6443, 9090, "10.89.0.1", ("node1", "node2"), "accelerated", {"grace": 16.0}, {"API": 2.5}
    )
    record.write(tmp_path / "cluster.json")
    assert Record.read(tmp_path / "cluster.json") == record
