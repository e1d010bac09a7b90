"""The checks: one small file each. A module put here is found by itself.

Other distributions offer theirs by the entry point group `chaoskit.checks`.
"""

from __future__ import annotations

from chaoskit.contracts import Check
from chaoskit.registry import discover

CHECKS: dict[str, type[Check]] = discover(__name__, __path__, Check, lambda check: check.kind)
"""Checks by kind."""
