"""Did what was hit come back, and how long did each link of the recovery take?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, evidence_nodes, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, RefField, Seconds, StepRecord
from chaoskit.evidence_nodes import Prediction
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.objects import name


class Recovery(Check):
    """Every pod that the step took, itself or with its node, was replaced by one that serves, within a time."""

    kind: ClassVar[str] = "recovery"

    of: str = Field(description="the step")
    within: Seconds = Field(description="from the fault's acceptance until the replacement is among the endpoints")
    pods: RefField | None = Field(None, description="only the pods of this workload, as in deployment/front")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        whose = f"pods of {self.pods} " if self.pods else ""
        return f"{whose}recovered from “{self.of}” within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        chains = self._chains(record, step)
        if not chains:
            whose = f" of {self.pods}" if self.pods else ""
            return inconclusive(self, f"no pod{whose} went away in this step, so nothing had to recover", step=self.of)
        predicted = evidence_nodes.predictions(record, step)
        shown = tuple(Evidence(f"chain of {c.victim}", _as_data(c, predicted)) for c in chains)
        ended = step.ended if step.ended is not None else record.ended
        unfinished = [c for c in chains if c.seconds is None]
        if unfinished:
            finding = _unfinished(self, unfinished[0], ended - unfinished[0].accepted, shown, record)
            return replace(finding, reason=finding.reason + _said(predicted, unfinished[0]))
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
            reason=f"{slowest.victim} → {slowest.replacement}; longest link: {slowest.slowest_link}"
            + _said(predicted, slowest),
            step=self.of,
            evidence=shown,
        )

    def _chains(self, record: Record, step: StepRecord) -> Sequence[evidence.Chain]:
        chains = evidence.recovery_chains(record, step)
        if self.pods is None:
            return chains
        there = evidence_nodes.state_at(record.events, step.began).pods_of(self.pods, record.namespace) or ()
        names = {name(pod) for pod in there}
        return [chain for chain in chains if chain.victim in names]


def _as_data(chain: evidence.Chain, predicted: Mapping[str, Prediction]) -> dict[str, object]:
    """The chain, and what the platform's timings predicted for it."""
    found = predicted.get(chain.victim)
    return chain.as_data() | ({"predicted": found.as_data()} if found else {})


def _said(predicted: Mapping[str, Prediction], chain: evidence.Chain) -> str:
    found = predicted.get(chain.victim)
    return f"; {found}" if found else ""


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
