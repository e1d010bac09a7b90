"""How long until the platform had worked off what had come up while a part of it was away?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, evidence_platform, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Act, Check, Record, Seconds
from chaoskit.evidence import WATCH_LAG_S
from chaoskit.model import Evidence, Finding
from chaoskit.objects import SERVER

ALWAYS_THERE = ("pod", "endpointslice")
"""Kinds that an app has. A watch tells nothing of a kind of which there is no object, not even that it works again."""


class CaughtUp(Check):
    """Every workload has its ready pods, and every Service leads to them, within a time of the step's last act."""

    kind: ClassVar[str] = "caught_up"

    of: str = Field(description="the step: one that kills or freezes a server, or lets it go on")
    within: Seconds = Field(description="until nothing is behind any more; a frozen server counts from when it goes on")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"the platform has caught up within {units.exact(self.within, 's')} of “{self.of}”"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        began = max(map(_over, step.acts))
        breaks = evidence.gaps(record, began, ended, ALWAYS_THERE)
        shown = (Evidence("the watch was broken", {"from_to": [list(gap) for gap in breaks]}),) if breaks else ()
        if any(end >= ended for _, end in breaks):
            return inconclusive(self, "the watch was still broken at the window's end", step=self.of, evidence=shown)
        seen = evidence_platform.caught_up(record, began, ended)
        if seen.by is None:
            reason = f"at the window's end {seen.what}"
            if ended - began <= self.within:
                return inconclusive(self, f"not watched for long enough: {reason}", step=self.of, evidence=shown)
            return at_most(self, ended - began, self.within, "s", reason=reason, step=self.of, evidence=shown)
        back = max((end for _, end in breaks), default=began)
        earliest, latest = seen.behind_until - began, max(seen.by, back) - began
        return at_most(
            self,
            (earliest + latest) / 2,
            self.within,
            "s",
            uncertainty=max(WATCH_LAG_S, (latest - earliest) / 2),
            reason=_words(seen.what, back - began),
            step=self.of,
            evidence=shown,
        )


def _over(act: Act) -> float:
    """When what the act did was over: at once, or when a server that stood still went on."""
    accepted = act.accepted if act.accepted is not None else act.ordered
    return accepted + float(act.target.prior.get("away_s", 0.0) if act.target.kind == SERVER else 0.0)


def _words(what: str, blind_s: float) -> str:
    said = f"last, {what}" if what else "nothing was behind"
    return f"{said}; the API server told nothing until {units.show(blind_s, 's')} after" if blind_s > 0 else said
