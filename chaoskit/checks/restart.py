"""Did the kubelet restart the container that was killed, as often and as fast as expected?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from pydantic import Field

from chaoskit import evidence, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds
from chaoskit.model import Evidence, Finding, Verdict


class Restart(Check):
    """Every container that the step killed runs again in its own pod, ready, within a time."""

    kind: ClassVar[str] = "restart"

    of: str = Field(description="the step")
    within: Seconds = Field(description="from the fault's acceptance until the pod is ready again")
    times: Count = Field(1, ge=1, description="the restart count may rise by at most this much")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"restarted after “{self.of}” within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        found = evidence.container_restarts(record, step)
        if not found:
            return inconclusive(self, "this step killed no container", step=self.of)
        shown = tuple(Evidence(f"restart of {r.pod}", asdict(r)) for r in found)
        ended = step.ended if step.ended is not None else record.ended
        bad = next((self._wrong(r) for r in found if self._wrong(r)), "")
        if evidence.gaps(record, step.began, ended, ("pod",)):
            reason = f"{bad or 'restarted'}, but the watch was broken meanwhile: when is not known"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        waiting = next((r for r in found if r.ready is None and not r.replaced), None)
        if waiting and ended - step.began < self.within:
            reason = f"{self._wrong(waiting)}; that is less than the limit: watch longer"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        if bad:
            limit = f"within {units.exact(self.within, 's')}"
            return Finding(self.title(), self.kind, Verdict.FAILED, bad, limit=limit, step=self.of, evidence=shown)
        slowest = max(found, key=lambda r: r.ready or 0.0)
        return at_most(
            self,
            slowest.ready or 0.0,
            self.within,
            "s",
            uncertainty=evidence.WATCH_LAG_S,
            reason=f"{slowest.pod}: restarted {_times(slowest.count)}, policy {slowest.policy}, "
            f"running after {units.show(slowest.running, 's')}",
            step=self.of,
            evidence=shown,
        )

    def _wrong(self, found: evidence.Restart) -> str:
        """What is wrong with it whatever the clock says, or empty."""
        if found.replaced:
            return f"{found.pod}: the whole pod was replaced, not its container restarted"
        if found.count == 0:
            policy = f" (policy {found.policy})" if found.policy else ""
            return f"{found.pod}: the container was not restarted in the time that was watched{policy}"
        if found.ready is None:
            return f"{found.pod}: restarted {_times(found.count)}, but not ready again in the time that was watched"
        if found.count > self.times:
            return f"{found.pod}: restarted {_times(found.count)}, at most {self.times} expected"
        return ""


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
