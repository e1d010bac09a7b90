"""Did a rollout keep to what its strategy allows, and did it end as it should?

Judged from the moment the template changed until the rollout ended, or until the same Deployment was changed again,
whatever other steps did meanwhile: a fault during the rollout is a step of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from chaoskit import evidence, evidence_rollouts, units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why
from chaoskit.contracts import Check, Count, Record, Seconds
from chaoskit.evidence_rollouts import Moment
from chaoskit.evidence_rollouts import Rollout as Story
from chaoskit.model import Evidence, Finding, Verdict

VERSION = 1
"""The part of `pod|version|colour` that tells a release."""


class Rollout(Check):
    """A rollout keeps enough pods ready, makes no more than it may, and finishes in time, or is stopped."""

    kind: ClassVar[str] = "rollout"

    of: str = Field(description="the step, a roll_out or roll_back")
    within: Seconds = Field(description="finished by then; or, if it is to be stopped, not finished by then")
    ends: Literal["finished", "stopped"] = Field(
        "finished", description="how it ends; a bad version should be stopped by Kubernetes, with the old one serving"
    )
    keep_ready: Count | None = Field(
        None, ge=0, description="never fewer ready pods than this, also where the strategy would allow it"
    )

    def steps(self) -> Sequence[str]:
        return (self.of,)

    def title(self) -> str:
        end = f"finished within {units.exact(self.within, 's')}" if self.ends == "finished" else "stopped"
        kept = "" if self.keep_ready is None else f", never fewer than {units.count(self.keep_ready, 'ready pod')}"
        return f"rollout of “{self.of}” {end}{kept}"

    def judge(self, record: Record) -> Finding:
        step, why = landed_or_why(record, self.of)
        if step is None:
            return inconclusive(self, why, step=self.of)
        story = evidence_rollouts.rollout(record, step)
        if story is None:
            return inconclusive(self, "the step changed no Deployment that was seen", step=self.of)
        shown = _shown(record, story)
        if why := self._unsure(record, story):
            return inconclusive(self, why, step=self.of, evidence=shown)
        finding = self._short(story) or self._surplus(story) or self._end(story)
        return replace(finding, step=self.of, evidence=shown)

    def _floor(self, moment: Moment) -> int:
        return moment.least if self.keep_ready is None else max(moment.least, self.keep_ready - moment.hit)

    def _unsure(self, record: Record, story: Story) -> str:
        if evidence.gaps(record, story.began, story.until, ("pod", "replicaset", "deployment")):
            return "the watch was broken during the rollout: how many pods were ready is not known"
        first = story.moments[0]
        if first.ready < self._floor(first):
            return (
                f"{first.ready} of {self._floor(first)} pods were ready when it began: that is not the rollout's doing"
            )
        return ""

    def _short(self, story: Story) -> Finding | None:
        worst, seconds = story.below(self._floor)
        if worst is None:
            return None
        floor = self._floor(worst)
        by = f"the strategy allows ({story.strategy})" if floor == worst.least else "asked for"
        excused = f", not counting {worst.hit} that another step took" if worst.hit else ""
        reason = (
            f"fewer ready pods than {by}: {worst.ready} of at least {floor}{excused}, "
            f"for {units.show(seconds, 's', evidence.WATCH_LAG_S)} in all"
        )
        return self._failed(reason, worst.ready, f"at least {floor} ready pods", worst.ready - floor)

    def _surplus(self, story: Story) -> Finding | None:
        worst = story.above
        if worst is None:
            return None
        reason = f"more pods than the strategy allows ({story.strategy}): {worst.sized} of at most {worst.most}"
        return self._failed(reason, worst.sized, f"at most {worst.most} pods", worst.most - worst.sized)

    def _failed(self, reason: str, value: int, limit: str, margin: int) -> Finding:
        return Finding(
            self.title(), self.kind, Verdict.FAILED, reason, value=value, unit="pods", limit=limit, margin=margin
        )

    def _end(self, story: Story) -> Finding:
        watched = story.until - story.began
        if story.ended is None and watched < self.within:
            reason = f"not finished in the {units.show(watched, 's')} that were watched: watch longer"
            return inconclusive(self, reason)
        return self._finished(story) if self.ends == "finished" else self._stopped(story)

    def _finished(self, story: Story) -> Finding:
        if story.ended is None:
            reason = f"not finished after {units.show(story.until - story.began, 's')}: {_progress(story)}"
            limit = f"within {units.exact(self.within, 's')}"
            return Finding(self.title(), self.kind, Verdict.FAILED, reason, limit=limit)
        reason = f"never fewer than {min(m.ready for m in story.moments)} ready pods ({story.strategy})"
        took = story.ended - story.began
        return at_most(self, took, self.within, "s", uncertainty=story.uncertainty, reason=reason)

    def _stopped(self, story: Story) -> Finding:
        if story.ended is not None:
            took = units.show(story.ended - story.began, "s", story.uncertainty)
            reason = f"nothing stopped the bad version: it was rolled out to all {story.wanted} pods within {took}"
            return Finding(self.title(), self.kind, Verdict.FAILED, reason)
        fewest = min(m.ready for m in story.moments)
        reason = f"{_progress(story)}; never fewer than {fewest} ready pods ({story.strategy}); {_said(story)}"
        return Finding(self.title(), self.kind, Verdict.PASSED, reason, value=story.updated, unit="new pods ready")


def _progress(story: Story) -> str:
    return f"{story.updated} of {units.count(story.wanted, 'pod')} of the new version are ready"


def _said(story: Story) -> str:
    if story.given_up is not None:
        return f"Kubernetes called it stuck after {units.show(story.given_up - story.began, 's')}"
    patience = "its deadline" if story.deadline_s is None else units.exact(story.deadline_s, "s")
    return f"Kubernetes will call it stuck after {patience}"


def _shown(record: Record, story: Story) -> tuple[Evidence, ...]:
    rows = [
        {"at": m.at, "ready": m.ready, "new_ready": m.new, "replicas": m.sized, "least": m.least, "most": m.most}
        for m in story.moments
    ]
    replicas = Evidence("replicas during the rollout", {"strategy": story.strategy, "moments": rows})
    seconds = evidence_rollouts.versions((record.pulse, record.locust), story.began, story.until, VERSION)
    answers = [{"at": at} | {f"version {v}": n for v, n in counts.items()} for at, counts in seconds if counts]
    shares = Evidence("good answers by version, second by second", {"seconds": answers})
    return (replicas, shares) if answers else (replicas,)
