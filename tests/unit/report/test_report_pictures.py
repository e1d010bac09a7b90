"""What charts are made of: axes, bins, the pulse's strip, and the states of objects over time."""

import itertools
from dataclasses import replace

import pytest
import story
from hypothesis import given, settings
from hypothesis import strategies as st
from scaling import autoscaler

from chaoskit.model import GONE, SEEN, WatchEvent
from chaoskit.report import bins, failures, inventory, picture, quality, states, timeline, traffic, waterfall
from chaoskit.report.picture import Axis, Mark
from chaoskit.samples import Outcome, Sample, Stream


def sample(at, outcome=Outcome.OK, stream=Stream.FRESH):
    return Sample(at, at, at + 0.005, 200 if outcome is Outcome.OK else 0, outcome, stream, "GET /", "a|1|blue")


# ── axes and scales ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_ticks_stand_at_round_times():
    assert [t.text for t in Axis(0, 45).ticks()] == ["0 s", "10 s", "20 s", "30 s", "40 s"]
    assert [t.text for t in Axis(0, 600).ticks()] == ["0 min", "2 min", "4 min", "6 min", "8 min", "10 min"]
    assert [t.text for t in Axis(17.9, 20.0).ticks(origin=18.0)][:3] == ["0 s", "+0.5 s", "+1 s"]


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_few_ticks_for_every_run(began, lasts):
    ticks = Axis(began, began + lasts).ticks()
    assert len(ticks) <= 9
    assert all(0 <= t.x <= 100 for t in ticks)


@given(st.lists(st.floats(-1e12, 1e12), max_size=30))
def test_every_value_lies_within_the_row(values):
    scale = picture.linear(values)
    assert all(0 <= scale.y(v) <= 100 for v in values)
    assert scale.y(scale.low) > scale.y(scale.high)


@given(st.lists(st.floats(0, 100), max_size=12))
def test_texts_have_room_of_their_own(places):
    marks = picture.with_room([Mark(x, "", "", "text") for x in places])
    spans = [(m.x - m.room, m.x) if m.leftwards else (m.x, m.x + m.room) for m in marks]
    ordered = sorted((left, right) for left, right in spans if right - left > 0.1)
    assert all(left > -0.02 and right < 100.02 for left, right in ordered)
    assert all(a[1] <= b[0] + 0.03 for a, b in itertools.pairwise(ordered))


def test_a_spike_survives_thinning():
    points = [(float(t), 0.0) for t in range(10_000)]
    points[5_432] = (5_432.0, 1.0)
    kept = picture.coarse(points)
    assert len(kept) <= 500
    assert (5_432.0, 1.0) in kept


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_bins_hold_every_request_once_and_show_empty_seconds():
    samples = [sample(t / 10) for t in range(100) if not 30 <= t < 50]
    found = bins.binned(samples, 1.0)
    assert sum(b.due for b in found) == len(samples)
    assert [b.due for b in found] == [10, 10, 10, 0, 0, 10, 10, 10, 10, 10]


def test_a_cut_last_bin_shows_no_drop():
    found = bins.binned([sample(t / 10) for t in range(105)], 1.0)
    assert found[-1].due == 5
    assert 9 < found[-1].a_second(found[-1].due) < 14


def test_one_bad_request_in_a_long_run_is_seen_on_the_strip():
    samples = [sample(t / 100, Outcome.TIMEOUT if t == 30_000 else Outcome.OK) for t in range(60_000)]
    stretches = bins.strip(samples, Stream.FRESH, Axis(0, 600), 0.01)
    assert [s.state for s in stretches] == ["good", "some failed", "good"]
    assert stretches[1].bad == 1
    assert sum(s.requests for s in stretches) == 60_000


def test_where_the_pulse_sent_nothing_the_strip_is_empty():
    samples = [sample(t / 100) for t in range(1_000) if not 300 <= t < 500]
    first, second = bins.strip(samples, Stream.FRESH, Axis(0, 10), 0.01)
    assert first.ended <= 3.1
    assert second.began >= 4.9


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from(list(Outcome))), max_size=200))
def test_the_strip_is_bounded_and_in_order(requests):
    samples = [sample(at, outcome) for at, outcome in requests]
    stretches = bins.strip(samples, Stream.FRESH, Axis(0, 60), 0.01)
    assert sum(s.requests for s in stretches) == len(samples)
    assert all(a.ended <= b.began + 1e-9 for a, b in itertools.pairwise(stretches))
    assert sum(s.bad for s in stretches) == sum(not s.ok for s in samples)


def test_the_longest_outage_is_named_whatever_surrounds_it():
    bad = {*range(1_000, 1_100), *range(800, 1_300, 7)}
    samples = tuple(sample(t / 100, Outcome.TIMEOUT if t in bad else Outcome.OK) for t in range(6_000))
    record = replace(story.unstarted().record, pulse=samples, ended=60.0)
    row = traffic.pulse_row(record, Axis(0, 60), Stream.FRESH, "new connections")
    assert [m.text for m in row.marks][:1] == ["down 1 s ± 10 ms"]


def test_failed_requests_by_outcome():
    found = failures.failures(story.failing().record)
    kinds = {(k.sender, k.outcome): k for k in found.kinds}
    refused = kinds["pulse, new connections", "connection refused"]
    assert refused.number == 81
    assert (round(refused.first, 2), round(refused.last, 2)) == (18.03, 18.83)
    assert ("Locust’s users", "HTTP 503") in kinds
    assert [second for second, _ in found.seconds] == [18]


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_life_of_a_pod():
    lanes = {lane.name: lane for lane in states.pods(story.failing().record)}
    victim, heir = lanes[story.VICTIM], lanes[story.HEIR]
    assert [s.state for s in victim.stays] == ["pending", "starting", "ready", "terminating"]
    assert (victim.stays[-1].ended, victim.gone) == (18.16, True)
    assert [s.state for s in heir.stays] == ["pending", "starting", "ready"]
    assert heir.group == "deployment/front"
    assert heir.stays[-1].ended == 45.0


def test_a_restart_is_noticed_once():
    lanes = {lane.name: lane for lane in states.pods(story.failing().record)}
    lane = lanes["back-5c8d-ddddd"]
    assert lane.restarted == [(28.0, 1)]
    assert "not ready" in [s.state for s in lane.stays]


def test_nodes_are_cordoned_for_a_while():
    lanes = {lane.name: lane for lane in states.nodes(story.failing().record)}
    assert [s.state for s in lanes["node-3"].stays] == ["ready", "cordoned", "ready"]
    assert lanes["node-1"].quiet


def test_replicas_ready_are_counted_from_the_pods():
    record = story.failing().record
    workload = states.workloads(record, states.pods(record))["deployment/front"]
    assert [n for _, n in workload.ready][-3:] == [3, 2, 3]
    assert [n for _, n in workload.wanted] == [3]


def test_a_flapping_object_is_drawn_coarser_and_never_better():
    flapping = [WatchEvent(float(t), SEEN, "node", story.node("n", ready=t % 2 == 0)) for t in range(400)]
    record = story.unstarted().record
    lanes = states.nodes(type(record)(**{**vars(record), "events": tuple(flapping), "ended": 400.0}))
    assert len(lanes[0].stays) == states.MOST_STRETCHES
    assert {s.state for s in lanes[0].stays} == {"not ready"}


def test_what_was_hit_is_always_drawn():
    lanes = [states.Lane(f"u{i}", f"pod-{i}") for i in range(500)]
    shown = inventory.shown_lanes(lanes, {"u499"})
    assert "u499" in shown
    assert len(shown) == inventory.MOST_LANES


def test_an_object_that_is_gone_before_it_was_seen_is_no_error():
    gone = WatchEvent(3.0, GONE, "pod", story.pod("front-x", "node-1", ready=False, running=False))
    record = story.unstarted().record
    (lane,) = states.pods(type(record)(**{**vars(record), "events": (gone,)}))
    assert lane.stays == []


# ── the whole ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_shape_has_words_and_every_row_is_within_the_chart():
    told = story.failing()
    chart = timeline.chart(told.record, told.experiment)
    titles = {row.title for row in chart.rows}
    assert titles >= {"phases", "steps", "acts", "requests", "latency", "pulse, new connections"}
    assert titles >= {"deployment/front", "nodes", "errors", "ready_fronts"}
    for row in chart.rows:
        for box in row.boxes:
            assert box.title
            assert 0 <= box.x <= 100
            assert box.x + box.width <= 100.2
        assert all(curve.title and curve.points for curve in row.curves)


def test_limits_are_drawn_with_their_words():
    told = story.failing()
    chart = timeline.chart(told.record, told.experiment)
    limits = {level.text for row in chart.rows for level in row.levels if level.limit}
    assert limits == {"must reach 60/s", "p99 < 300ms", "errors < 0.1%", "errors < 1%", "ready_fronts >= 3"}


def test_the_slowest_link_is_named_where_it_is_drawn():
    (recovery,) = waterfall.recoveries(story.failing().record)
    (fall,) = recovery.falls
    (row,) = [row for row in fall.chart.rows if any("the longest" in m.text for m in row.marks)]
    assert row.title == "replacement started"
    assert row.end == "+1.99 s"
    assert ("termination grace period", "15 s") in [setting[:2] for setting in recovery.settings]


def test_data_quality_says_what_is_not_fine():
    facts = {f.what: f for f in quality.facts(story.inconclusive().record)}
    assert facts["lateness of the pulse"].good
    assert facts["CPU of Locust"].good is False
    assert facts["PromQL “ready_fronts”"].value == "no data"
    assert facts["breaks of the watch"].good is False
    assert "pod at 30.50 s" in facts["breaks of the watch"].value


def test_the_steady_states_conditions_have_a_lane_each():
    told = story.failing()
    chart = timeline.chart(told.record, told.experiment)
    lanes = {row.title: row for row in chart.rows}
    assert "79.6/s" in lanes["rate > 60/s"].boxes[0].title
    assert (10.5, "holds, 79.6/s") in lanes["rate > 60/s"].said


def test_limits_that_lie_close_share_their_text():
    found = picture.levels(picture.linear([80.0]), "", [(0.1, "errors < 0.1%"), (1.0, "errors < 1%")])
    limits = [level for level in found if level.limit]
    assert len(limits) == 2
    assert [level.text for level in limits if level.text] == ["errors < 0.1%, errors < 1%"]


def test_an_act_is_drawn_until_it_was_healed():
    told = story.failing()
    (step,) = told.record.steps
    healed = replace(step, acts=(replace(step.acts[0], healed=41.5),))
    row = next(
        r for r in timeline.chart(replace(told.record, steps=(healed,)), told.experiment).rows if r.title == "acts"
    )
    held, act = row.boxes
    assert (held.css, act.css) == ("held", "act")
    assert held.x + held.width == pytest.approx(41.5 / 45 * 100, abs=0.1)
    assert "healed 41.500 s" in held.title
    assert [key.text for key in row.keys] == ["ordered to landed", "landed to healed"]
    assert row.said[-1] == (41.5, f"{step.acts[0].what}: healed")


def test_the_read_out_names_the_pods_and_nodes_that_are_not_ready():
    told = story.failing()
    rows = {row.title: row for row in timeline.chart(told.record, told.experiment).rows}
    front = dict(rows["deployment/front"].said)
    assert front[18.02] == "2 ready, 3 wanted; 6d5f7b9c4-x2x4z terminating"
    assert front[18.16].startswith("2 ready, 3 wanted; 6d5f7b9c4-k9qpl ")
    assert dict(rows["nodes"].said)[25.0] == "2 ready, 1 cordoned; node-3 cordoned"


def test_what_an_autoscaler_read_is_drawn_beside_its_target():
    record = story.failing().record
    looks = [autoscaler(20.0, 3, 4, 80), autoscaler(25.0, 4, 4, 55)]
    told = [
        replace(e, object=e.object | {"metadata": e.object["metadata"] | {"namespace": story.SPACE}}) for e in looks
    ]
    record = replace(record, events=tuple(sorted((*record.events, *told), key=lambda e: e.at)))
    rows = {row.title: row for row in inventory.rows(record, Axis(0, 45))}
    assert "autoscaler: 1 to 8 replicas" in rows["deployment/front"].note
    assert [level.text for level in rows["cpu"].levels if level.limit] == ["target 60 %"]
    assert rows["cpu"].said[0] == (20.0, "cpu 80 % of a target of 60 %; wants 4 replicas")


def test_pods_of_a_workload_stand_by_their_nodes():
    told = story.failing()
    front = [r.note for r in timeline.chart(told.record, told.experiment).rows if r.title.startswith("6d5f7b9c4-")]
    assert front == sorted(front)


def test_requests_of_a_cut_bin_are_no_peak():
    samples = [sample(t / 10) for t in range(100)] + [sample(10.0), sample(10.0001), sample(10.0002)]
    assert [b.whole for b in bins.binned(samples, 1.0)][-2:] == [True, False]
