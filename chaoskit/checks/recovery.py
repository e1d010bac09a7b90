"""Did what was hit come back, and how long did each link of the recovery take?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, Seconds
from chaoskit.model import Evidence, Finding, Verdict


class Recovery(Check):
    """Every pod that the step took was replaced, and the replacement serves, within a time."""

    kind: ClassVar[str] = "recovery"

    of: str = Field(description="the step")
    within: Seconds = Field(description="from the fault's acceptance until the replacement is among the endpoints")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"recovered from “{self.of}” within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        chains = evidence.recovery_chains(record, step)
        if not chains:
            return inconclusive(self, "no pod went away in this step, so nothing had to recover", step=self.of)
        shown = tuple(Evidence(f"chain of {c.victim}", c.as_data()) for c in chains)
        ended = step.ended if step.ended is not None else record.ended
        unfinished = [c for c in chains if c.seconds is None]
        if unfinished:
            return _unfinished(self, unfinished[0], ended - unfinished[0].accepted, shown, record)
        slowest = max(chains, key=lambda c: c.seconds or 0.0)
        if _broken(record, slowest.accepted, slowest.seconds or 0.0):
            reason = f"the watch was broken while {slowest.victim} was replaced: when each thing happened is not known"
            return inconclusive(self, reason, step=self.of, evidence=shown, value=slowest.seconds, unit="s")
        return at_most(
            self,
            slowest.seconds or 0.0,
            self.within,
            "s",
            uncertainty=slowest.uncertainty,
            reason=f"{slowest.victim} → {slowest.replacement}; longest link: {slowest.slowest_link}",
            step=self.of,
            evidence=shown,
        )


def _broken(record: Record, began: float, seconds: float) -> bool:
    """Any of the chains may have lost an event then: which pod replaced which is told by all of them."""
    return bool(evidence.gaps(record, began, began + seconds, ("pod", "endpointslice")))


def _unfinished(
    check: Recovery, chain: evidence.Chain, window: float, shown: tuple[Evidence, ...], record: Record
) -> Finding:
    """Never recovered within the window: a failure if the window was long enough to know."""
    missing = f"{chain.victim}: {chain.missing} was not seen in the {units.show(window, 's')} that were watched"
    if _broken(record, chain.accepted, window):
        return inconclusive(check, f"{missing}, but the watch was broken meanwhile", step=check.of, evidence=shown)
    if window < check.within:
        return inconclusive(
            check, f"{missing}; that is less than the limit: watch longer", step=check.of, evidence=shown
        )
    return Finding(
        check.title(),
        check.kind,
        Verdict.FAILED,
        missing,
        limit=f"within {units.exact(check.within, 's')}",
        step=check.of,
        evidence=shown,
    )
