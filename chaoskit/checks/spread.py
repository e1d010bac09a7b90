"""Are a workload's pods where the loss of one node, or of one zone, leaves enough of them?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence, evidence_nodes, units
from chaoskit.checks.judging import inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, RefField
from chaoskit.evidence_nodes import Spread as Seen
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.objects import WORKLOADS

MOST_SHOWN = 40


class Spread(Check):
    """The ready pods of a workload are spread over nodes or zones: never all of several in one of them, and the fullest
    holds at most `skew` more than the emptiest. What cannot take pods (not Ready, cordoned, tainted) does not count as
    empty."""

    kind: ClassVar[str] = "spread"

    of: RefField = Field(description="whose pods")
    over: Literal["node", "zone"] = Field("node", description="what they are spread over")
    skew: Count = Field(1, ge=1, description="by how many pods the fullest and the emptiest may differ")
    after: str = Field(description="the step in whose window it is looked at")
    when: Literal["at the end", "always"] = Field("at the end", description="of that window; or at every change in it")

    def steps(self) -> Sequence[str]:
        return (self.after,)

    def title(self) -> str:
        when = f"after “{self.after}”" if self.when == "at the end" else f"always during “{self.after}”"
        return f"pods of {self.of} spread over {self.over}s {when}, skew at most {self.skew}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.after)
        if step is None:
            return inconclusive(self, why, step=self.after)
        if self.of.kind not in (*WORKLOADS, "service"):
            return inconclusive(self, f"{self.of} is no workload, so nothing is spread", step=self.after)
        began, ended = step.began, step.ended if step.ended is not None else record.ended
        seen = list(evidence_nodes.spreads(record, self.of, self.over, began, ended))
        looked_at = seen if self.when == "always" else seen[-1:]
        shown = (Evidence(f"ready pods by {self.over}", _as_data(looked_at)),)
        since = began if self.when == "always" else ended
        if evidence.gaps(record, since, ended, ("pod", "node")):
            reason = "the watch was broken then: where the pods were is not known"
            return inconclusive(self, reason, step=self.after, evidence=shown)
        if why := next((why for s in looked_at if (why := self._undecidable(s))), ""):
            return inconclusive(self, why, step=self.after, evidence=shown)
        return self._judged(max(looked_at, key=lambda s: (bool(s.alone), s.skew)), shown)

    def _undecidable(self, seen: Seen) -> str:
        if seen.total < 2:
            return f"{units.count(seen.total, 'pod')} of {self.of} ready: nothing to spread"
        if len(seen.counts) < 2:
            return f"there was one {self.over} that could take pods: nothing to spread over"
        return ""

    def _judged(self, worst: Seen, shown: tuple[Evidence, ...]) -> Finding:
        bad = bool(worst.alone) or worst.skew > self.skew
        all_in_one = f"all {worst.total} ready pods were in one {self.over}, {worst.alone}; " if worst.alone else ""
        return Finding(
            self.title(),
            self.kind,
            Verdict.FAILED if bad else Verdict.PASSED,
            f"{all_in_one}ready pods: {worst}",
            value=float(worst.skew),
            unit="pods",
            uncertainty=0.0,
            limit=f"at most {units.count(self.skew, 'pod')}",
            margin=float(self.skew - worst.skew),
            step=self.after,
            evidence=shown,
        )


def _as_data(seen: Sequence[Seen]) -> dict[str, object]:
    """The first and the last changes; a long rollout has hundreds."""
    rows = [{"at": s.at, **s.counts} for s in (*seen[: MOST_SHOWN // 2], *seen[MOST_SHOWN // 2 :][-MOST_SHOWN // 2 :])]
    return {"changes": len(seen), "spread": rows}
