"""What writers were promised and what the shop kept: lost and doubled orders, reads that went back, no writes at all.

Pure, as all evidence: it reads the ledger that the load's writers kept in the run's folder.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoskit import evidence
from chaoskit.contracts import Record
from chaoskit.samples import Stream

WRITES = "POST /orders"
"""The name of the writers' requests in the recording."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something learned between two moments: an order's id, or a number of orders."""

    at: float
    end: float
    id: str = ""
    number: int = 0


@dataclass(frozen=True)
class Orders:
    """All that a run's ledger tells."""

    acknowledged: tuple[Moment, ...]
    open: frozenset[str]
    """Sent and never acknowledged: they may have been kept or not."""
    gone: tuple[Moment, ...]
    """Looked up after they were acknowledged, and not found."""
    counts: tuple[Moment, ...]
    kept: tuple[str, ...] | None
    """The ids of all orders at the end, as often as the shop named them; None: they could not be read."""
    why_unread: str = ""

    @property
    def lost(self) -> tuple[Moment, ...]:
        """Acknowledged, and not there at the end. Of several promises of one order the first counts."""
        there = set(self.kept or ())
        return tuple(m for m in self.acknowledged if m.id not in there) if self.kept is not None else ()

    @property
    def doubled(self) -> tuple[str, ...]:
        return tuple(order for order, times in Counter(self.kept or ()).items() if times > 1)

    @property
    def went_back(self) -> tuple[tuple[Moment, Moment], ...]:
        """(earlier, later) counts, where one that began after the other had ended was smaller."""
        ended = sorted(self.counts, key=lambda m: m.end)
        ends, highest = [m.end for m in ended], list[Moment]()
        for moment in ended:
            highest.append(max([moment, *highest[-1:]], key=lambda m: m.number))
        found = []
        for later in sorted(self.counts, key=lambda m: m.at):
            before = bisect.bisect_left(ends, later.at)
            if before and highest[before - 1].number > later.number:
                found.append((highest[before - 1], later))
        return tuple(found)


def orders(record: Record) -> Orders | None:
    """None where no writer kept a ledger."""
    if not record.ledger:
        return None
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for line in record.ledger:
        by_kind.setdefault(str(line["what"]), []).append(line)
    wrote = by_kind.get("wrote", [])
    first: dict[str, Moment] = {}
    for line in wrote:
        if line["acknowledged"]:
            first.setdefault(str(line["id"]), _moment(line))
    last = by_kind.get("read all", [{"error": "the load ended before all orders had been read"}])[-1]
    return Orders(
        acknowledged=tuple(first.values()),
        open=frozenset(str(line["id"]) for line in wrote) - first.keys(),
        gone=tuple(_moment(line) for line in by_kind.get("looked up", []) if not line["found"]),
        counts=tuple(_moment(line) for line in by_kind.get("counted", []) if isinstance(line["count"], int)),
        kept=tuple(map(str, last["ids"])) if "ids" in last else None,
        why_unread=str(last.get("error", "")),
    )


def _moment(line: Mapping[str, Any]) -> Moment:
    return Moment(float(line["at"]), float(line["end"]), str(line.get("id", "")), int(line.get("count") or 0))


def writing(record: Record, began: float, ended: float) -> evidence.Coverage:
    """When writes were acknowledged and when they were not, by the recorded requests of the writers."""
    writes = [s for s in record.locust if s.name == WRITES]
    within = [s for s in writes if began <= s.intended < ended]
    pace = (ended - began) / len(within) if within else ended - began
    return evidence.outages(writes, Stream.LOCUST, began, ended, pace)


def around(moments: Sequence[Moment], began: float, ended: float) -> tuple[int, int]:
    """How many before a window, and how many within it."""
    return sum(m.end < began for m in moments), sum(began <= m.end < ended for m in moments)
