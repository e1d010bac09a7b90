"""Do pods find the right address of a Service, and how long until they see a change? Judged from what `look_up` saw.

What is right, and since when, the watch tells. The other way of finding it is shown beside the one that is judged:
the variables of a pod's environment are those of its creation, and never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence, evidence_services, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, RefField, Seconds, Sight
from chaoskit.evidence_services import Seen
from chaoskit.model import Evidence, Finding

SEEN = "look up"
WAYS = {"used": "the way that the app uses", "dns": "DNS", "environment": "its environment"}


class Discovered(Check):
    """Pods find the right address of a Service, within a time of a change."""

    kind: ClassVar[str] = "discovered"

    of: str = Field(description="the step since which they look, until the Service changes again")
    service: RefField = Field(description="what they look for: service/NAME")
    by: Literal["used", "dns", "environment"] = Field(
        "used", description="by what the app uses, by DNS, or by variables"
    )
    within: Seconds = Field(description="until every pod finds the right address, and goes on finding it")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"{self.service} found by {WAYS[self.by]} within {units.exact(self.within, 's')} of “{self.of}”"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        ended = step.ended if step.ended is not None else record.ended
        history = evidence_services.addresses(record, self.service.name)
        known = [h for h in history if h[0] <= ended]
        if not known or not known[-1][1]:
            return inconclusive(self, f"there was no {self.service} to be found in the end", step=self.of)
        changed, right = max(known[-1][0], step.began), known[-1][1]
        until = next((at for at, _ in history if at > ended), record.phases.get("watched", (0.0, record.ended))[1])
        if evidence.gaps(record, step.began, changed, ("service",)):
            return inconclusive(self, "the watch was broken when the Service changed", step=self.of)
        looks = self._looks(record, until)
        seen = evidence_services.seen_since(looks, self.by, right, changed)
        shown = tuple(self._shown(looks, way, right, changed) for way in ("dns", "environment"))
        if not seen:
            return inconclusive(self, "no pod looked since: add a step of look_up", step=self.of, evidence=shown)
        return self._judged(seen, right, changed, shown)

    def _looks(self, record: Record, until: float) -> list[Sight]:
        """Those of the pods that were there to the end: what one that was replaced meanwhile never saw is no matter."""
        mine = [s for s in record.sights if self._is_look(s) and s.data["ended"] <= until]
        last = max((float(s.data["ended"]) for s in mine), default=0.0)
        stay = set(evidence_services.living(record, last))
        return [s for s in mine if s.data["uid"] in stay]

    def _is_look(self, sight: Sight) -> bool:
        return sight.kind == SEEN and sight.data["service"] == self.service.name

    def _judged(self, seen: Sequence[Seen], right: str, changed: float, shown: tuple[Evidence, ...]) -> Finding:
        never = [s for s in seen if s.right_by is None]
        if never:
            first = never[0]
            looked = first.last - changed
            said = f"{first.pod} still finds {first.found} {units.show(looked, 's')} after; right is {right}"
            reason = said if len(never) == 1 else f"{said} (and {len(never) - 1} more)"
            if looked <= self.within:
                reason = f"not looked for long enough: {reason}"
                return inconclusive(self, reason, step=self.of, evidence=shown, value=looked, unit="s")
            return at_most(self, looked, self.within, "s", reason=reason, step=self.of, evidence=shown)
        slowest = max(seen, key=lambda s: s.right_by or 0.0)
        earliest, latest = slowest.right_after - changed, (slowest.right_by or 0.0) - changed
        return at_most(
            self,
            (earliest + latest) / 2,
            self.within,
            "s",
            uncertainty=(latest - earliest) / 2,
            reason=f"{right} found by all {units.count(len(seen), 'pod')}; the last was {slowest.pod}",
            step=self.of,
            evidence=shown,
        )

    def _shown(self, looks: Sequence[Sight], way: str, right: str, changed: float) -> Evidence:
        rows = {
            s.pod: f"still {s.found} after {s.last - changed:.2f} s"
            if s.right_by is None
            else f"right by {s.right_by - changed:.2f} s"
            for s in evidence_services.seen_since(looks, way, right, changed)
        }
        return Evidence(f"found by {WAYS[way]}", {"right": right, "since": changed, "pods": rows})
