"""Could a node be emptied? An operator who upgrades one waits for just this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, evidence_nodes, units
from chaoskit.checks.judging import at_most, inconclusive
from chaoskit.contracts import Act, Check, Record, Seconds, StepRecord
from chaoskit.evidence_nodes import Stay
from chaoskit.model import Evidence, Finding, Verdict

DRAIN = "drain_node"
"""The verb of the action that this judges."""


class Drained(Check):
    """Every pod that a drain had to move left its node within a time: the disruption budgets let it go."""

    kind: ClassVar[str] = "drained"

    of: str = Field(description="the step that drains")
    within: Seconds = Field(description="from the cordon of a node until the last of its pods is gone")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"emptied by “{self.of}” within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        """Whether the step landed is not asked: a drain that emptied nothing did not, and is what is looked for."""
        step = record.step(self.of)
        if step is None or step.refused:
            why = f"was refused: {step.refused}" if step else "was never reached"
            return inconclusive(self, f"the step “{self.of}” {why}", step=self.of)
        cordons = list(_cordons(step))
        if not cordons:
            return inconclusive(self, f"“{self.of}” closed no node to drain it", step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        stays = [stay for act in cordons for stay in evidence_nodes.stays(record, act, ended)]
        return self._judged(record, stays, cordons, ended)

    def _judged(self, record: Record, stays: Sequence[Stay], cordons: Sequence[Act], ended: float) -> Finding:
        if not stays:
            return inconclusive(self, "there was no pod on the node that a drain would move", step=self.of)
        shown = (Evidence("pods of the node", {stay.pod: stay.seconds for stay in stays}),)
        began = min(act.ordered for act in cordons)
        if evidence.gaps(record, began, ended, ("pod",)):
            reason = "the watch was broken meanwhile: when pods left is not known"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        slowest = max(stays, key=lambda stay: float("inf") if stay.seconds is None else stay.seconds)
        if slowest.seconds is not None:
            reason = f"{units.count(len(stays), 'pod')}; the last to leave was {slowest.pod}"
            return at_most(
                self,
                slowest.seconds,
                self.within,
                "s",
                uncertainty=evidence.WATCH_LAG_S,
                reason=reason,
                step=self.of,
                evidence=shown,
            )
        return self._stayed([stay for stay in stays if stay.seconds is None], ended - began, shown)

    def _stayed(self, stays: Sequence[Stay], watched: float, shown: tuple[Evidence, ...]) -> Finding:
        first = stays[0]
        others = f" (and {len(stays) - 1} more)" if len(stays) > 1 else ""
        budget = f"; its disruption budget {first.budget} allowed no disruption" if first.budget else ""
        reason = f"{first.pod}{others} was still on {first.node} after {units.show(watched, 's')}{budget}"
        if watched < self.within:
            reason += "; that is less than the limit: watch longer"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        limit = f"at most {units.exact(self.within, 's')}"
        return Finding(
            self.title(), self.kind, Verdict.FAILED, reason, limit=limit, step=self.of, evidence=shown, unit="s"
        )


def _cordons(step: StepRecord) -> Iterator[Act]:
    """The acts that closed nodes to drain them; a node that could not be emptied has one more act, which failed."""
    for act in step.acts if step.verb == DRAIN else ():
        if act.target.kind == "node" and act.accepted is not None:
            yield act
