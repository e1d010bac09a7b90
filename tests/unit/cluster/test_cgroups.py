"""Plain folders stand in for the kernel's groups, which behave alike in what is tried here."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.cluster.cgroups import HIERARCHIES, Cgroups, own_group


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for name in (*HIERARCHIES, "unified"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    """Where the kernel would make these files for each new group, they are there before."""
    for group in ("", "system.slice", "chaoskit", "chaoskit/shop", "chaoskit/shop/node1"):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / "cgroup.controllers").write_text("io memory pids\n")
        (tmp_path / group / "cgroup.subtree_control").write_text("\n")
    handed_down(tmp_path).write_text("memory pids\n")
    return tmp_path


def handed_down(group: Path) -> Path:
    return group / "cgroup.subtree_control"


def end_all(root: Path) -> None:
    """The kernel's own files do not keep a group from going: take them away."""
    for file in (root / "chaoskit").rglob("cgroup.*"):
        file.unlink()


def test_version_1_gets_a_group_in_each_hierarchy(version_1: Path) -> None:
    Cgroups("shop", version_1).make("node1")
    assert all((version_1 / name / "chaoskit/shop/node1").is_dir() for name in HIERARCHIES)


def test_version_1_joins_the_freezer_and_weighs_a_node_s_servers_beside_its_pods(version_1: Path) -> None:
    groups = Cgroups("shop", version_1)
    groups.make("node1")
    frozen, weighed = groups.entries("node1")
    assert frozen == version_1 / "freezer/chaoskit/shop/node1/cgroup.procs"
    assert weighed == version_1 / "cpu/chaoskit/shop/node1/system/cgroup.procs"
    assert weighed.parent.is_dir()
    assert not (version_1 / "memory/chaoskit/shop/node1/system").exists()


@pytest.mark.parametrize(
    ("told", "group"),
    [
        ("3:cpuset:/\n2:cpuacct:/a\n1:cpu:/\n0::/", "/"),
        ("4:cpu,cpuacct:/user.slice\n3:cpuset:/", "/user.slice"),
        ("1:cpu:/odd:name", "/odd:name"),
        ("0::/user.slice", ""),
    ],
)
def test_a_process_knows_its_group(told: str, group: str) -> None:
    assert own_group(told, "cpu") == group


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


def test_version_2_hands_down_what_the_kubelet_wants(version_2: Path) -> None:
    Cgroups("shop", version_2).make("node1")
    assert handed_down(version_2).read_text() == "+io"
    assert handed_down(version_2 / "chaoskit/shop/node1").read_text() == "+io +memory +pids"
    assert [entry.parent.is_dir() for entry in Cgroups("shop", version_2).entries("node1")] == [True]


def test_version_2_s_root_gets_back_what_was_borrowed(version_2: Path) -> None:
    Cgroups("shop", version_2).make("node1")
    end_all(version_2)
    Cgroups("shop", version_2).sweep()
    assert not (version_2 / "chaoskit").exists()
    assert handed_down(version_2).read_text() == "-io"


def test_what_runc_made_the_root_hand_down_is_given_back_too(version_2: Path) -> None:
    (version_2 / "cgroup.controllers").write_text("memory pids misc\n")
    Cgroups("shop", version_2).make("node1")
    handed_down(version_2).write_text("+misc")
    end_all(version_2)
    Cgroups("shop", version_2).sweep()
    assert handed_down(version_2).read_text() == "-misc"


def test_what_was_handed_down_before_stays_so(version_2: Path) -> None:
    handed_down(version_2).write_text("io memory pids\n")
    Cgroups("shop", version_2).make("node1")
    end_all(version_2)
    Cgroups("shop", version_2).sweep()
    assert handed_down(version_2).read_text() == "io memory pids\n"


def test_nothing_is_given_back_while_another_cluster_lives(version_2: Path) -> None:
    Cgroups("shop", version_2).make("node1")
    end_all(version_2)
    (version_2 / "chaoskit/other").mkdir()
    Cgroups("shop", version_2).sweep()
    assert handed_down(version_2).read_text() == "+io"


def test_a_neighbour_s_limit_is_not_taken_with_its_controller(version_2: Path) -> None:
    Cgroups("shop", version_2).make("node1")
    (version_2 / "system.slice/io.weight").write_text("default 50\n")
    end_all(version_2)
    Cgroups("shop", version_2).sweep()
    assert not (version_2 / "chaoskit").exists()
    assert handed_down(version_2).read_text() == "+io"
