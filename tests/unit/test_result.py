"""result.json: versioned, plain JSON whatever was measured, and read back as it was."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import result as r
from chaoskit.model import ClusterInfo, Evidence, Finding, Target, Verdict

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False)
EVIDENCE = st.builds(Evidence, TEXTS, st.dictionaries(TEXTS, st.integers() | TEXTS | st.none(), max_size=2))
FINDINGS = st.builds(
    Finding,
    TEXTS,
    TEXTS,
    st.sampled_from(Verdict),
    TEXTS,
    value=st.none() | NUMBERS,
    unit=TEXTS,
    uncertainty=st.none() | NUMBERS,
    limit=TEXTS,
    margin=st.none() | NUMBERS,
    evidence=st.lists(EVIDENCE, max_size=2).map(tuple),
    asked=st.booleans(),
)


def result(findings=(), **changes):
    given_ = {
        "experiment": "x",
        "why": "",
        "run": "r1",
        "namespace": "shop",
        "seed": 7,
        "verdict": Verdict.PASSED,
        "exit_code": 0,
        "sentence": "passed",
        "findings": tuple(findings),
        "targets": (Target("pod", "a", "shop", "u", "n", {"unschedulable": True}),),
        "cluster": ClusterInfo("fake", "fake", "", "v1.37.2", nodes=("n",), timings={"a": 1.5}),
        "started_unix": 1.8e9,
        "seconds": 26.5,
        "how": "complete",
        "unhealed": (("a", "b"),),
        "versions": {"chaoskit": "1"},
        "notes": ("n",),
    }
    return r.Result(**{**given_, **changes})


@given(st.lists(FINDINGS, max_size=3))
def test_a_result_is_read_back_as_it_was(findings):
    assert r.from_json(r.to_json(result(findings))) == result(findings)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_are_texts(value):
    found = Finding("a", "b", Verdict.INCONCLUSIVE, "c", value=value, evidence=(Evidence("e", {"x": [value]}),))
    text = r.to_json(result([found]))
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert repr(r.from_json(text).findings[0].value) == repr(value)


def test_the_keys_that_others_rely_on_are_there(tmp_path):
    found = Finding("a", "metric", Verdict.FAILED, "c", 0.5, "%", 0.1, "errors < 1%", -0.49)
    path = r.write(result([found], verdict=Verdict.FAILED, exit_code=1), tmp_path)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["schema"] == r.SCHEMA
    assert data["verdict"] == "failed"
    assert {"name", "verdict", "value", "unit", "uncertainty", "limit", "reason", "evidence"} <= data["findings"][
        0
    ].keys()
    assert {"targets", "seed", "versions"} <= data.keys()
    assert data["targets"][0]["uid"] == "u"


def test_what_was_asked_is_told_from_what_chaoskit_asks_itself():
    mine = Finding("a", "precondition", Verdict.PASSED, "", asked=False)
    theirs = Finding("b", "metric", Verdict.PASSED, "")
    assert result([mine, theirs]).asked == (theirs,)
