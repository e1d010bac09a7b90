"""A thread may ask the kernel for short turns, whoever it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ASKS = "from chaoskit.load import slices; print(slices.shorten(0.0002)); print(open('/proc/self/sched').read())"


@pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="this kernel does not tell how it schedules")
def test_the_kernel_notes_the_slice_that_was_asked_for():
    said = subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True).stdout
    slice_ns = re.search(r"se\.slice\s*:\s*(\d+)", said)
    if slice_ns is None:
        pytest.skip("this kernel does not tell slices")
    assert said.startswith("True")
    assert int(slice_ns[1]) == 200_000
