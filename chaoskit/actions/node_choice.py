"""Which nodes an action hits: by name, by what runs on them, by zone; one of them, some, or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.actions.kill_pod import HowMany, how_many
from chaoskit.contracts import Part, RefField
from chaoskit.errors import UsageError
from chaoskit.model import Raw, Right
from chaoskit.objects import ZONE_LABEL, Objects, labels, name, node_of


class NodeChoice(Part):
    """The keys that all actions on nodes share."""

    verb: ClassVar[str]

    name: str = Field("", description="which node; where nothing is said, nodes that carry pods of `of`")
    of: RefField | None = Field(None, description="nodes that carry a pod of this workload")
    zone: str = Field("", description="only nodes of this zone")
    count: HowMany = Field(1, description="how many of them: a number, or a share as in 100%")

    def rights(self, namespace: str) -> Sequence[Right]:
        return (Right("get", "", "nodes"), Right("patch", "", "nodes"))

    def number(self, of: int) -> int:
        return how_many(self.count, of)

    def chosen(self, objects: Objects, namespace: str) -> list[Raw]:
        """The nodes that the keys describe. UsageError where they describe nothing."""
        if not (self.name or self.of or self.zone):
            raise UsageError(
                f"{self.verb} names no node", why="nothing said would be every node", fix="give it name, of or zone"
            )
        pods = objects.pods_of(self.of, namespace) if self.of else []
        if pods is None:
            raise UsageError(f"there is no {self.of} in namespace {namespace}")
        carrying = {node_of(p) for p in pods}
        return [
            node
            for node in objects.all("node")
            if (not self.name or name(node) == self.name)
            and (not self.zone or labels(node).get(ZONE_LABEL) == self.zone)
            and (self.of is None or name(node) in carrying)
        ]
