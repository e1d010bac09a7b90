"""What each link of a recovery should take, to be set beside what it took: by the platform's own timings, by what the
pod asks for, and by what earlier pods of the same owner took in the same run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaoskit import evidence_nodes, units
from chaoskit.contracts import Record, StepRecord
from chaoskit.evidence import Chain
from chaoskit.evidence_nodes import Prediction
from chaoskit.model import GONE, SEEN, Raw
from chaoskit.objects import controller, name, namespace, ready, scheduled, started, uid


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds after what the link waits for, as text; as numbers where there are some."""

    text: str
    why: str
    least: float = 0.0
    most: float = 0.0


AT_ONCE = Expected("at once", "a controller acts as soon as its watch tells it")
ONCE_GONE = Expected("once it is gone", "a StatefulSet’s pod comes again under the same name")
NEVER = Expected("never", "the pod tolerates a dead node without end")
AFTER = {"replacement scheduled": scheduled, "replacement started": started, "replacement ready": ready}
"""Links that are a state of the replacement, in order, and how it is told."""


def expected(record: Record, step: StepRecord, chain: Chain) -> dict[str, Expected]:
    """By the name of the link; a link that nothing is known of is left out."""
    found = {"replacement in endpoints": AT_ONCE, **earlier(record, chain.replacement, chain.accepted)}
    found["replacement scheduled"] = AT_ONCE
    predicted = evidence_nodes.predictions(record, step).get(chain.victim)
    if predicted:
        return found | dict(_off_a_lost_node(predicted))
    victim = _seen(record, chain.victim)
    if victim:
        of_a_set = controller(victim[0])[0] == "statefulset"
        found |= {"endpoint removed": AT_ONCE, "pod gone": _grace(victim)}
        found["replacement created"] = ONCE_GONE if of_a_set else AT_ONCE
    return found


def _off_a_lost_node(predicted: Prediction) -> Mapping[str, Expected]:
    noticed = "the node’s silence is noticed"
    low, high = (at + predicted.tolerated for at in predicted.noticed)
    return {
        "endpoint removed": _span(*predicted.noticed, noticed),
        "replacement created": NEVER
        if math.isinf(low)
        else _span(low, high, f"{noticed}, and the pod stays for another {units.exact(predicted.tolerated, 's')}"),
    }


def _grace(victim: Sequence[Raw]) -> Expected:
    """The longest of its life: the kubelet ends it by a last deletion without any."""
    seconds = max(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0) for pod in victim)
    if not seconds:
        return Expected("at once", "it was deleted without a grace period")
    return Expected(f"at most {units.exact(seconds, 's')}", "the pod’s termination grace period", 0.0, seconds)


def _seen(record: Record, pod: str) -> list[Raw]:
    """The pod as it was seen, again and again."""
    return [
        event.object
        for event in record.events
        if event.kind == "pod" and event.change in (SEEN, GONE) and name(event.object) == pod
    ]


def earlier(record: Record, pod: str, until: float) -> dict[str, Expected]:
    """What the pod's sisters took from each state to the next, as far as the watch saw it, before a moment."""
    owner = next((controller(seen)[1] for seen in _seen(record, pod)), "")
    took: dict[str, list[float]] = {}
    for moments in _moments(record, owner, until).values():
        times = [moments.get(link) for link in ("seen", *AFTER)]
        for link, before, at in zip(AFTER, times, times[1:], strict=False):
            if before is not None and at is not None:
                took.setdefault(link, []).append(at - before)
    return {
        link: _span(min(times), max(times), f"{units.count(len(times), 'earlier pod')} of the same owner took so long")
        for link, times in took.items()
    }


def _moments(record: Record, owner: str, until: float) -> dict[str, dict[str, float]]:
    """When each pod of the owner was seen first and came into each state, by its UID."""
    found: dict[str, dict[str, float]] = {}
    for event in record.events:
        if event.kind != "pod" or event.at > until or event.change not in (SEEN, GONE) or not owner:
            continue
        pod = event.object
        if namespace(pod) != record.namespace or controller(pod)[1] != owner:
            continue
        moments = found.setdefault(uid(pod), {} if event.first else {"seen": event.at})
        for link, true in AFTER.items():
            if link not in moments and true(pod) and not event.first:
                moments[link] = event.at
    return found


def _span(low: float, high: float, why: str) -> Expected:
    """Watch events tell no more than a tenth of a second."""
    a, b = f"{low:.1f}", f"{high:.1f}"
    return Expected(f"{a} s" if a == b else f"{a}–{b} s", why, low, high)
