"""Kills or freezes a server of the platform itself: of the control side, or of one node.

Only who made the cluster can do it, and only an experiment that says so (`safety: {platform: true}`) may: everybody on
a cluster feels it. The supervisor of the embedded cluster gives the signal and sees what becomes of the process; no
watch could tell, for it may be the very server that the watch is on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from chaoskit.contracts import Action, Healed, Intent, Part, Seconds, Stage
from chaoskit.model import Right, Target
from chaoskit.objects import SERVER, Objects
from chaoskit.ports import CONTROL_SERVERS, LONGEST_FREEZE_S, NODE_SERVERS, Cluster
from chaoskit.units import write_duration


class _PlatformServer(Part):
    """What the two have in common."""

    own_cluster: ClassVar[bool] = True
    hits_platform: ClassVar[bool] = True
    of: str = Field(description="which one: " + ", ".join((*CONTROL_SERVERS, *(f"{s}@NODE" for s in NODE_SERVERS))))

    @field_validator("of")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in CONTROL_SERVERS and not re.fullmatch(rf"({'|'.join(NODE_SERVERS)})@[a-z0-9.-]+", value):
            known = ", ".join((*CONTROL_SERVERS, *(f"{s}@NODE" for s in NODE_SERVERS)))
            raise ValueError(f"{value!r} is no server of the platform; name one of {known}")
        return value

    def rights(self, namespace: str) -> Sequence[Right]:
        """None of Kubernetes': the order goes to the cluster's supervisor."""
        return ()

    def number(self, of: int) -> int:
        return 1


class KillServer(_PlatformServer, Action):
    """Kill a server of the platform: it is started again after a pause, as a kubelet starts a static pod again."""

    verb: ClassVar[str] = "kill_server"

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return (as_target(self.of),)

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(f"kill {self.of}", target, lambda: stage.cluster.server(self.of, "kill"))

    def landed(self, target: Target, objects: Objects) -> str:
        """The order returns only when the supervisor has seen its effect; one that failed is no accepted act."""
        return "the process ended; it is started again after a pause"

    def undo(self, target: Target) -> str:
        return f"nothing: {target.name} is started again by itself"


class FreezeServer(_PlatformServer, Action):
    """Stop a server of the platform where it stands, for a while: it holds its connections, and says nothing."""

    verb: ClassVar[str] = "freeze_server"

    for_: Seconds = Field(
        LONGEST_FREEZE_S, alias="for", gt=0, le=LONGEST_FREEZE_S, description="then it goes on by itself, at the latest"
    )

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return (as_target(self.of, self.for_),)

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(
            f"freeze {self.of}",
            target,
            lambda: stage.cluster.server(self.of, "freeze", self.for_),
            change={"frozen": True},
        )

    def landed(self, target: Target, objects: Objects) -> str:
        """As with KillServer."""
        return f"the process stands still, for {write_duration(self.for_)} at most"

    def undo(self, target: Target) -> str:
        return f"thaw {target.name}: chaoskit heal; it goes on by itself after {write_duration(self.for_)}"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        """Idempotent: a server that goes on already goes on."""
        cluster.server(intent.target.name, "thaw")
        return Healed(True, "it goes on")


def as_target(server: str, away_s: float = 0.0) -> Target:
    """`away_s`: how long it is away for certain, unless it is thawed before."""
    return Target(SERVER, server, "", server, server.partition("@")[2], {"away_s": away_s})
