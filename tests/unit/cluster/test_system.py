"""What the machine lacks is named together with the command that brings it."""

from __future__ import annotations

from chaoskit.cluster.system import NEEDS, RUNS, advice, missing, packages


def lacking(*programs: str) -> list[str]:
    there = {need.program for need in NEEDS} - set(programs)
    return [need.program for need in missing(NEEDS, lambda name: f"/usr/bin/{name}" if name in there else None)]


def test_only_what_is_missing_is_named() -> None:
    assert lacking("runc", "nft") == ["runc", "nft"]


def test_a_machine_with_everything_lacks_nothing_of_the_programs() -> None:
    assert set(lacking()) <= {"libc.a"}


def test_a_start_asks_for_nothing_that_only_a_build_needs() -> None:
    found = {need.program for need in missing(RUNS, lambda _: None)}
    assert {"runc", "nft", "ip"} <= found
    assert found.isdisjoint({"buildah", "mmdebstrap", "cc"})


def test_each_family_of_distributions_gets_its_own_command() -> None:
    text = advice([need for need in NEEDS if need.program in ("ip", "cc", "mmdebstrap")])
    assert "apt-get install --no-install-recommends gcc iproute2 libc6-dev mmdebstrap" in text
    assert "dnf install debian-keyring gcc glibc-static iproute mmdebstrap" in text
    assert "pacman -S gcc glibc iproute2 mmdebstrap  (mmdebstrap is in the AUR)" in text


def test_a_package_that_brings_several_programs_is_named_once() -> None:
    assert packages([need for need in NEEDS if need.program in ("unshare", "nsenter", "setpriv")], "apt") == [
        "util-linux"
    ]
