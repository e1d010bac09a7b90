"""What measures goes before what is measured, where that is allowed, and only while it measures."""

from __future__ import annotations

import os
import subprocess
import sys

from chaoskit.precedence import NICE, preferred


def test_whoever_measures_goes_first_and_so_does_what_it_starts():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with preferred():
        inside = os.getpriority(os.PRIO_PROCESS, 0)
        asked = [sys.executable, "-I", "-S", "-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"]
        started = int(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    assert inside == started
    assert inside == (min(before, NICE) if os.geteuid() == 0 else before)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
