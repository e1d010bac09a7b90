"""How long did a pod that was hit go on getting requests?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, Seconds
from chaoskit.evidence_endpoints import Exit, endpoint_exits
from chaoskit.model import Evidence, Finding, Verdict


class OutOfEndpoints(Check):
    """Every pod that the step hit left the ready endpoints of its Services within a time."""

    kind: ClassVar[str] = "out_of_endpoints"

    of: str = Field(description="the step")
    within: Seconds = Field(description="from the fault's acceptance until the pod gets no new connections")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"out of the endpoints after “{self.of}” within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        found = [e for e in endpoint_exits(record, step) if e.served]
        if not found:
            return inconclusive(self, "no pod that was hit was among the endpoints of a Service", step=self.of)
        shown = tuple(Evidence(f"endpoint of {e.pod}", asdict(e)) for e in found)
        ended = step.ended if step.ended is not None else record.ended
        if evidence.gaps(record, step.began, ended, ("endpointslice",)):
            return inconclusive(self, "the watch of the endpoints was broken meanwhile", step=self.of, evidence=shown)
        staying = next((e for e in found if e.out is None), None)
        if staying is not None:
            return self._stayed(staying, ended - step.began, shown)
        slowest = max(found, key=lambda e: e.out or 0.0)
        return at_most(
            self,
            slowest.out or 0.0,
            self.within,
            "s",
            uncertainty=slowest.uncertainty,
            reason=_reason(slowest),
            step=self.of,
            evidence=shown,
        )

    def _stayed(self, pod: Exit, window: float, shown: tuple[Evidence, ...]) -> Finding:
        """It never left within the window: a failure if that was long enough to know."""
        reason = f"{pod.pod} was still among the endpoints after the {units.show(window, 's')} that were watched"
        if window < self.within:
            return inconclusive(
                self, f"{reason}; that is less than the limit: watch longer", step=self.of, evidence=shown
            )
        limit = f"at most {units.exact(self.within, 's')}"
        return Finding(self.title(), self.kind, Verdict.FAILED, reason, limit=limit, step=self.of, evidence=shown)


def _reason(pod: Exit) -> str:
    back = f", and came back after {units.show(pod.back, 's')}" if pod.back is not None else ""
    return f"{pod.pod} left after {units.show(pod.out, 's')}{back}"
