"""Puts back what an earlier step did, while the run goes on: a node comes back, a zone returns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from chaoskit.contracts import Action, Stage
from chaoskit.errors import PortError
from chaoskit.model import UNDO_ANNOTATION, Raw, Right, Target
from chaoskit.objects import WATCHED, Objects, condition, name, uid

HEALED_WITHIN_S = 75.0
"""Healing asks again for a minute (heal.PATIENCE_S); its last call may take a while."""


class Undo(Action):
    """Heal what an earlier step did, now, as the end of the run would."""

    verb: ClassVar[str] = "undo"

    of: str = Field(description="the step whose doing is undone")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def rights(self, namespace: str) -> Sequence[Right]:
        """Those of the step that it undoes, which the plan counts already."""
        return ()

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        """The step as a whole, so that half of it is never left; with what carries its marks now."""
        marked = [[kind, name(o), uid(o)] for kind, o in _marked(objects, self.of)]
        return (Target("step", self.of, namespace, "", prior={"marked": marked}),)

    def number(self, of: int) -> int:
        return 1

    def longest_s(self, targets: int) -> float:
        return super().longest_s(targets) + HEALED_WITHIN_S

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(f"undo “{self.of}”", target, lambda: self._heal(stage))

    def _heal(self, stage: Stage) -> None:
        told = stage.undo(self.of)
        for line in told:
            stage.note(line)
        if not told:
            raise PortError(f"“{self.of}” left nothing to undo")

    def landed(self, target: Target, objects: Objects) -> str:
        """Healing looks by itself, and takes its mark away when it has seen what it restored; here the watch has to
        tell the same: no mark of the step is left, and nodes that carried one are Ready."""
        if any(True for _ in _marked(objects, self.of)):
            return ""
        nodes = [objects.by_uid("node", uid_) for kind, _, uid_ in target.prior["marked"] if kind == "node"]
        if any(node is not None and not condition(node, "Ready") for node in nodes):
            return ""
        names = ", ".join(f"{kind}/{name_}" for kind, name_, _ in target.prior["marked"])
        return f"what the step did is undone{f': {names}' if names else ''}"

    def undo(self, target: Target) -> str:
        return "nothing: it undoes"


def _marked(objects: Objects, step: str) -> Iterator[tuple[str, Raw]]:
    """(kind, object) of what carries an intent of a step."""
    for kind in WATCHED:
        for o in objects.all(kind):
            annotations = o["metadata"].get("annotations") or {}
            if any(step in _steps(text) for key, text in annotations.items() if key.startswith(UNDO_ANNOTATION)):
                yield kind, o


def _steps(text: str) -> Sequence[str]:
    """The steps whose intents an annotation carries; one that somebody spoilt carries none."""
    try:
        found: list[Mapping[str, Any]] = json.loads(text)
        return [str(intent["step"]) for intent in found]
    except (ValueError, KeyError, TypeError):
        return []
