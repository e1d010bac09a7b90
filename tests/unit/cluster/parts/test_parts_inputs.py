"""A part is built anew when what it is made of has changed, and only then."""

from __future__ import annotations

import pytest

from chaoskit.cluster.parts import containers, go, sources


def test_go_sources_are_what_compiles_and_no_more() -> None:
    files = sources.go_files()
    assert {"go.mod", "go.sum", "all/main.go", "statemetrics/main.go"} <= set(files)
    assert not [path for path in files if path.endswith("_test.go")]


def test_the_apps_image_is_made_of_its_code_and_not_of_its_manifests() -> None:
    files = sources.app_files()
    assert "Containerfile" in files
    assert "app/__main__.py" in files
    assert not [path for path in files if path.endswith((".yaml", ".pyc"))]


def test_another_go_version_builds_anew() -> None:
    old, new = go.Toolchain(None, "go1.26.7"), go.Toolchain(None, "go1.26.8")
    assert go.inputs(old) == go.inputs(old)
    assert go.inputs(old) != go.inputs(new)


def test_the_wheel_brings_a_go_that_the_modules_take() -> None:
    assert go.numbers(go.WHEEL_VERSION) >= go.required()


@pytest.mark.parametrize(
    ("text", "parts"), [("go1.26.8", (1, 26, 8)), ("1.27", (1, 27)), ("go1.26.8 X:jsonv2", (1, 26, 8)), ("go0", (0,))]
)
def test_versions_are_compared_as_numbers(text: str, parts: tuple[int, ...]) -> None:
    assert go.numbers(text) == parts


def test_the_servers_call_themselves_by_the_version_that_is_pinned() -> None:
    assert "gitVersion=v1.37." in go.version_flags()
    assert "gitMajor=1 " in go.version_flags()


@pytest.mark.parametrize(
    ("os_release", "suite"),
    [
        ('ID=debian\nVERSION_CODENAME=trixie\nNAME="Debian"', "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble", "noble"),
        ("ID=debian\nPRETTY_NAME=sid", "bookworm"),
        ("ID=fedora\nVERSION_CODENAME=", "bookworm"),
        ("", "bookworm"),
    ],
)
def test_the_python_base_is_of_the_machines_own_release(os_release: str, suite: str) -> None:
    assert containers.suite(os_release) == suite
