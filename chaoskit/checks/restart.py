"""Did the kubelet restart the containers that were hit, as their restart policy says, and as fast as expected?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from chaoskit import evidence, units
from chaoskit import evidence_restarts as restarts
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds, StepRecord
from chaoskit.model import Evidence, Finding, Verdict

NEEDED, POLICY, NONE = "needed", "policy", "none"


class Restart(Check):
    """Every container that the step hit runs again in its own pod, ready, within a time; with `as: policy`, each one
    that its restart policy brings back, and no other; with `as: none`, none of them was restarted."""

    kind: ClassVar[str] = "restart"

    of: str = Field(description="the step")
    within: Seconds | None = Field(
        None, description="from the fault's acceptance until the pod is ready again; needed but for as: none"
    )
    times: Count = Field(1, ge=1, description="the restart count may rise by at most this much")
    as_: Literal["needed", "policy", "none"] = Field(
        "needed", alias="as", description="all must be restarted, exactly those whose policy asks for it, or none"
    )

    @model_validator(mode="after")
    def _limited(self) -> Restart:
        if (self.within is None) != (self.as_ == NONE):
            raise ValueError("give within, as in within: 10s; but not with as: none, where nothing is to come back")
        return self

    @property
    def _limit(self) -> float:
        return self.within or 0.0

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        if self.as_ == NONE:
            return f"nothing restarted after “{self.of}”"
        how = "restarted" if self.as_ == NEEDED else "restarted as the policies say"
        return f"{how} after “{self.of}” within {units.exact(self._limit, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        found = restarts.container_restarts(record, step)
        if not found:
            return inconclusive(self, "this step killed no container", step=self.of)
        shown = tuple(Evidence(f"restart of {r.pod}", r.as_data()) for r in found)
        if self.as_ == NONE:
            return self._judge_none(record, step, found, shown)
        bad = next((self._wrong(r) for r in found if self._wrong(r)), "")
        if why := self._unsure(record, step, found, bad):
            return inconclusive(self, why, step=self.of, evidence=shown)
        if bad:
            limit = f"within {units.exact(self._limit, 's')}"
            return Finding(self.title(), self.kind, Verdict.FAILED, bad, limit=limit, step=self.of, evidence=shown)
        slowest = max(found, key=_took)
        return at_most(
            self,
            _took(slowest),
            self._limit,
            "s",
            uncertainty=evidence.WATCH_LAG_S,
            reason=self._summary(found, slowest),
            step=self.of,
            evidence=shown,
        )

    def _judge_none(
        self, record: Record, step: StepRecord, found: Sequence[restarts.Restart], shown: tuple[Evidence, ...]
    ) -> Finding:
        """A restart that was seen is one, whatever was missed; that there was none needs the whole watch."""
        ended = step.ended if step.ended is not None else record.ended
        worst = max(found, key=lambda r: (r.replaced, r.count, r.ended is not None))
        count = max(worst.count, int(worst.replaced or worst.ended is not None))
        if not count and evidence.gaps(record, step.began, ended, ("pod",)):
            return inconclusive(self, "the watch was broken meanwhile", step=self.of, evidence=shown)
        reason = f"{worst.pod}: {_ended(worst)}" if count else f"{units.count(len(found), 'container')} ran on"
        return at_most(self, float(count), 0.0, "", reason=reason, step=self.of, evidence=shown)

    def _unsure(self, record: Record, step: StepRecord, found: Sequence[restarts.Restart], bad: str) -> str:
        """Why nothing can be concluded, or empty."""
        ended = step.ended if step.ended is not None else record.ended
        if evidence.gaps(record, step.began, ended, ("pod",)):
            return f"{bad or 'restarted'}, but the watch was broken meanwhile: when is not known"
        if self.as_ == POLICY and (lived := next((r for r in found if r.due is None and not r.replaced), None)):
            return f"{lived.pod}: the container did not end, or how it ended was not seen"
        waiting = next((r for r in found if self._waits(r)), None)
        if waiting and ended - step.began < self._limit:
            return f"{self._wrong(waiting)}; that is less than the limit: watch longer"
        return ""

    def _due(self, found: restarts.Restart) -> bool:
        return self.as_ == NEEDED or bool(found.due)

    def _waits(self, found: restarts.Restart) -> bool:
        """Whether more time could have brought what is missing."""
        if found.replaced:
            return False
        return found.ready is None if self._due(found) else found.count == 0 and not found.final

    def _wrong(self, found: restarts.Restart) -> str:
        """What is wrong with it whatever the clock says, or empty."""
        if found.replaced:
            return f"{found.pod}: the whole pod was replaced, not its container restarted"
        if not self._due(found):
            return self._wrong_in_the_end(found)
        if found.count == 0:
            policy = f" (policy {found.policy}, {found.how})" if found.policy else ""
            return f"{found.pod}: the container was not restarted in the time that was watched{policy}"
        if found.ready is None:
            return f"{found.pod}: restarted {_times(found.count)}, but not ready again in the time that was watched"
        if found.count > self.times:
            return f"{found.pod}: restarted {_times(found.count)}, at most {self.times} expected"
        return ""

    def _wrong_in_the_end(self, found: restarts.Restart) -> str:
        """Of a container that its policy does not bring back."""
        if found.count > 0:
            return f"{found.pod}: restarted {_times(found.count)} after {found.how}, against its policy {found.policy}"
        if not found.final:
            return f"{found.pod}: neither restarted nor ended for good in the time that was watched"
        return ""

    def _summary(self, found: Sequence[restarts.Restart], slowest: restarts.Restart) -> str:
        if self.as_ == POLICY:
            return "; ".join(map(_story, found))
        return (
            f"{slowest.pod}: restarted {_times(slowest.count)} after {slowest.how}, policy {slowest.policy}, "
            f"running after {units.show(slowest.running, 's')}"
        )


def _took(found: restarts.Restart) -> float:
    """Seconds until it was ready again, or until it was seen to have ended for good."""
    return (found.ready if found.count else found.ended) or 0.0


def _story(found: restarts.Restart) -> str:
    what = f"restarted {_times(found.count)}" if found.count else "not restarted"
    return f"{found.pod} ({found.policy}): {found.how}, {what}"


def _ended(found: restarts.Restart) -> str:
    if found.replaced:
        return "the whole pod was replaced"
    return f"restarted {_times(found.count)} after {found.how}" if found.count else f"ended, by {found.how}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
