"""Is everything that was promised still there? Judged from the ledger that the load's writers kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from chaoskit import units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Record, Seconds
from chaoskit.evidence_orders import Orders, around, orders, writing
from chaoskit.model import Evidence, Finding, Verdict, worst

SHOWN = 20
"""So many orders are named as evidence."""
KEPT = "all acknowledged writes kept"


class Durable(Check):
    """No acknowledged write is lost, none is there twice, and reads never go back."""

    kind: ClassVar[str] = "durable"

    of: str = Field(description="the step")
    no_writes_for: Seconds | None = Field(None, description="the longest stretch without an acknowledged write")

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        away = (
            f", without any for at most {units.exact(self.no_writes_for, 's')}"
            if self.no_writes_for is not None
            else ""
        )
        return f"{KEPT} over “{self.of}”{away}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        told = orders(record)
        if told is None:
            return inconclusive(self, "nobody kept a ledger: the load needs `locustfile: writer`", step=self.of)
        began, ended = step.began, step.ended if step.ended is not None else record.ended
        shown = (Evidence("orders", _as_data(told)),)
        parts = [replace(f, step=self.of, evidence=shown) for f in self._parts(record, told, began, ended)]
        verdict = worst([part.verdict for part in parts])
        decisive = next(part for part in parts if part.verdict is verdict)
        if verdict is Verdict.PASSED:
            return replace(decisive, reason="; ".join(part.reason for part in parts))
        return decisive

    def _parts(self, record: Record, told: Orders, began: float, ended: float) -> Iterator[Finding]:
        yield self._kept(told)
        yield self._order_of_reads(told)
        before, within = around(told.acknowledged, began, ended)
        if not before or not within:
            when = "before the step" if not before else "in the step's window"
            yield inconclusive(self, f"no write was acknowledged {when}, so there was nothing to lose or no way back")
        if self.no_writes_for is not None:
            yield self._stretch(record, began, ended, self.no_writes_for)

    def _kept(self, told: Orders) -> Finding:
        """Loss needs no complete data where somebody looked an order up and it was gone; a pass does."""
        if told.lost or told.gone:
            number = max(len(told.lost), len({m.id for m in told.gone}))
            return self._failed(f"{units.count(number, 'acknowledged write')} lost", _first_loss(told), number)
        if told.doubled:
            number = len(told.doubled)
            return self._failed(
                f"{units.count(number, 'write')} there twice", f"the first is {told.doubled[0]}", number
            )
        if told.kept is None:
            return inconclusive(self, f"all orders could not be read at the end: {told.why_unread}")
        promised = len(told.acknowledged)
        reason = f"all of {units.count(promised, 'acknowledged write')} are there, each once"
        return at_most(self, 0.0, 0.0, "writes", reason=reason)

    def _failed(self, what: str, first: str, number: int) -> Finding:
        return replace(at_most(self, float(number), 0.0, "writes"), reason=f"{what}; {first}")

    def _order_of_reads(self, told: Orders) -> Finding:
        if back := told.went_back:
            earlier, later = back[0]
            reason = (
                f"reads went back: {earlier.number} orders at {earlier.end:.2f} s, {later.number} at {later.at:.2f} s"
            )
            return replace(at_most(self, float(earlier.number - later.number), 0.0, "writes"), reason=reason)
        if not told.counts:
            return inconclusive(self, "nobody read how many orders there are")
        return at_most(self, 0.0, 0.0, "writes", reason=f"{units.count(len(told.counts), 'read')} never went back")

    def _stretch(self, record: Record, began: float, ended: float, limit: float) -> Finding:
        seen = writing(record, began, ended)
        longest = seen.longest
        if not seen.due:
            return inconclusive(self, "no write was sent in the step's window")
        if longest is None:
            silent = units.show(seen.silence_s, "s")
            return at_most(
                self, seen.silence_s, limit, "s", reason=f"every write was acknowledged, one within {silent}"
            )
        if longest.open_end:
            return inconclusive(self, "writes had not come back when the recording ended: watch longer")
        reason = f"{units.show(longest.seconds, 's', longest.uncertainty)} without a write"
        return at_most(self, longest.seconds, limit, "s", uncertainty=longest.uncertainty, reason=reason)


def _first_loss(told: Orders) -> str:
    if told.lost:
        first = min(told.lost, key=lambda m: m.end)
        return f"the first is {first.id}, acknowledged at {first.end:.2f} s"
    gone = min(told.gone, key=lambda m: m.at)
    return f"the first is {gone.id}, gone at {gone.at:.2f} s"


def _as_data(told: Orders) -> dict[str, object]:
    return {
        "acknowledged": len(told.acknowledged),
        "never acknowledged": len(told.open),
        "there at the end": None if told.kept is None else len(told.kept),
        "lost orders": [{"id": m.id, "acknowledged_s": m.end} for m in told.lost[:SHOWN]],
        "doubled": list(told.doubled[:SHOWN]),
        "gone when looked up": [{"id": m.id, "at": m.at} for m in told.gone[:SHOWN]],
        "reads that went back": [
            {"at": a.end, "orders": a.number, "later_s": b.at, "orders then": b.number}
            for a, b in told.went_back[:SHOWN]
        ],
    }
