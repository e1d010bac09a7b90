"""How much of a stated objective's error budget did the experiment spend, and how fast?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit import units
from chaoskit.checks.judging import at_most, inconclusive, landed_or_why, unseen
from chaoskit.contracts import Check, Record, Seconds, Share
from chaoskit.model import Evidence, Finding
from chaoskit.samples import Outcome, Sample, Stream

BURN_WINDOW_S = 60
"""The fastest burn is looked for in windows of this length: the shortest that alerts on burn rates use."""


class ErrorBudget(Check):
    """The requests that failed spend at most a share of an objective's error budget."""

    kind: ClassVar[str] = "error_budget"

    slo: Share = Field(gt=0, lt=1, description="the objective: this share of requests is good, as in 99.9%")
    over: Seconds = Field(30 * 86_400.0, gt=0, description="the time that the objective is stated for")
    at_most: Share = Field(description="the share of the budget that may be spent")
    of: str = Field("", description="only during this step; from the first step to the end where nothing is said")

    def rests_on_load(self) -> bool:
        return True

    def steps(self) -> Sequence[str]:
        return (self.of,) if self.of else ()

    def title(self) -> str:
        during = f" by “{self.of}”" if self.of else ""
        share, over = units.exact(self.at_most, "%"), _written(self.over)
        return f"at most {share} of the error budget of {units.exact(self.slo, '%')} over {over} spent{during}"

    def judge(self, record: Record) -> Finding:
        window, why = self._window(record)
        if window is None:
            return inconclusive(self, why, step=self.of)
        began, ended = window
        requests = _requests(record, began, ended)
        sent = [s for s in requests if s.outcome is not Outcome.NOT_SENT]
        if not sent:
            return inconclusive(self, "no request was sent in the window", step=self.of)
        if lacking := unseen(record, not record.locust, began, ended):
            return inconclusive(self, lacking, step=self.of)
        bad = sum(not s.ok for s in sent)
        budget = (1 - self.slo) * self.over / (ended - began)
        unsent = len(requests) - len(sent)
        least, most = bad / len(requests), (bad + unsent) / len(requests)
        burn, fastest = bad / len(sent) / (1 - self.slo), _fastest(sent, began) / (1 - self.slo)
        data = {
            "requests": len(sent),
            "failed": bad,
            "not_sent": unsent,
            "window_s": ended - began,
            "burn_rate": burn,
            "fastest_burn_rate": fastest,
            "over_s": BURN_WINDOW_S,
        }
        return at_most(
            self,
            (least + most) / 2 / budget,
            self.at_most,
            "%",
            uncertainty=(most - least) / 2 / budget,
            reason=f"{bad} of {units.count(len(sent), 'request')} failed; burn rate {burn:.3g}, "
            f"at most {fastest:.3g} over {BURN_WINDOW_S} s",
            step=self.of,
            evidence=(Evidence("error budget", data),),
        )

    def _window(self, record: Record) -> tuple[tuple[float, float] | None, str]:
        if not self.of:
            if not record.steps:
                return None, "no step was reached"
            return (record.steps[0].began, record.phases.get("watched", (0.0, record.ended))[1]), ""
        step, why = landed_or_why(record, self.of)
        return ((step.began, step.ended or record.ended) if step else None), why


def _written(seconds: float) -> str:
    days = seconds / units.SECONDS["d"]
    return units.count(int(days), "day") if days.is_integer() else units.write_duration(seconds)


def _requests(record: Record, began: float, ended: float) -> list[Sample]:
    """Those of Locust's users; where there are none, the pulse's on fresh connections."""
    fresh = [s for s in record.pulse if s.stream is Stream.FRESH]
    return [s for s in record.locust or fresh if began <= s.intended < ended]


def _fastest(sent: Sequence[Sample], began: float) -> float:
    """The largest share of failed requests in any window of BURN_WINDOW_S; in all, if they took less time than that."""
    total, bad = Counter[int](), Counter[int]()
    for s in sent:
        second = int(s.intended - began)
        total[second] += 1
        bad[second] += not s.ok
    last = max(total)
    starts = range(max(1, last - BURN_WINDOW_S + 2))
    return max(_share(total, bad, range(start, start + BURN_WINDOW_S)) for start in starts)


def _share(total: Counter[int], bad: Counter[int], seconds: range) -> float:
    requests = sum(total[second] for second in seconds)
    return sum(bad[second] for second in seconds) / requests if requests else 0.0
