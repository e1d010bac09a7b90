"""Did a Service's way in lead to its ready pods, to all of them and to no others? Judged from what `reach` saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from chaoskit import evidence_services, units
from chaoskit.checks.judging import inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, Sight
from chaoskit.evidence_services import SETTLE_S, Stretch
from chaoskit.model import Evidence, Finding, Verdict

SEEN = "reach"
SUREST_MISS = 1e-3
"""That a pod got nothing by chance must be less probable than this, else more should have been asked."""


class Reached(Check):
    """A Service's way in leads to each of its ready pods and to no others; or to nobody at all."""

    kind: ClassVar[str] = "reached"

    of: str = Field(description="the step, one of `reach`")
    pods: Literal["all ready", "none"] = Field("all ready", description="who must answer: all ready pods, or nobody")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        who = "nobody answers" if self.pods == "none" else "all ready pods answer, and no others,"
        return f"{who} in “{self.of}”"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        sights = [s for s in record.sights if s.step == self.of and s.kind == SEEN]
        if not sights:
            return inconclusive(self, f"“{self.of}” asked nobody: it has to be a step of reach", step=self.of)
        findings = [self._nobody(s) if self.pods == "none" else self._everybody(record, s) for s in sights]
        worst = max(findings, key=lambda f: f.verdict.rank)
        return replace(worst, evidence=tuple(_shown(s) for s in sights))

    def _nobody(self, sight: Sight) -> Finding:
        answered = sum(sight.data["answers"].values())
        if answered:
            return self._found(Verdict.FAILED, f"{_whence(sight)}: {_counted(sight)} answered", answered, 0)
        return self._found(
            Verdict.PASSED, f"{_whence(sight)}: none of {sight.data['asked']} answered: {_bad(sight)}", 0, 0
        )

    def _everybody(self, record: Record, sight: Sight) -> Finding:
        asked, answered = int(sight.data["asked"]), dict(sight.data["answers"])
        if sight.data["failures"]:
            reason = f"{_whence(sight)}: {asked - sum(answered.values())} of {asked} got no good answer: {_bad(sight)}"
            return self._found(Verdict.FAILED, reason, sum(answered.values()), asked)
        service, began, ended = sight.data["service"], sight.data["began"], sight.data["ended"]
        around = evidence_services.stretches(record, service, began - SETTLE_S, ended)
        if not around or not _whole(around, began - SETTLE_S, ended):
            return self._unsure(f"which pods were ready while {service} was asked is not known")
        ever = frozenset[str]().union(*(s.pods for s in around))
        strangers = sorted(set(answered) - ever)
        if strangers:
            reason = f"{_whence(sight)}: {', '.join(strangers)} answered, and was not among the ready endpoints"
            return self._found(Verdict.FAILED, reason, len(strangers), 0, "pods", "no other pod answers")
        always = frozenset[str].intersection(*(s.pods for s in around))
        missed = sorted(always - set(answered))
        chance = evidence_services.missed_by_chance(len(always), len(ever), asked)
        if missed and chance > SUREST_MISS:
            return self._unsure(
                f"{', '.join(missed)} never answered, which chance alone may do: ask more than {asked} times"
            )
        if missed:
            reason = f"{_whence(sight)}: {', '.join(missed)} never answered {asked} requests (by chance: {chance:.0e})"
            return self._found(
                Verdict.FAILED, reason, len(always) - len(missed), len(always), "pods", f"all {len(always)} answer"
            )
        return self._found(Verdict.PASSED, f"{_whence(sight)}: {_counted(sight)}", sum(answered.values()), asked)

    def _found(
        self, verdict: Verdict, reason: str, value: int, wanted: int, unit: str = "answers", limit: str = ""
    ) -> Finding:
        return Finding(
            self.title(),
            self.kind,
            verdict,
            reason,
            value=float(value),
            unit=unit,
            uncertainty=0.0,
            limit=limit or (f"all {wanted} requests answered" if wanted else "no answer"),
            margin=float(value - wanted if wanted else -value),
            step=self.of,
        )

    def _unsure(self, reason: str) -> Finding:
        return inconclusive(self, reason, step=self.of)


def _whole(around: Sequence[Stretch], began: float, ended: float) -> bool:
    """Whether the stretches cover the time: none is missing to a break of the watch."""
    return sum(s.ended - s.began for s in around) >= ended - began - 1e-6


def _whence(sight: Sight) -> str:
    data = sight.data
    node = f" of {data['node']}" if data["node"] else ""
    asker = f" from {data['from']}" if data["from"] else " from outside"
    return f"{data['service']} by its {data['by']}{node}{asker}"


def _counted(sight: Sight) -> str:
    return ", ".join(f"{pod or 'somebody'} {number}" for pod, number in sight.data["answers"].items()) or "nobody"


def _bad(sight: Sight) -> str:
    return ", ".join(f"{units.count(number, 'time')} {kind}" for kind, number in sight.data["failures"].items())


def _shown(sight: Sight) -> Evidence:
    data: dict[str, Any] = {key: value for key, value in sight.data.items() if value != ""}
    return Evidence("requests", data)
