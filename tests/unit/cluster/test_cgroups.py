"""Plain folders stand in for the kernel's groups, which behave alike in what is tried here."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.cluster.cgroups import HIERARCHIES, Cgroups


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for name in (*HIERARCHIES, "unified"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


def test_version_1_gets_a_group_in_each_hierarchy(version_1: Path) -> None:
    Cgroups("shop", version_1).make("node1")
    assert all((version_1 / name / "chaoskit/shop/node1").is_dir() for name in HIERARCHIES)


def test_version_1_joins_the_freezer(version_1: Path) -> None:
    assert Cgroups("shop", version_1).entry("node1") == version_1 / "freezer/chaoskit/shop/node1/cgroup.procs"


def test_freezing_writes_what_each_version_understands(version_1: Path) -> None:
    groups = Cgroups("shop", version_1)
    groups.make("node1")
    groups.freeze("node1", True)
    state = version_1 / "freezer/chaoskit/shop/node1/freezer.state"
    assert state.read_text() == "FROZEN"
    groups.thaw_all()
    assert state.read_text() == "THAWED"


def test_sweeping_removes_one_cluster_and_keeps_the_other(version_1: Path) -> None:
    mine, other = Cgroups("shop", version_1), Cgroups("other", version_1)
    mine.make("node1")
    other.make("node1")
    (version_1 / "memory/chaoskit/shop/node1/kubepods/pod1").mkdir(parents=True)
    assert mine.sweep() == []
    assert not list(version_1.glob("*/chaoskit/shop"))
    assert (version_1 / "memory/chaoskit/other/node1").is_dir()


def test_the_last_cluster_takes_the_common_group_along(version_1: Path) -> None:
    groups = Cgroups("shop", version_1)
    groups.make("node1")
    groups.sweep()
    assert not list(version_1.glob("*/chaoskit"))


def test_what_runc_made_beside_the_controllers_goes_too(version_1: Path) -> None:
    (version_1 / "unified/chaoskit/shop/node1/kubepods").mkdir(parents=True)
    Cgroups("shop", version_1).sweep()
    assert not (version_1 / "unified/chaoskit").exists()


def test_a_group_in_use_is_reported(version_1: Path) -> None:
    group = version_1 / "memory/chaoskit/shop/node1"
    group.mkdir(parents=True)
    (group / "held").write_text("")  # A folder that is not empty refuses to go, as a group with processes does.
    assert group in Cgroups("shop", version_1).sweep(deadline_s=0)


def test_a_powered_off_node_is_swept_alone(version_1: Path) -> None:
    groups = Cgroups("shop", version_1)
    groups.make("node1")
    groups.make("node2")
    groups.sweep_node("node1")
    assert not (version_1 / "cpu/chaoskit/shop/node1").exists()
    assert (version_1 / "cpu/chaoskit/shop/node2").is_dir()
