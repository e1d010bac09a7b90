"""When pods that were hit left the endpoints of their Services, and when they came back: replayed from the slices.

A pod that hangs or is about to end goes on getting its share of requests until then, so this is how long users meet it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chaoskit.contracts import Act, Record, StepRecord
from chaoskit.evidence import WATCH_LAG_S, acceptance
from chaoskit.model import GAP, GONE
from chaoskit.objects import ready_endpoints, uid


@dataclass(frozen=True, slots=True)
class Exit:
    """What became of one pod among the ready endpoints. Seconds from the fault's acceptance; None: not seen."""

    pod: str
    served: bool
    """It was among them when it was hit."""
    out: float | None
    back: float | None
    uncertainty: float


def endpoint_exits(record: Record, step: StepRecord) -> tuple[Exit, ...]:
    """One for each pod that the step hit, by its first act on it."""
    acts: dict[str, Act] = {}
    for act in step.acts:
        if act.target.kind == "pod":
            acts.setdefault(act.target.uid, act)
    until = step.ended if step.ended is not None else record.ended
    return tuple(_exit(record, act, until) for act in acts.values())


def _exit(record: Record, act: Act, until: float) -> Exit:
    accepted, doubt = acceptance(act)
    changes = [(at, there) for at, there in _presence(record, act.target.uid) if at <= until]
    before = [there for at, there in changes if at < act.ordered]
    after = [(at, there) for at, there in changes if at >= act.ordered]
    out = next((at for at, there in after if not there), None)
    back = next((at for at, there in after if there and out is not None and at > out), None)
    return Exit(
        act.target.name,
        bool(before) and before[-1],
        None if out is None else max(0.0, out - accepted),
        None if back is None else back - accepted,
        max(WATCH_LAG_S, doubt),
    )


def _presence(record: Record, pod: str) -> Iterator[tuple[float, bool]]:
    """When the pod became one of the ready endpoints of any slice (True), and of none any more (False)."""
    holding: set[str] = set()
    there = False
    for event in record.events:
        if event.kind != "endpointslice" or event.change == GAP:
            continue
        if event.change != GONE and pod in ready_endpoints([event.object]):
            holding.add(uid(event.object))
        else:
            holding.discard(uid(event.object))
        if bool(holding) != there:
            there = bool(holding)
            yield event.at, there
