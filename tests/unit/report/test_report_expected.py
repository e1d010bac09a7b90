"""What is set beside a recovery: by the platform's timings, the pod's settings, and earlier pods of the same owner."""

import math
from dataclasses import replace

import story
from streams import pod
from test_evidence_nodes import loss, power_failure

from chaoskit import evidence
from chaoskit.model import SEEN, WatchEvent
from chaoskit.report import waterfall
from chaoskit.report.expected import expected


def of(record, step):
    (chain,) = evidence.recovery_chains(record, step)
    return expected(record, step, chain)


def test_controllers_act_at_once_and_earlier_pods_tell_the_rest():
    record = story.failing().record
    due = of(record, record.steps[0])
    assert due["endpoint removed"].text == due["replacement created"].text == "at once"
    assert due["pod gone"].text == "at once"  # it was deleted without a grace period
    (earlier,) = [due["replacement ready"]]
    assert "3 earlier pods" in earlier.why
    assert 0 <= earlier.least <= earlier.most
    assert "replacement answered" not in due


def test_a_pod_may_take_its_grace_period_even_if_its_last_deletion_has_none():
    record = story.failing().record
    ending = story.pod(story.VICTIM, "node-2", ready=True, running=True, ends=True)
    asked = {**ending, "metadata": {**ending["metadata"], "deletionGracePeriodSeconds": 15}}
    last = {**ending, "metadata": {**ending["metadata"], "deletionGracePeriodSeconds": 0}}
    told = (WatchEvent(18.02, SEEN, "pod", asked), WatchEvent(18.15, SEEN, "pod", last))
    events = tuple(sorted((*record.events, *told), key=lambda e: e.at))
    due = of(replace(record, events=events), record.steps[0])
    assert (due["pod gone"].text, due["pod gone"].most) == ("at most 15 s", 15.0)


def test_a_lost_node_is_noticed_and_tolerated_first():
    record, step = loss(power_failure())
    due = of(record, step)
    assert due["endpoint removed"].text == "12.0–17.0 s"
    assert due["replacement created"].text == "22.0–27.0 s"
    assert "stays for another 10 s" in due["replacement created"].why
    assert "pod gone" not in due  # when the node comes back, which nobody knows


def test_who_tolerates_a_dead_node_without_end_is_never_replaced():
    for_ever = pod("front-1")
    for_ever["spec"]["tolerations"] = [{"operator": "Exists"}]
    events = [
        replace(e, object=for_ever) if e.first and e.object["metadata"]["name"] == "front-1" else e
        for e in power_failure()
    ]
    record, step = loss(events)
    assert of(record, step)["replacement created"].text == "never"
    assert all(math.isfinite(e.most) for e in of(record, step).values())


def test_each_link_is_drawn_within_what_is_expected_of_it():
    (recovery,) = waterfall.recoveries(story.failing().record)
    rows = {row.title: row for row in recovery.falls[0].chart.rows}
    assert rows["replacement scheduled"].note == "at once"
    assert rows["replacement answered"].note == "–"
    outline, bar = rows["replacement started"].boxes
    assert (outline.css, bar.css) == ("expected", "slowest")
    assert "expected" in bar.title


def test_the_same_settings_are_told_once():
    record = story.failing().record
    again = replace(record.steps[0], name="once more")
    first, second = waterfall.recoveries(replace(record, steps=(record.steps[0], again)))
    assert first.settings
    assert second.settings == ()
