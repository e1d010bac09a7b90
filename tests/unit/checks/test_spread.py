"""Are the pods where the loss of one place leaves enough of them?"""

from __future__ import annotations

import pytest
from streams import STEP, gap, gone, pod, record, seen
from test_evidence_nodes import node, there

from chaoskit.checks.spread import Spread
from chaoskit.model import Verdict

AFTER = {"of": "deployment/front", "after": STEP}


def judged(*events, **keys):
    told = tuple(sorted(events, key=lambda e: e.at))
    return Spread.model_validate({**AFTER, **keys}).judge(record(events=told))


def on(*nodes):
    return there(*(pod(f"front-{i}", node=f"node{n}") for i, n in enumerate(nodes)))


def test_one_on_each_node_is_spread():
    found = judged(*on(1, 2, 3))
    assert found.verdict is Verdict.PASSED
    assert (found.value, found.margin, found.limit) == (0.0, 1.0, "at most 1 pod")
    assert found.reason == "ready pods: node1 1, node2 1, node3 1"


@pytest.mark.parametrize("over", ["node", "zone"])
def test_all_in_one_place_are_not_spread(over):
    found = judged(*on(2, 2, 2), over=over, skew=9)
    assert found.verdict is Verdict.FAILED
    place = "node2" if over == "node" else "zone-2"
    assert f"all 3 ready pods were in one {over}, {place}" in found.reason


def test_more_than_the_skew_is_not_spread():
    assert judged(*on(1, 1, 1, 2)).verdict is Verdict.FAILED
    assert judged(*on(1, 1, 1, 2), skew=3).verdict is Verdict.PASSED


def test_a_place_that_is_down_is_not_missed():
    assert judged(*on(1, 2, 2), seen(5.0, node("node3", ready=False), "node")).verdict is Verdict.PASSED


def test_the_worst_moment_counts_only_where_always_is_asked():
    """Between two of its pods' going and their coming back all were on one node."""
    away = [gone(12.0, pod("front-0", node="node1")), gone(12.1, pod("front-1", node="node2"))]
    back = [seen(14.0, pod("front-8", node="node1")), seen(14.1, pod("front-9", node="node2"))]
    events = [*on(1, 2, 3, 3), *away, *back]
    assert judged(*events).verdict is Verdict.PASSED
    found = judged(*events, when="always")
    assert found.verdict is Verdict.FAILED
    assert "all 2 ready pods were in one node, node3" in found.reason


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (there(), "0 pods of deployment/front ready: nothing to spread"),
        (on(1), "1 pod of deployment/front ready: nothing to spread"),
        (there(pod("a"), pod("b"), nodes=["node1"]), "there was one node that could take pods"),
        ([*on(1, 2, 3), gap(19.0)], "the watch was broken then"),
    ],
)
def test_what_cannot_be_decided_is_inconclusive(events, why):
    found = judged(*events)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert why in found.reason
