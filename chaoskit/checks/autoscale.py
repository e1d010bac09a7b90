"""Did the autoscaler do its work: in time, not too much, to rest, back again, and as its own formula says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field, model_validator

from chaoskit import evidence, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds
from chaoskit.evidence_scaling import HPA, Look, Pod, Scaling, scaling
from chaoskit.model import Evidence, Finding, Verdict, worst

LIMITS = (
    "up_within",
    "serve_within",
    "down_within",
    "settle_within",
    "at_least",
    "at_most",
    "overshoot",
    "reversals",
    "formula",
)
BY_FORMULA = "by its formula"
SHOWN = 60
"""So many of the autoscaler's looks are shown as evidence."""


class Autoscale(Check):
    """A HorizontalPodAutoscaler decides in time and rightly, and what it asks for comes to serve."""

    kind: ClassVar[str] = "autoscale"

    hpa: str = Field(min_length=1, description="the HorizontalPodAutoscaler's name")
    of: str = Field("", description="the step; from the first step to the end where nothing is said")
    up_within: Seconds | None = Field(None, description="it asks for more replicas")
    serve_within: Seconds | None = Field(None, description="the first of the new replicas is among the endpoints")
    down_within: Seconds | None = Field(None, description="it asks for fewer replicas")
    settle_within: Seconds | None = Field(
        None, description="what it asks for changes no more, all of it serves, and it needs no more than its maximum"
    )
    at_least: Count | None = Field(None, ge=1, description="replicas that it asks for at the end")
    at_most: Count | None = Field(None, ge=1, description="replicas that it ever asks for")
    overshoot: Count | None = Field(None, ge=0, description="replicas more at its peak than at the end")
    reversals: Count | None = Field(None, ge=0, description="times that it turns from more to fewer, or back")
    formula: bool = Field(False, description="whether each decision must follow from the metrics that it read")

    @model_validator(mode="after")
    def _something(self) -> Autoscale:
        if not any(self._given(key) for key in LIMITS):
            raise ValueError(f"say what is expected: {', '.join(LIMITS)}")
        return self

    def _given(self, key: str) -> bool:
        value = getattr(self, key)
        return value is not None and value is not False

    def steps(self) -> Sequence[str]:
        return (self.of,) if self.of else ()

    def title(self) -> str:
        shown = {
            key: units.exact(getattr(self, key), "s") if key.endswith("within") else getattr(self, key)
            for key in LIMITS
            if self._given(key)
        }
        said = ", ".join(
            BY_FORMULA if value is True else f"{key.replace('_', ' ')} {value}" for key, value in shown.items()
        )
        return f"hpa/{self.hpa}{f' after “{self.of}”' if self.of else ''}: {said}"

    def judge(self, record: Record) -> Finding:
        window, why = self._window(record)
        if window is None:
            return inconclusive(self, why, step=self.of)
        told = scaling(record, self.hpa)
        if told is None:
            return inconclusive(self, f"no hpa/{self.hpa} was seen in namespace {record.namespace}", step=self.of)
        seen = _Window(told, *window)
        shown = (Evidence(f"hpa/{self.hpa}", seen.as_data()),)
        if evidence.gaps(record, seen.began, seen.ended, (HPA, "pod", "endpointslice")):
            reason = "the watch was broken meanwhile: when the autoscaler decided is not known"
            return inconclusive(self, reason, step=self.of, evidence=shown)
        return self._whole([replace(found, step=self.of, evidence=shown) for found in self._parts(seen)], seen)

    def _window(self, record: Record) -> tuple[tuple[float, float] | None, str]:
        if not self.of:
            if not record.steps:
                return None, "no step was reached"
            return (record.steps[0].began, record.phases.get("watched", (0.0, record.ended))[1]), ""
        step, why = landed_or_why(record, self.of)
        if step is None:
            return None, why
        accepted = min((act.accepted for act in step.acts if act.accepted is not None), default=step.began)
        return (accepted, step.ended if step.ended is not None else record.ended), ""

    def _whole(self, parts: Sequence[Finding], seen: _Window) -> Finding:
        """The worst part tells the number; where all held, the first one does, and the reason tells of all."""
        verdict = worst([found.verdict for found in parts])
        decisive = next(found for found in parts if found.verdict is verdict)
        if verdict is Verdict.PASSED:
            return replace(decisive, reason=f"{seen.story}; {'; '.join(f.reason for f in parts if f.reason)}")
        return decisive

    def _parts(self, seen: _Window) -> Iterator[Finding]:
        yield from self._times(seen)
        yield from self._numbers(seen)
        if self.formula:
            yield self._by_formula(seen)

    # ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _times(self, seen: _Window) -> Iterator[Finding]:
        first_up, first_down = seen.first(up=True), seen.first(up=False)
        if self.up_within is not None:
            yield self._moment(seen, "asked for more replicas", first_up, self.up_within, seen.why_not(up=True))
        if self.serve_within is not None:
            newcomer = min((p.served for p in seen.newcomers if p.served is not None), default=None)
            why = "no new replica came among the endpoints" if first_up else seen.why_not(up=True)
            yield self._moment(seen, "had a new replica serve", newcomer, self.serve_within, why)
        if self.down_within is not None:
            yield self._moment(seen, "asked for fewer replicas", first_down, self.down_within, seen.why_not(up=False))
        if self.settle_within is not None:
            yield self._moment(seen, "was at rest", seen.settled, self.settle_within, seen.why_restless)

    def _moment(self, seen: _Window, what: str, at: float | None, limit: float, why: str) -> Finding:
        """It happened, and within the limit; or it did not, which is a failure if it was watched for long enough."""
        if at is not None:
            took = max(0.0, at - seen.began)
            reason = f"{what} after {units.show(took, 's')}"
            return at_most(self, took, limit, "s", uncertainty=evidence.WATCH_LAG_S, reason=reason)
        watched = seen.ended - seen.began
        reason = f"never {what} in the {units.show(watched, 's')} that were watched: {why}"
        if watched < limit:
            return inconclusive(self, f"{reason}; that is less than the limit: watch longer")
        return self._failed(reason, f"within {units.exact(limit, 's')}")

    def _failed(self, reason: str, limit: str) -> Finding:
        return Finding(self.title(), self.kind, Verdict.FAILED, reason, limit=limit)

    # ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _numbers(self, seen: _Window) -> Iterator[Finding]:
        if not seen.wanted:
            yield inconclusive(self, "the autoscaler's status was not seen: it may not have looked yet")
            return
        peak, last = max(seen.wanted), seen.wanted[-1]
        if self.at_most is not None:
            yield self._count(peak, self.at_most, "replicas", f"at most {units.count(peak, 'replica')} asked for")
        if self.at_least is not None:
            enough = last >= self.at_least
            reason = f"{units.count(last, 'replica')} asked for at the end"
            found = self._count(
                -last, -self.at_least, "replicas", reason if enough else f"{reason}: {seen.why_not(up=True)}"
            )
            yield replace(
                found, value=float(last), limit=f"at least {self.at_least} replicas", margin=float(last - self.at_least)
            )
        if self.overshoot is not None:
            reason = f"{peak} at its peak and {last} at the end"
            yield self._count(peak - last, self.overshoot, "replicas", reason)
        if self.reversals is not None:
            turns = seen.reversals
            reason = f"turned {units.count(len(turns), 'time')} between more and fewer"
            yield self._count(len(turns), self.reversals, "times", reason)

    def _count(self, value: int, limit: int, unit: str, reason: str) -> Finding:
        return at_most(self, float(value), float(limit), unit, reason=reason)

    # ── the formula ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _by_formula(self, seen: _Window) -> Finding:
        decisions = [look for look in seen.looks if look.decision]
        judged = [look for look in seen.looks if look.explained is not None]
        wrong = [look for look in judged if not look.explained]
        if wrong:
            return self._failed(f"{len(wrong)} of {len(judged)} looks: {_against(wrong[0])}", "as the formula says")
        if unknown := [look for look in decisions if look.explained is None]:
            return inconclusive(
                self, f"what it read when it asked for {unknown[0].wanted} replicas is not known: {unknown[0].trouble}"
            )
        if not judged:
            return inconclusive(self, f"it read no metric in the window: {seen.why_not(up=True)}")
        reason = f"{units.count(len(decisions), 'decision')} and {units.count(len(judged), 'look')} as the formula says"
        return Finding(self.title(), self.kind, Verdict.PASSED, reason, limit="as the formula says")


def _against(look: Look) -> str:
    low, high = look.allowed or (0, 0)
    expected = str(low) if low == high else f"{low} to {high}"
    return (
        f"it asked for {look.wanted} replicas where ceil(replicas × usage / target) gives {expected} "
        f"({look.found} replicas, {', '.join(map(str, look.readings))})"
    )


class _Window:
    """What an autoscaler did between two moments."""

    def __init__(self, told: Scaling, began: float, ended: float) -> None:
        self.told, self.began, self.ended = told, began, ended
        self.looks = [look for look in told.looks if began <= look.at <= ended]
        self.decisions = [look for look in self.looks if look.decision]
        before = [look for look in told.looks if look.at < began]
        self.wanted = [look.wanted for look in (*before[-1:], *self.looks)]
        self._last = [*before, *self.looks][-1] if before or self.looks else None

    def first(self, *, up: bool) -> float | None:
        """When it first decided for more, or for fewer."""
        return next((self.told.decided(d) for d in self.decisions if (d.wanted > d.found) == up), None)

    @property
    def newcomers(self) -> list[Pod]:
        """Pods and decisions come by two watches: a pod may be seen just before what it was made for."""
        first = self.first(up=True)
        if first is None:
            return []
        return [p for p in self.told.pods if first - evidence.WATCH_LAG_S <= p.created <= self.ended]

    @property
    def reversals(self) -> list[Look]:
        """The decisions that went the other way than the one before them."""
        pairs = zip(self.decisions, self.decisions[1:], strict=False)
        return [b for a, b in pairs if (a.wanted > a.found) != (b.wanted > b.found)]

    @property
    def settled(self) -> float | None:
        """Since when what serves is what it wants, until the end; None if it is not at rest then."""
        if self._last is None or self._last.trouble or self._last.short:
            return None
        wanted = self._last.wanted
        curve = [(at, n) for at, n in self.told.serving if at <= self.ended]
        if not curve or curve[-1][1] != wanted:
            return None
        since = curve[-1][0]
        return max(self.began, since, *(self.told.decided(d) for d in self.decisions))

    @property
    def why_restless(self) -> str:
        if self._last is None:
            return "its status was not seen"
        if self._last.trouble:
            return f"it cannot decide: {self._last.trouble}"
        if self._last.short:
            return f"it needs more than its maximum of {self._last.most}: {_read(self._last)}"
        return f"it wants {self._last.wanted} replicas, and {self.told.serving_at(self.ended)} serve"

    def why_not(self, *, up: bool) -> str:
        """Why it asked for no more, or no fewer."""
        last = self._last
        if last is None:
            return "its status was not seen"
        if last.trouble:
            return f"it cannot decide: {last.trouble}"
        if up and last.wanted >= last.most:
            same = f", which is its minimum too (of {last.least})" if last.least == last.most else ""
            return f"it is at its maximum of {last.most}{same}"
        if not up and last.wanted <= last.least:
            return f"it is at its minimum of {last.least}"
        looks = [look for look in self.looks if look.readings]
        if not looks:
            return "it read no metric"
        furthest = (max if up else min)(looks, key=lambda look: max(r.usage / r.target for r in look.readings))
        return f"it read at {'most' if up else 'least'} {_read(furthest)}"

    @property
    def story(self) -> str:
        """The replicas it asked for, one after the other."""
        steps = [self.wanted[0], *(d.wanted for d in self.decisions)] if self.wanted else []
        return f"{' → '.join(map(str, steps))} replicas"

    def as_data(self) -> dict[str, object]:
        curve = [{"at": at, "replicas": n} for at, n in self.told.serving if at <= self.ended]
        return {
            "from": self.began,
            "to": self.ended,
            "decisions": [look.as_data() | {"decided_s": round(self.told.decided(look), 3)} for look in self.decisions],
            "looks": [look.as_data() for look in self.looks[:SHOWN]],
            "serving": curve,
            "new replicas": [pod.as_data() for pod in self.newcomers],
        }


def _read(look: Look) -> str:
    return ", ".join(map(str, look.readings))
