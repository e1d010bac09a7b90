"""Did all traffic go over to the new colour in time, and did no request get lost on the way?

A Service balances connections: what is kept open stays with the old pods until they close it. So it says which kind of
connection is meant, and a switch is not complete for all of them before the old pods are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds, StepRecord
from chaoskit.evidence_answers import STREAMS, Switch, switch
from chaoskit.model import Evidence, Finding, Verdict


class Switched(Check):
    """After a switch, requests sent later than a time are answered by the new version or colour alone; none is lost."""

    kind: ClassVar[str] = "switched"

    of: str = Field(description="the step")
    to: str = Field(min_length=1, description="the version or colour that answers from then on")
    by: Literal["colour", "version"] = Field("colour", description="what the answers are told apart by")
    within: Seconds = Field(description="requests sent later than this after the switch must all go to the new one")
    lost: Count = Field(0, ge=0, description="at most this many requests of the step fail")
    connections: Literal["fresh", "kept", "users", "all"] = Field(
        "fresh", description="the pulse's new connection for each request, its kept one, Locust's, or all of these"
    )

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        kinds = {"fresh": "new connections", "kept": "kept connections", "users": "users", "all": "all requests"}
        lost = "none lost" if not self.lost else f"at most {self.lost} lost"
        return f"“{self.of}”: {kinds[self.connections]} on {self.to} within {units.exact(self.within, 's')}, {lost}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        seen = switch((*record.pulse, *record.locust), STREAMS[self.connections], (step.began, ended), self.by, self.to)
        finding = self._decide(step, ended, seen, record.pulse_period_s, record.load_clock_s)
        return replace(finding, step=self.of, evidence=(Evidence("answers", asdict(seen)),))

    def _decide(self, step: StepRecord, ended: float, seen: Switch, period: float, clock: float) -> Finding:
        ordered, accepted = _switched(step)
        if seen.lost > self.lost:
            sent = seen.old + seen.new + seen.nameless + seen.lost
            reason = f"{seen.lost} of {units.count(sent, 'request')} lost in this step, at most {self.lost} allowed"
            return self._failed(reason, seen.lost, "requests", f"at most {self.lost}", self.lost - seen.lost)
        if seen.last_old is None:
            return inconclusive(
                self, f"nothing but {self.to} answered, before the switch as well: nothing was switched"
            )
        seconds = seen.last_old - ordered
        found = at_most(
            self,
            max(0.0, seconds),
            self.within,
            "s",
            uncertainty=max(period, accepted - ordered) + clock,
            reason=self._reason(seen),
        )
        if found.verdict is Verdict.FAILED:
            return found
        if why := self._unsure(seen, ended - ordered):
            return replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{why}; {found.reason}")
        return found

    def _failed(self, reason: str, value: float, unit: str, limit: str, margin: float) -> Finding:
        return Finding(
            self.title(), self.kind, Verdict.FAILED, reason, value=value, unit=unit, limit=limit, margin=margin
        )

    def _reason(self, seen: Switch) -> str:
        new = f"{units.count(seen.new, 'answer')} by {self.to}"
        return f"the last request that another {self.by} answered was sent then; {new}, {seen.lost} lost"

    def _unsure(self, seen: Switch, watched: float) -> str:
        if seen.nameless:
            return f"{units.count(seen.nameless, 'answer')} did not tell their {self.by}"
        if watched < self.within:
            return f"only {units.show(watched, 's')} after the switch were watched"
        if seen.next_new is None:
            return f"{self.to} answered nothing after that"
        if seen.not_sent > self.lost - seen.lost:
            return f"{units.count(seen.not_sent, 'request')} were not sent, and may have been lost"
        return ""


def _switched(step: StepRecord) -> tuple[float, float]:
    """(when the first act was ordered, when it was accepted at the latest)."""
    first = min(step.acts, key=lambda act: act.ordered)
    known = [at for at in (first.accepted, first.landed) if at is not None]
    return first.ordered, min(known, default=first.ordered)
