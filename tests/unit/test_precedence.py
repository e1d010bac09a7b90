"""What measures goes before what is measured, where that is allowed, and only while it measures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskit.precedence import NICE, preferred

TELLS = pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="this kernel does not tell how it schedules")
SCHED = Path("/proc/thread-self/sched")


def slice_ns(told: str) -> int:
    found = re.search(r"se\.slice\s*:\s*(\d+)", told)
    if found is None:
        pytest.skip("this kernel does not tell slices")
    return int(found[1])


def run(source: str) -> str:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout


def test_whoever_measures_goes_first_and_so_does_what_it_starts():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with preferred():
        inside = os.getpriority(os.PRIO_PROCESS, 0)
        started = int(run("import os; print(os.getpriority(os.PRIO_PROCESS, 0))"))
    assert inside == started
    assert inside == (min(before, NICE) if os.geteuid() == 0 else before)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@TELLS
def test_it_has_short_turns_meanwhile_whoever_it_is():
    before = slice_ns(SCHED.read_text())
    with preferred():
        assert slice_ns(SCHED.read_text()) == 100_000
    assert slice_ns(SCHED.read_text()) == before


@TELLS
def test_the_kernel_notes_the_turn_that_was_asked_for():
    ask = "from chaoskit import precedence; print(precedence.ask_for_turns(0.0002))"
    said = run(f"{ask}; print(open('/proc/self/sched').read())")
    assert slice_ns(said) == 200_000
    assert said.startswith("True")
