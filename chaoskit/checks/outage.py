"""Did users suffer, and how long? Judged from the pulse: one request every 10 ms, on schedule, whatever happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence, units
from chaoskit.checks.judging import WITNESS, asked_of, at_most, inconclusive, landed_or_why, witnessed
from chaoskit.contracts import Check, Count, Record, Seconds
from chaoskit.model import Evidence, Finding, Verdict
from chaoskit.model import Outage as Stretch
from chaoskit.samples import Stream

NONE_LOST = ", no request lost"
STREAMS = {"fresh": Stream.FRESH, "kept": Stream.KEPT}


class Outage(Check):
    """The longest stretch without a good answer during a step is no longer than a time, and few requests are lost."""

    kind: ClassVar[str] = "outage"

    of: str = Field(description="the step")
    at_most: Seconds = Field(description="the longest stretch without a good answer")
    lost: Count | None = Field(None, ge=0, description="at most this many of the pulse's requests fail in all")
    connections: Literal["fresh", "kept"] = Field(
        "fresh", description="a new connection for each request, or one that is kept while it works"
    )

    witness: str = Field("", description=WITNESS)

    def metrics(self) -> Mapping[str, str]:
        return asked_of(self.witness)

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        lost = (
            ""
            if self.lost is None
            else f", at most {units.count(self.lost, 'request')} lost"
            if self.lost
            else NONE_LOST
        )
        kept = " on a kept connection" if self.connections == "kept" else ""
        return f"outage{kept} after “{self.of}” at most {units.exact(self.at_most, 's')}{lost}"

    def happened(self, finding: Finding, measured: str) -> str:
        kept = " on a kept connection" if self.connections == "kept" else ""
        if finding.unit == "requests":
            return f"users lost {measured}{kept} after “{self.of}”, limit {finding.limit.removeprefix('at most ')}"
        return f"users had no answer{kept} for {measured} after “{self.of}”, limit {units.exact(self.at_most, 's')}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        began, ended = step.began, step.ended if step.ended is not None else record.ended
        period = record.pulse_period_s
        seen = evidence.outages(record.pulse, STREAMS[self.connections], began, ended, period)
        shown = (Evidence("pulse", _as_data(seen)),)
        if seen.due == seen.not_sent:
            return inconclusive(self, "the pulse sent nothing in this step", step=self.of, evidence=shown)
        longest, reason = seen.longest, _reason(seen, period)
        finding = at_most(
            self,
            longest.seconds if longest else 0.0,
            self.at_most,
            "s",
            uncertainty=(longest.uncertainty if longest else max(period, seen.silence_s)) + record.load_clock_s,
            reason=reason,
            step=self.of,
            evidence=shown,
        )
        judged = self._as_seen(finding, seen, reason, record.load_clock_s)
        return witnessed(judged, record, self.witness, began, ended)

    def _as_seen(self, finding: Finding, seen: evidence.Coverage, reason: str, clock: float) -> Finding:
        """A failure needs no complete data, a pass does. An outage that is too long only if nothing was good while
        nothing was sent is no certain failure."""
        longest = seen.longest
        if finding.verdict is Verdict.FAILED and seen.certain_s - clock > self.at_most:
            return finding
        if self.lost is not None and seen.lost > self.lost:
            return replace(
                finding,
                verdict=Verdict.FAILED,
                value=float(seen.lost),
                unit="requests",
                uncertainty=None,
                limit=f"at most {units.count(self.lost, 'request')}",
                margin=float(self.lost - seen.lost),
            )
        if why := self._unsure(seen, longest):
            return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{why}; {reason}")
        return finding

    def _unsure(self, seen: evidence.Coverage, longest: Stretch | None) -> str:
        """Why what was not seen may have been too long, or empty."""
        if longest is not None and longest.open_end:
            return "still down when the recording ended"
        if seen.silence_s > self.at_most and (seen.blind_s or seen.not_sent):
            blind, silent = units.show(seen.blind_s, "s"), units.show(seen.silence_s, "s")
            return f"the pulse is blind for {blind} of this step, and without an answer for up to {silent}"
        if self.lost is not None and seen.lost + seen.not_sent > self.lost:
            were = "request was" if seen.not_sent == 1 else "requests were"
            return f"{seen.not_sent} {were} not sent, and may have been lost"
        return ""


def _reason(seen: evidence.Coverage, period: float) -> str:
    if seen.longest is None:
        sent = units.count(seen.due - seen.not_sent, "request")
        unsent = f", {seen.not_sent} not sent" if seen.not_sent else ""
        return f"all of {sent} were answered, one every {units.show(period, 's')}{unsent}"
    lost = f"{seen.lost:,} of {units.count(seen.due, 'request')} lost"
    if len(seen.outages) == 1:
        return f"{lost}, in one stretch"
    total, doubt = sum(o.seconds for o in seen.outages), sum(o.uncertainty for o in seen.outages)
    return f"{lost}, in {len(seen.outages)} stretches of {units.show(total, 's', doubt)} in all"


def _as_data(seen: evidence.Coverage) -> dict[str, object]:
    return {
        "due": seen.due,
        "lost": seen.lost,
        "not_sent": seen.not_sent,
        "blind_s": seen.blind_s,
        "outages": [
            {"seconds": o.seconds, **asdict(o)} for o in sorted(seen.outages, key=lambda o: (-o.seconds, o.first_bad))
        ],
    }
