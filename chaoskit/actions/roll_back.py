"""Rolls a Deployment back to the template that it had before an earlier step, as `kubectl rollout undo` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.actions.roll_out import deployment, progress, rollout_begun
from chaoskit.actions.undo import HEALED_WITHIN_S
from chaoskit.contracts import Action, RefField, Stage
from chaoskit.errors import PortError
from chaoskit.model import Right, Target
from chaoskit.objects import Objects, name, uid


class RollBack(Action):
    """Put the pod template back that a Deployment had before an earlier step of this experiment."""

    verb: ClassVar[str] = "roll_back"

    of: RefField = Field(description="which one: deployment/NAME")
    before: str = Field(description="the step, a roll_out, whose change is taken back")

    def steps(self) -> Sequence[str]:
        return (self.before,)

    def rights(self, namespace: str) -> Sequence[Right]:
        return tuple(Right(verb, "apps", "deployments", namespace) for verb in ("get", "patch"))

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        found = deployment(self.of, objects, namespace)
        return (Target("deployment", name(found), namespace, uid(found), prior=progress(found)),)

    def number(self, of: int) -> int:
        return 1

    def longest_s(self, targets: int) -> float:
        return super().longest_s(targets) + HEALED_WITHIN_S

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(f"roll {target} back to before “{self.before}”", target, lambda: self._undo(stage))

    def _undo(self, stage: Stage) -> None:
        said = stage.undo(self.before)
        if not said:
            raise PortError(f"“{self.before}” left nothing to roll back")
        for line in said:
            stage.note(line)

    def landed(self, target: Target, objects: Objects) -> str:
        return rollout_begun(target, objects)

    def undo(self, target: Target) -> str:
        return "nothing: it takes an earlier step back"
