"""What a watch tells of Services: their addresses and their ready endpoints over time; and who answered meanwhile.

Pure, as `evidence` is: it reads a Record and nothing else.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaoskit.contracts import Record, Sight
from chaoskit.model import GAP, GONE, WatchEvent
from chaoskit.objects import labels, name, namespace, terminating, uid
from chaoskit.samples import Outcome, Sample, Stream

SERVICE_LABEL = "kubernetes.io/service-name"
SETTLE_S = 1.0
"""So long after a change of its endpoints a Service may still send connections as before it: kube-proxy writes its
rules at most once a second (`minSyncPeriod`, 1 s; pkg/proxy/apis/config/v1alpha1/defaults.go)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which a Service had the same ready pods, by name."""

    began: float
    ended: float
    pods: frozenset[str]


def stretches(record: Record, service: str, began: float, ended: float) -> tuple[Stretch, ...]:
    """The stretches of a window, in order. A break of the watch ends one: what was so within it is not known."""
    found, since, pods = list[Stretch](), began, frozenset[str]()
    known, broken = dict[str, frozenset[str]](), False
    for event in record.events:
        if event.kind != "endpointslice" or event.at >= ended:
            continue
        if not _take(known, event, service, record.namespace):
            continue
        now = frozenset[str]().union(*known.values())
        if now == pods and not broken and event.change != GAP:
            continue
        if event.at > since and not broken:
            found.append(Stretch(since, event.at, pods))
        since, pods, broken = max(since, event.at), now, event.change == GAP
    if not broken and ended > since:
        found.append(Stretch(since, ended, pods))
    return tuple(found)


def _take(known: dict[str, frozenset[str]], event: WatchEvent, service: str, within: str) -> bool:
    """Whether the event says something of the Service's endpoints."""
    if event.change == GAP:
        return True
    piece = event.object
    if labels(piece).get(SERVICE_LABEL) != service or namespace(piece) != within:
        return False
    known[uid(piece)] = frozenset() if event.change == GONE else _ready_names(event)
    return True


def _ready_names(event: WatchEvent) -> frozenset[str]:
    endpoints = event.object.get("endpoints") or ()
    ready = (e for e in endpoints if (e.get("conditions") or {}).get("ready") is not False)
    return frozenset(str((e.get("targetRef") or {}).get("name", "")) for e in ready)


def steady(record: Record, service: str, began: float, ended: float) -> Stretch | None:
    """The longest time in a window in which a Service had the same ready pods, and its rules knew them."""
    settled = [Stretch(s.began + SETTLE_S, s.ended, s.pods) for s in stretches(record, service, began, ended)]
    return max((s for s in settled if s.pods and s.ended > s.began), key=lambda s: s.ended - s.began, default=None)


def answers(samples: Sequence[Sample], stream: Stream, stretch: Stretch) -> Counter[str]:
    """Good answers by pod of the requests that were sent in a stretch; zero for a pod that gave none."""
    found = Counter(dict.fromkeys(stretch.pods, 0))
    for sample in samples:
        if sample.stream is stream and sample.ok and stretch.began <= sample.sent < stretch.ended:
            found[sample.answerer.split("|", 1)[0]] += 1
    return found


def switches(samples: Sequence[Sample], stream: Stream, stretch: Stretch) -> tuple[int, int]:
    """(how often a connection that was used again led to another pod than before, how often one was used again).

    The pulse takes the free connection that it used last, and opens another one where all are busy: while answers are
    slow, answers of several pods alternate, though every connection stays where it is. So its pool is followed, from
    when each request was sent and answered; one that no pod answered has ended its connection.
    """
    mine = [s for s in samples if s.stream is stream and s.outcome is not Outcome.NOT_SENT]
    taken, given = (((s.sent, False, s) for s in mine), ((s.end, True, s) for s in mine if s.answerer))
    free, moved, used = list[str](), 0, 0
    for _, is_given, sample in sorted(itertools.chain(taken, given), key=lambda moment: moment[:2]):
        pod = sample.answerer.split("|", 1)[0]
        if is_given:
            free.append(pod)
        elif free:
            before = free.pop()
            if sample.ok and stretch.began <= sample.sent < stretch.ended:
                moved, used = moved + (pod != before), used + 1
    return moved, used


# ── chance ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def chi_square(counts: Sequence[int]) -> float:
    """Pearson's statistic against equal shares (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.15)."""
    expected = sum(counts) / len(counts)
    return sum((seen - expected) ** 2 for seen in counts) / expected


def by_chance(statistic: float, freedom: int) -> float:
    """The probability that chance alone gives a chi-square statistic of at least this size: Q(freedom/2, statistic/2),
    by its recurrence (NIST Digital Library of Mathematical Functions, 8.8.6 from 8.4.6 and 8.4.8)."""
    x = statistic / 2
    a, found = (0.5, math.erfc(math.sqrt(x))) if freedom % 2 else (1.0, math.exp(-x))
    while a < freedom / 2 - 0.25:
        found += math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0
        a += 1
    return min(1.0, found)


def missed_by_chance(pods: int, of: int, requests: int) -> float:
    """At most this probable: that one of `pods`, out of `of`, got none of so many connections, each sent to any of them
    with the same probability (Boole's inequality)."""
    return min(1.0, pods * (1 - 1 / of) ** requests) if of else 1.0


# ── looks at names ───────────────────────────────────────────────────────────────────────────────────────────────────


def addresses(record: Record, service: str) -> tuple[tuple[float, str], ...]:
    """(since when, cluster address) of a Service; an empty address while there is none of that name."""
    found = list[tuple[float, str]]()
    for event in record.events:
        if event.kind != "service" or event.change == GAP or namespace(event.object) != record.namespace:
            continue
        if name(event.object) != service:
            continue
        now = "" if event.change == GONE else str(event.object["spec"].get("clusterIP", ""))
        if not found or found[-1][1] != now:
            found.append((event.at, now))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Seen:
    """When a pod was first seen to find the right address for good; times in the run's seconds."""

    pod: str
    right_after: float
    """Not yet right in the look that ended then; the change itself where the first look was right."""
    right_by: float | None
    """The first of the looks that all were right; None: the last one was wrong."""
    last: float
    looks: int
    found: str
    """What the last wrong look gave, or the last look."""


def seen_since(looks: Sequence[Sight], by: str, right: str, changed: float) -> tuple[Seen, ...]:
    """For each pod that looked since a change, when it saw it. `by`: dns, environment, or used (what the app uses)."""
    found = []
    for pod in sorted({str(look.data["pod"]) for look in looks}):
        mine = [look for look in looks if look.data["pod"] == pod and look.data["ended"] >= changed]
        if mine:
            found.append(_seen(pod, mine, by, right, changed))
    return tuple(found)


def _seen(pod: str, looks: Sequence[Sight], by: str, right: str, changed: float) -> Seen:
    wrong = [i for i, look in enumerate(looks) if value(look.data, by) != right]
    last_wrong = looks[wrong[-1]] if wrong else None
    after = float(last_wrong.data["began"]) if last_wrong else changed
    rest = looks[wrong[-1] + 1 :] if wrong else looks
    shown = value((last_wrong or looks[-1]).data, by)
    right_by = float(rest[0].data["ended"]) if rest else None
    return Seen(pod, max(changed, after), right_by, float(looks[-1].data["ended"]), len(looks), shown)


def value(look: Mapping[str, object], by: str) -> str:
    """The address that a look gave, or why it gave none."""
    way = str(look["used"]) if by == "used" else by
    if way == "environment":
        return str(look["environment"]) or "nothing"
    found = look["dns"]
    listed = [str(address) for address in found] if isinstance(found, list | tuple) else []
    return ", ".join(listed) or str(look["error"]) or "nothing"


def living(record: Record, at: float) -> Iterator[str]:
    """UIDs of the pods that were there at a moment, and not on their way out."""
    there: dict[str, bool] = {}
    for event in record.events:
        if event.kind == "pod" and event.change != GAP and event.at <= at:
            there[uid(event.object)] = event.change != GONE and not terminating(event.object)
    return (pod for pod, alive in there.items() if alive)
