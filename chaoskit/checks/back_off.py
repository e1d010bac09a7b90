"""Does the kubelet wait before each restart of a container that ends again and again, as its settings say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import ClassVar

from pydantic import Field

from chaoskit import units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds
from chaoskit.evidence_restarts import STAMP_S, Pause, container_restarts
from chaoskit.model import Evidence, Finding


class BackOff(Check):
    """The pauses before the restarts of what the step hit are those that the kubelet's settings predict."""

    kind: ClassVar[str] = "back_off"

    of: str = Field(description="the step; restarts that went before it count as well")
    within: Seconds = Field(gt=STAMP_S, description="how far each pause may be outside of what is predicted")
    restarts: Count = Field(2, ge=1, description="so many pauses must have been seen of each container")

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        return f"pauses before restarts after “{self.of}” as predicted, within {units.exact(self.within, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        found = container_restarts(record, step)
        shown = tuple(Evidence(f"restarts of {r.pod}", {"pauses": [asdict(p) for p in r.pauses]}) for r in found)
        few = next((r for r in found if len(r.pauses) < self.restarts), None)
        if few is not None or not found:
            seen = (
                f"{few.pod}: {units.count(len(few.pauses), 'pause')}" if few else "this step killed no container: none"
            )
            return inconclusive(self, f"{seen} of {self.restarts} seen", step=self.of, evidence=shown)
        pauses = [(r.pod, pause) for r in found for pause in r.pauses]
        if any(pause.predicted_s is None for _, pause in pauses):
            reason = "the kubelets' longest back-off is not known of this cluster, so no pause can be predicted"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        pod, furthest = max(pauses, key=lambda found: found[1].off_s)
        return at_most(
            self,
            furthest.off_s,
            self.within,
            "s",
            uncertainty=STAMP_S,
            reason=f"{pod}: {_sequence(found[0].pauses if len(found) == 1 else (furthest,))}",
            step=self.of,
            evidence=shown,
        )


def _sequence(pauses: Sequence[Pause]) -> str:
    """`restart 1 after 1 s (0 s predicted), 2 after 11 s (10 to 15 s predicted)`."""
    return f"restart {', '.join(f'{p.restart} after {p.pause_s:.0f} s ({_range(p)} predicted)' for p in pauses)}"


def _range(pause: Pause) -> str:
    least, most = f"{pause.predicted_s:.0f}", f"{pause.latest_s:.0f}"
    return f"{least} s" if least == most else f"{least} to {most} s"
