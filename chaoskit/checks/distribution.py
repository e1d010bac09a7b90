"""Does a Service share its connections out as it should? Judged from who answered the pulse.

A Service balances connections, not requests: each new one goes to any ready pod with the same probability, and what is
sent over one that is kept stays where it is. So fresh connections are put to a test of equal shares, and kept ones must
not wander.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence_services, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, RefField
from chaoskit.evidence_services import Stretch
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.samples import Stream

LEAST_PROBABLE = 1e-4
"""Shares that chance gives less often than in one of 10,000 runs are not equal ones."""
FEWEST_EACH = 5
"""Below five answers to be expected of each pod the statistic does not follow its distribution (NIST/SEMATECH
e-Handbook of Statistical Methods, 1.3.5.15)."""
WANDERING = 0.1
"""If requests were shared out over two pods, every other one would be answered by another pod than the one before on
the same connection. A few moves are no more than connections that the server has closed meanwhile."""


class Distribution(Check):
    """A Service's new connections are shared out equally over its ready pods; kept ones stay where they are."""

    kind: ClassVar[str] = "distribution"

    of: str = Field(description="the step; judged is the longest time in it in which the same pods were ready")
    over: RefField = Field(description="whose ready pods: service/NAME, the one that the load asks")
    connections: Literal["fresh", "kept"] = Field(
        "fresh", description="a new connection for each request, or one that is kept while it works"
    )

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        if self.connections == "kept":
            return f"kept connections to {self.over} stay with their pod during “{self.of}”"
        return f"new connections shared equally over the pods of {self.over} during “{self.of}”"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        stretch = evidence_services.steady(record, self.over.name, step.began, ended)
        if stretch is None:
            return inconclusive(self, f"{self.over} had no ready pods for long enough to count", step=self.of)
        return self._kept(record, stretch) if self.connections == "kept" else self._fresh(record, stretch)

    def _fresh(self, record: Record, stretch: Stretch) -> Finding:
        counts = evidence_services.answers(record.pulse, Stream.FRESH, stretch)
        shown = (_shown(counts, stretch),)
        total = sum(counts.values())
        if len(stretch.pods) < 2:
            return inconclusive(self, "there was one ready pod: nothing to share out", step=self.of, evidence=shown)
        strangers = sorted(set(counts) - stretch.pods)
        if strangers:
            reason = f"{', '.join(strangers)} answered, and was not among the ready endpoints"
            return self._found(Verdict.FAILED, reason, 0.0, shown)
        if total < FEWEST_EACH * len(stretch.pods):
            return inconclusive(self, f"{total} answers are too few to tell", step=self.of, evidence=shown)
        chance = evidence_services.by_chance(evidence_services.chi_square(list(counts.values())), len(counts) - 1)
        reason = f"{total} answers: {_shares(counts)}"
        if chance < LEAST_PROBABLE:
            return self._found(Verdict.FAILED, f"chance does not give such shares; {reason}", chance, shown)
        return self._found(Verdict.PASSED, reason, chance, shown)

    def _found(self, verdict: Verdict, reason: str, chance: float, shown: tuple[Evidence, ...]) -> Finding:
        return Finding(
            self.title(),
            self.kind,
            verdict,
            reason,
            value=chance,
            unit="probability",
            limit=f"at least {LEAST_PROBABLE}",
            margin=chance - LEAST_PROBABLE,
            step=self.of,
            evidence=shown,
        )

    def _kept(self, record: Record, stretch: Stretch) -> Finding:
        counts = evidence_services.answers(record.pulse, Stream.KEPT, stretch)
        shown = (_shown(counts, stretch),)
        moved, used = evidence_services.switches(record.pulse, Stream.KEPT, stretch)
        if not used:
            return inconclusive(self, "no kept connection was used again", step=self.of, evidence=shown)
        stayed = ", ".join(pod for pod, number in counts.most_common() if number)
        reason = f"{used} answers over connections used before, from {stayed}"
        return at_most(self, moved / used, WANDERING, "%", reason=reason, step=self.of, evidence=shown)


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(f"{pod} {units.show(number / total, '%')}" for pod, number in sorted(counts.items()))


def _shown(counts: Counter[str], stretch: Stretch) -> Evidence:
    return Evidence(
        "answers by pod", {"from": stretch.began, "to": stretch.ended, "answers": dict(sorted(counts.items()))}
    )
