"""How long the embedded cluster waits for its own parts before it says that something is wrong.

Each deadline stands where it is used, and suits a machine that people work on. A slower one (emulated, or very busy)
multiplies them all by one factor.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from chaoskit.errors import UsageError

VARIABLE = "CHAOSKIT_PATIENCE"
MOST = 100.0


def allowed_s(deadline_s: float, environment: Mapping[str, str] = os.environ) -> float:
    """The deadline on this machine."""
    return deadline_s * factor(environment)


def factor(environment: Mapping[str, str] = os.environ) -> float:
    """What `CHAOSKIT_PATIENCE` says, or 1."""
    text = environment.get(VARIABLE, "1")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= MOST:
        raise UsageError(
            f"{VARIABLE}={text!r} is no factor for deadlines",
            why=f"it is a number from 1 to {MOST:.0f}",
            fix=f"unset {VARIABLE}, or on a slow machine: export {VARIABLE}=5",
        )
    return value
