"""The nouns of chaoskit, as frozen data. They know no library, no file and no clock.

Times are seconds since the run's origin on the monotonic clock, unless a name says otherwise (`*_unix`).
Objects of Kubernetes are raw JSON (`Raw`) where they are passed on, and one of these types once more is known of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Raw: TypeAlias = Mapping[str, Any]
"""An object of Kubernetes as the API server sent it. Never changed in place."""

MANAGED_BY = "app.kubernetes.io/managed-by"
RUN_LABEL = "chaoskit.io/run"
OPT_IN_LABEL = "chaoskit.io/allowed"
IN_CLUSTER = "in-cluster"
"""The name of the context that a pod has without a kubeconfig: its service account."""
OWN_LABEL = "chaoskit.io/own"
"""On pods that chaoskit itself runs in: they are never hit, nor the nodes that carry them."""
PROTECT_ANNOTATION = "chaoskit.io/protect"
UNDO_ANNOTATION = "undo.chaoskit.io/"
"""Prefix of the annotation that carries a run's intents on the object that they concern; the run's id follows."""


class Verdict(enum.Enum):
    """What a finding or a run came to. They are ordered; the worst of several wins."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        return (Verdict.PASSED, Verdict.INCONCLUSIVE, Verdict.FAILED).index(self)

    @property
    def mark(self) -> str:
        return {"passed": "✓", "inconclusive": "?", "failed": "✗"}[self.value]


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of `verdicts`; nothing judged is inconclusive."""
    return max(verdicts, key=lambda v: v.rank, default=Verdict.INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Ref:
    """An object by kind and name, as in `deployment/front`. The kind is singular and in lower case."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Target:
    """One object that an action hits, with the state that it had before (`prior`, the action's own words)."""

    kind: str
    name: str
    namespace: str
    """Empty for objects without a namespace."""
    uid: str
    node: str = ""
    prior: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Right:
    """One permission, as RBAC writes it. `namespace` is empty for the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        group = f".{self.group}" if self.group else ""
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {resource}{group}{where}"


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """Something seen of an object: it is there or changed (`SEEN`), went away (`GONE`), or the watch broke (`GAP`).

    `at` is the moment of arrival. After a gap the whole state is listed again, so what is true now is known,
    but not when it became true: the evidence treats times within a gap as unknown.
    """

    at: float
    change: str
    kind: str
    object: Raw
    first: bool = False
    """Part of a first or repeated listing, not news: it says what is so, not that it became so just now."""


SEEN, GONE, GAP = "seen", "gone", "gap"


@dataclass(frozen=True, slots=True)
class Series:
    """One time series of a Prometheus answer: labels, and (time in Unix seconds, value) in order of time."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus answered. Warnings mean that the answer may be partial, and are never dropped."""

    query: str
    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()
    error: str = ""
    """Why there is no answer at all; then `series` is empty."""


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """The cluster as a report names it. `timings` are the platform's own, in seconds, by the name of their setting."""

    provider: str
    """`embedded` or `existing`."""
    context: str
    server: str
    version: str
    profile: str = ""
    nodes: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reached:
    """One request of a few, asked on purpose by one way: what came back."""

    status: int
    """The HTTP status; 0 where no answer came."""
    who: str
    """Who answered, by the header `x-served-by`, or empty."""
    seconds: float
    error: str = ""
    """`refused`, `timeout`, `unreachable`, `reset`, `dns` or `other`, where no answer came."""


@dataclass(frozen=True, slots=True)
class LoadStatus:
    """What a part of the load said last: `who` is `pulse` or `locust`. Counts are since its start."""

    at: float
    who: str
    users: int = 0
    sent: int = 0
    ok: int = 0
    failed: int = 0
    not_sent: int = 0
    cpu: float = 0.0
    """Share of one core that the process used since its last status."""
    late_p99_s: float = 0.0
    done: bool = False
    error: str = ""
    clock_s: float = 0.0
    """How well its clock is known by the run's own; zero on the same machine."""


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a recovery chain: what happened, and when (None: not seen)."""

    name: str
    at: float | None
    object: str = ""


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch in which no request was good, bracketed by requests. All four are times in seconds at which they were
    sent: what a request found is true of then, also where it was sent later than it should have been.

    The true outage began between `last_good` and `first_bad`, and ended between `last_bad` and `first_good`.
    """

    last_good: float
    first_bad: float
    last_bad: float
    first_good: float
    lost: int
    """Requests in it that failed."""
    open_end: bool = False
    """No good request came after it: `first_good` is the end of what was recorded."""

    def by_another_clock(self, doubt_s: float) -> Outage:
        """As a clock sees it that may be off by so much: the bracket is wider, its middle where it was."""
        half = doubt_s / 2
        wide = replace(self, last_good=self.last_good - half, first_good=self.first_good + half)
        return replace(wide, first_bad=self.first_bad + half, last_bad=self.last_bad - half)

    @property
    def shortest(self) -> float:
        return self.last_bad - self.first_bad

    @property
    def longest(self) -> float:
        return self.first_good - self.last_good

    @property
    def seconds(self) -> float:
        """The middle between what is certain and what is possible."""
        return (self.shortest + self.longest) / 2

    @property
    def uncertainty(self) -> float:
        return (self.longest - self.shortest) / 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence beneath a finding, ready to be shown: a title and lines or rows of text and numbers."""

    title: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. `value`, `uncertainty` and `limit` are in `unit`; None where there is no number."""

    name: str
    kind: str
    verdict: Verdict
    reason: str
    value: float | None = None
    unit: str = ""
    uncertainty: float | None = None
    limit: str = ""
    """As written in the experiment: `at most 1 s`."""
    margin: float | None = None
    """How far the value was from the limit, in `unit`; negative beyond it."""
    step: str = ""
    evidence: tuple[Evidence, ...] = ()
    asked: bool = True
    """False for what chaoskit checks by itself (load, landing, data): it can make a run inconclusive, not pass it."""
