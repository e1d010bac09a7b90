"""The labelled corpus: no false pass, no false fail, and what cannot be decided is inconclusive."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml
from corpus import CASES, Case
from streams import STEP, record

from chaoskit import judge, spec
from chaoskit.journal import Entry
from chaoskit.result import Result

ENDED = (Entry(9, 26.0, "ended", {"how": "complete", "error": ""}),)


def experiment(case: Case) -> spec.Experiment:
    data = {
        "name": "corpus",
        "load": case.load,
        "metrics": {"errors": "q"},
        "steps": [{"name": STEP, "kill_pod": {"of": "deployment/front"}, "watch": "10s"}],
        "expect": [case.expect],
    }
    if case.steady:
        data["steady_state"] = {"hold": ["errors < 1%"], "for": "5s"}
    return spec.loads(yaml.safe_dump(data))


def judged(case: Case) -> Result:
    ended = tuple(Entry(e.n, e.at, e.kind, {**e.data, "how": case.how}) for e in ENDED if case.how)
    return judge.judge(experiment(case), record(**case.record), ended, 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_the_right_one(case):
    result = judged(case)
    told = [(f.name, f.verdict, f.reason) for f in result.findings]
    assert result.verdict is case.verdict, told
    (asked,) = result.asked
    assert asked.verdict is (case.finding or case.verdict), told
    assert case.says in asked.reason, told


def test_the_corpus_is_large_and_balanced():
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
    counted = Counter(case.verdict for case in CASES)
    assert min(counted.values()) >= 30
