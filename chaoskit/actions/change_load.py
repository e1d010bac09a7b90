"""Changes the load: a step, a ramp, or, as two steps of an experiment, a spike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.contracts import Action, Count, Seconds, Stage
from chaoskit.model import Right, Target
from chaoskit.objects import LOAD, LOCUST_USERS, Objects

AT_ONCE_S = 1.0
"""With no time given, Locust dispatches all in one batch: as many users a second as there are to come."""
SLACK_S = 10.0
"""A ramp may take this much longer than asked: users who end finish what they are doing first."""
SLOWEST_RATE = 0.01


class ChangeLoad(Action):
    """Change the number of Locust's users, at once or evenly over a time."""

    verb: ClassVar[str] = "change_load"

    users: Count = Field(ge=0, le=100_000, description="how many there are from then on")
    over: Seconds = Field(0.0, description="in how much time, evenly; 0s: at once")

    def needs_users(self) -> bool:
        return True

    def rights(self, namespace: str) -> Sequence[Right]:
        return ()

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return (Target(LOAD, LOCUST_USERS, namespace, LOCUST_USERS),)

    def number(self, of: int) -> int:
        return 1

    def longest_s(self, targets: int) -> float:
        return self.over + SLACK_S

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        before = users_now(stage.objects)
        rate = max(SLOWEST_RATE, abs(self.users - before) / (self.over or AT_ONCE_S))
        stage.act(f"change the load from {before} to {self.users} users", target, lambda: self._order(stage, rate))
        stage.wait_until(
            lambda: bool(self.landed(target, stage.objects)), self.longest_s(1), f"{self.users} users to be there"
        )

    def _order(self, stage: Stage, rate: float) -> None:
        stage.set_users(self.users, rate)

    def landed(self, target: Target, objects: Objects) -> str:
        there = objects.by_uid(LOAD, target.uid)
        return f"Locust has {self.users} users" if there and there["status"]["users"] == self.users else ""

    def undo(self, target: Target) -> str:
        return "nothing: the load ends with the run"


def users_now(objects: Objects) -> int:
    """How many users Locust said it has; none where it has said nothing yet."""
    there = objects.by_uid(LOAD, LOCUST_USERS)
    return int(there["status"]["users"]) if there else 0
