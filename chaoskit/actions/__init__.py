"""The actions: one small file each. A module put here is found by itself.

Other distributions offer theirs by the entry point group `chaoskit.actions`.
"""

from __future__ import annotations

from chaoskit.contracts import Action
from chaoskit.registry import discover

ACTIONS: dict[str, type[Action]] = discover(__name__, __path__, Action, lambda action: action.verb)
"""Actions by verb."""
