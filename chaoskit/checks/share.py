"""Does each version get the share of answers that it should, as far as so many requests can tell?

Only new connections are independent draws: a kept one stays with its pod. So the pulse's fresh stream is counted, and
its binomial uncertainty decides: no verdict where the requests are too few to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence, units
from chaoskit.checks.judging import inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, Seconds
from chaoskit.contracts import Share as ShareField
from chaoskit.evidence_answers import PARTS, wilson
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.samples import Stream

CONFIDENCE = 0.999
"""A gallery of some dozens of findings is run every night: at 95 % one of them would be wrong each time."""
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class Share(Check):
    """A version or colour gets its share of the answers, within a tolerance and the statistical bound."""

    kind: ClassVar[str] = "share"

    of: str = Field(description="the step")
    is_: str = Field(alias="is", min_length=1, description="which version, colour or pod")
    by: Literal["version", "colour", "pod"] = Field("version", description="what the answers are told apart by")
    expected: ShareField = Field(description="its share of the answers, as in 25%")
    tolerance: ShareField = Field(0.05, gt=0, description="how far off it may be, in points")
    settle: Seconds = Field(0.0, description="left out from the step's begin on, until the change has taken effect")

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        about = f"{units.exact(self.expected, '%')} ± {units.exact(self.tolerance, '%')}"
        return f"“{self.of}”: {self.by} {self.is_} gives {about} of the answers"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        fresh = [s for s in record.pulse if s.stream is Stream.FRESH]
        counts = evidence.shares(fresh, step.began + self.settle, ended, PARTS[self.by])
        return self._decide(counts)

    def _decide(self, counts: dict[str, int]) -> Finding:
        of, hits = sum(counts.values()), counts.get(self.is_, 0)
        low, high = wilson(hits, of, Z)
        shown = (Evidence("answers on new connections", {**dict(sorted(counts.items())), "low": low, "high": high}),)
        if not of:
            return inconclusive(self, "no answer told who gave it", step=self.of, evidence=shown)
        least, most = self.expected - self.tolerance, self.expected + self.tolerance
        bound = f"{low:.1%} to {high:.1%} at {CONFIDENCE:.1%} (Wilson)"
        reason = f"{hits:,} of {units.count(of, 'answer')} on new connections, {bound}"
        verdict = Verdict.PASSED if least <= low and high <= most else Verdict.INCONCLUSIVE
        if high < least or low > most:
            verdict = Verdict.FAILED
        if verdict is Verdict.INCONCLUSIVE:
            reason = f"so many requests cannot tell: {reason}"
        off = abs(hits / of - self.expected)
        return Finding(
            self.title(),
            self.kind,
            verdict,
            reason,
            value=hits / of,
            unit="%",
            uncertainty=(high - low) / 2,
            limit=f"{units.exact(self.expected, '%')} ± {units.exact(self.tolerance, '%')}",
            margin=self.tolerance - off,
            step=self.of,
            evidence=shown,
        )
