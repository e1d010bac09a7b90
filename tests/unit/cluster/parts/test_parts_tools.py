"""A tool that fails is told with its last lines and the next command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chaoskit.cluster.parts.tools import Tools, remedy
from chaoskit.errors import ClusterError

pytestmark = pytest.mark.slow


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_arrive_one_by_one_and_are_logged(tmp_path: Path) -> None:
    seen: list[str | None] = []
    Tools(tmp_path / "log").run("counting", python("print('one'); print('two')"), on_line=seen.append)
    assert [line for line in seen if line is not None] == ["one\n", "two\n"]
    assert (tmp_path / "log").read_text().endswith("one\ntwo\n")


def test_silence_is_reported_every_second(tmp_path: Path) -> None:
    seen: list[str | None] = []
    Tools(tmp_path / "log").run("sleeping", python("import time; time.sleep(2.5)"), on_line=seen.append)
    assert seen.count(None) >= 2


def test_a_failure_shows_the_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    code = "import sys\nfor i in range(40): print('line', i)\nsys.exit('undefined: frobnicate')"
    with pytest.raises(ClusterError) as raised:
        Tools(tmp_path / "log").run("go build", python(code))
    text = str(raised.value)
    assert "go build failed with status 1" in text
    assert "undefined: frobnicate" in text
    assert "line 39" in text
    assert "line 3\n" not in text
    assert raised.value.fix == f"less {tmp_path / 'log'}"


def test_a_tool_that_somebody_ended_is_told_as_such(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    with pytest.raises(ClusterError, match="go build was ended by SIGTERM") as raised:
        Tools(tmp_path / "log").run("go build", python(code))
    assert "again" in raised.value.fix


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"failed with status") as raised:
        Tools(tmp_path / "log").run("making", ["/no/such/tool"])
    assert "/no/such/tool" in str(raised.value)


@pytest.mark.parametrize(
    ("output", "fix"),
    [
        ("write /x: no space left on device", "df -h"),
        ("dial tcp: lookup modules.example: no such host", "check the network"),
        ("Temporary failure resolving 'packages.example'", "check the network"),
        ("syntax error", "less /log"),
    ],
)
def test_the_next_command_follows_from_what_the_tool_said(output: str, fix: str) -> None:
    assert remedy(output, Path("/log")).startswith(fix)
