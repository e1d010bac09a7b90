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
        return f"recovered from “{self.of}” within {units.show(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        chains = evidence.recovery_chains(record, step)
        if not chains:
            return inconclusive(self, "no pod went away in this step, so nothing had to recover", step=self.of)
        shown = tuple(Evidence(f"chain of {c.victim}", c.as_data()) for c in chains)
        window = (step.ended or record.ended) - step.began
        unfinished = [c for c in chains if c.seconds is None]
        if unfinished:
            return _unfinished(self, unfinished[0], window, shown, record)
        slowest = max(chains, key=lambda c: c.seconds or 0.0)
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


def _unfinished(
    check: Recovery, chain: evidence.Chain, window: float, shown: tuple[Evidence, ...], record: Record
) -> Finding:
    """Never recovered within the window: a failure if the window was long enough to know."""
    missing = f"{chain.victim}: {chain.missing} was not seen in the {units.show(window, 's')} that were watched"
    if evidence.gaps(record, chain.accepted, chain.accepted + window):
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
        limit=f"within {units.show(check.within, 's')}",
        step=check.of,
        evidence=shown,
    )
