from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from chaoskit.cluster.processes import Processes, how_it_ended, last_lines
from chaoskit.errors import ClusterError


def test_output_goes_to_a_log_and_the_end_is_seen(tmp_path: Path) -> None:
    async def scenario() -> int:
        process = Processes(tmp_path).start("greeter", ["sh", "-c", "echo hello; echo trouble >&2; exit 3"])
        return await asyncio.wait_for(process.ended, 10)

    status = asyncio.run(scenario())
    assert how_it_ended(status) == "ended with exit code 3"
    assert (tmp_path / "greeter.log").read_text() == "hello\ntrouble\n"


def test_a_killed_process_says_by_what(tmp_path: Path) -> None:
    async def scenario() -> str:
        process = Processes(tmp_path).start("sleeper", ["sleep", "60"])
        process.kill(signal.SIGKILL)
        await asyncio.wait_for(process.ended, 10)
        return process.failure().what

    assert asyncio.run(scenario()) == "sleeper was killed by SIGKILL"


def test_a_command_gets_its_input(tmp_path: Path) -> None:
    asyncio.run(run_command(tmp_path, ["cat"], "10.89.0.1\n"))
    assert (tmp_path / "command.log").read_text() == "10.89.0.1\n"


def test_a_failing_command_raises_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="exit code 2") as failed:
        asyncio.run(run_command(tmp_path, ["sh", "-c", "echo no such device >&2; exit 2"], ""))
    assert "no such device" in failed.value.why


def test_many_that_end_at_once_are_all_noticed(tmp_path: Path) -> None:
    async def scenario() -> list[int]:
        processes = Processes(tmp_path)
        started = [processes.start(f"p{i}", ["true"]) for i in range(20)]
        return await asyncio.wait_for(asyncio.gather(*(process.ended for process in started)), 10)

    assert asyncio.run(scenario()) == [0] * 20


async def run_command(logs: Path, argv: list[str], text: str) -> None:
    await asyncio.wait_for(Processes(logs).run("command", argv, text), 10)


def test_only_the_end_of_a_long_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {i}\n" for i in range(10_000)))
    shown = last_lines(log, count=2).splitlines()
    assert [line.strip() for line in shown[1:]] == ["line 9998", "line 9999"]


def test_a_log_that_was_never_written_is_said(tmp_path: Path) -> None:
    assert "wrote no log" in last_lines(tmp_path / "absent.log")
