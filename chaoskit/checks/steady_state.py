"""Is the system as steady after the experiment as it was before?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit import conditions
from chaoskit.checks.judging import inconclusive
from chaoskit.contracts import Check, ConditionRecord, Record
from chaoskit.model import Evidence, Finding, Verdict


class SteadyState(Check):
    """The steady state's conditions hold again at the end."""

    kind: ClassVar[str] = "steady_state"

    def title(self) -> str:
        return "steady state again at the end"

    def judge(self, record: Record) -> Finding:
        looks = [c for c in record.conditions if c.phase == "after"]
        if not looks:
            return inconclusive(self, "the steady state was not looked at after the steps")
        last = looks[-1].at
        final = [c for c in looks if c.at == last]
        shown = (Evidence("last look", {"conditions": [_row(c) for c in final]}),)
        broken = [c for c in final if c.holds is False]
        unknown = [c for c in final if c.holds is None]
        if (broken or unknown) and "metrics" not in record.phases:
            verdict, reason = Verdict.INCONCLUSIVE, "the run ended before the time allowed for it was over"
        elif broken:
            verdict, reason = Verdict.FAILED, "; ".join(_text(c) for c in broken)
        elif unknown:
            verdict, reason = Verdict.INCONCLUSIVE, "; ".join(_text(c) for c in unknown)
        elif "steady again" not in record.phases:
            verdict, reason = _not_for_long_enough(record, looks)
        else:
            verdict, reason = Verdict.PASSED, "; ".join(_text(c) for c in final)
        return Finding(self.title(), self.kind, verdict, reason, evidence=shown)


def _not_for_long_enough(record: Record, looks: Sequence[ConditionRecord]) -> tuple[Verdict, str]:
    """They hold, but not yet for as long as was asked when the time was over."""
    if "metrics" not in record.phases:
        return Verdict.INCONCLUSIVE, "the run ended before the time allowed for it was over"
    if all(look.holds is None for look in looks if not look.holds):
        return Verdict.INCONCLUSIVE, "there was no data for as long as was asked"
    last = next(look for look in reversed(looks) if look.holds is False)
    too_short = "the conditions did not hold for as long as was asked, in the time allowed"
    return Verdict.FAILED, f"{too_short}; the last that did not: {_text(last)}"


def _text(look: ConditionRecord) -> str:
    value = "no data" if look.value is None else conditions.shown(look.condition, look.value)
    return f"{look.condition} ({look.reason or value})"


def _row(look: ConditionRecord) -> dict[str, object]:
    return {"condition": look.condition, "value": look.value, "holds": look.holds, "reason": look.reason, "at": look.at}
