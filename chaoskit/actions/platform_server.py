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

from chaoskit.contracts import LONGEST_CALL_S, Action, Healed, Intent, Part, Seconds, Stage
from chaoskit.model import Right, Target
from chaoskit.objects import SERVER, Objects
from chaoskit.ports import CONTROL_SERVERS, NODE_SERVERS, Cluster, ServerOrder

SEEN = {
    "kill": "the process ended; it is started again after a pause",
    "freeze": "the process stands still",
    "thaw": "the process goes on",
}


class _PlatformServer(Part):
    """What the two have in common."""

    own_cluster: ClassVar[bool] = True
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

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return (self._target("kill"),)

    def _target(self, order: ServerOrder) -> Target:
        return Target(SERVER, self.of, "", self.of, self.of.partition("@")[2], {"order": order})

    def number(self, of: int) -> int:
        return 1

    def landed(self, target: Target, objects: Objects) -> str:
        """The order returns only when the supervisor has seen its effect; one that failed is no accepted act."""
        return SEEN[target.prior["order"]]


class KillServer(_PlatformServer, Action):
    """Kill a server of the platform: it is started again after a pause, as a kubelet starts a static pod again."""

    verb: ClassVar[str] = "kill_server"

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        stage.act(f"kill {self.of}", target, lambda: stage.cluster.server(self.of, "kill"))

    def undo(self, target: Target) -> str:
        return f"nothing: {target.name} is started again by itself"


class FreezeServer(_PlatformServer, Action):
    """Stop a server of the platform where it stands: it holds its connections, and says nothing."""

    verb: ClassVar[str] = "freeze_server"

    for_: Seconds | None = Field(
        None, alias="for", gt=0, le=50, description="thawed after this; by `undo`, or at the end, where nothing is said"
    )

    def candidates(self, objects: Objects, namespace: str) -> Sequence[Target]:
        return (self._target("freeze"),)

    def longest_s(self, targets: int) -> float:
        return 2 * targets * LONGEST_CALL_S + (self.for_ or 0.0)

    def perform(self, stage: Stage) -> None:
        (target,) = stage.targets
        frozen = stage.act(
            f"freeze {self.of}", target, lambda: stage.cluster.server(self.of, "freeze"), change={"frozen": True}
        )
        if frozen and self.for_ is not None:
            stage.wait_until(lambda: False, self.for_, f"{self.of} to be thawed")
            stage.act(f"thaw {self.of}", self._target("thaw"), lambda: stage.cluster.server(self.of, "thaw"))

    def undo(self, target: Target) -> str:
        return f"thaw {target.name}: chaoskit heal; it goes on by itself after a minute"

    @classmethod
    def heal(cls, cluster: Cluster, intent: Intent) -> Healed:
        """Idempotent: a server that goes on already goes on."""
        cluster.server(intent.target.name, "thaw")
        return Healed(True, "it goes on")
