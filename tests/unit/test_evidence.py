"""From streams to timelines: the outage's bracket contains the truth, chains are ordered, nothing is counted twice."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from streams import NS, act, endpoints, gap, gone, kill, life, paced, pod, record, sample, seen, step

from chaoskit import evidence
from chaoskit.contracts import Act
from chaoskit.evidence import LINKS
from chaoskit.model import Target
from chaoskit.objects import uid
from chaoskit.samples import Outcome, Stream

# ── outages ──────────────────────────────────────────────────────────────────────────────────────────────────────────

SPANS = st.tuples(st.floats(0.05, 1.5), st.floats(0.001, 0.6)).map(lambda s: (s[0], s[0] + s[1]))


@given(
    down=SPANS,
    unsent=st.lists(SPANS, max_size=3),
    late=st.dictionaries(st.integers(0, 200), st.floats(0, 0.3), max_size=20),
    period=st.sampled_from([0.01, 0.02, 0.05]),
)
def test_the_bracket_contains_the_true_outage(down, unsent, late, period):
    began, ended = down
    samples = paced(2.5, period=period, down=[down], unsent=unsent, late=late)
    assume(any(s.outcome is Outcome.REFUSED for s in samples))
    seen_ = evidence.outages(samples, Stream.FRESH, 0.0, 2.5, period)
    (found,) = seen_.outages
    assert found.last_good <= began <= found.first_bad
    assert found.last_bad <= ended <= found.first_good
    assert found.shortest <= ended - began <= found.longest
    assert abs(found.seconds - (ended - began)) <= found.uncertainty + 1e-9
    assert seen_.silence_s >= ended - began


@given(down=SPANS)
def test_a_paced_stream_is_right_to_one_period(down):
    found = evidence.outages(paced(2.5, down=[down]), Stream.FRESH, 0.0, 2.5, 0.01).longest
    assume(found is not None)
    assert found.uncertainty <= 0.0100001


@given(
    outcomes=st.lists(st.sampled_from([Outcome.OK, Outcome.REFUSED, Outcome.TIMEOUT, Outcome.NOT_SENT]), max_size=80)
)
def test_every_lost_request_is_counted_once(outcomes):
    samples = [sample(0.01 * i, outcome) for i, outcome in enumerate(outcomes)]
    found = evidence.outages(samples, Stream.FRESH, 0.0, 1.0, 0.01)
    bad = sum(o in (Outcome.REFUSED, Outcome.TIMEOUT) for o in outcomes)
    assert found.due == len(outcomes)
    assert found.lost == sum(o.lost for o in found.outages) == bad
    assert found.not_sent == outcomes.count(Outcome.NOT_SENT)
    for before, after in zip(found.outages, found.outages[1:], strict=False):
        assert before.first_good <= after.last_good
    assert all(o.last_good <= o.first_bad <= o.last_bad <= o.first_good for o in found.outages)


@given(unsent=st.lists(SPANS, max_size=3))
def test_an_outage_that_nothing_saw_is_no_longer_than_the_silence(unsent):
    """Whatever was not sent: nothing longer than `silence_s` can hide in it."""
    found = evidence.outages(paced(2.5, unsent=unsent), Stream.FRESH, 0.0, 2.5, 0.01)
    hidden = max((min(b, 2.5) - a for a, b in unsent), default=0.0)
    assert found.silence_s >= hidden - 0.02
    assert found.blind_s >= hidden - 0.05
    assert found.outages == ()


def test_an_outage_that_the_window_cuts_is_followed_to_its_end():
    samples = paced(3.0, down=[(0.9, 1.4)])
    (found,) = evidence.outages(samples, Stream.FRESH, 0.0, 1.0, 0.01).outages
    assert not found.open_end
    assert found.seconds == pytest.approx(0.5, abs=0.01)


@given(doubt=st.floats(0, 2))
def test_another_clock_widens_the_bracket_around_its_middle(doubt):
    (seen,) = evidence.outages(paced(3.0, down=[(0.9, 1.4)]), Stream.FRESH, 0.0, 3.0, 0.01).outages
    told = seen.by_another_clock(doubt)
    assert told.seconds == pytest.approx(seen.seconds)
    assert told.uncertainty == pytest.approx(seen.uncertainty + doubt)


def test_an_outage_without_end_says_so():
    (found,) = evidence.outages(paced(2.0, down=[(1.0, 9.0)]), Stream.FRESH, 0.0, 2.0, 0.01).outages
    assert found.open_end
    assert found.seconds == pytest.approx(1.0, abs=0.02)


def test_streams_are_not_mixed():
    both = (*paced(1.0, down=[(0.2, 0.5)]), *paced(1.0, stream=Stream.KEPT))
    assert evidence.outages(both, Stream.KEPT, 0.0, 1.0, 0.01).outages == ()
    assert len(evidence.outages(both, Stream.FRESH, 0.0, 1.0, 0.01).outages) == 1


def test_a_stream_that_is_empty_is_blind_throughout():
    found = evidence.outages([], Stream.FRESH, 0.0, 1.0, 0.01)
    assert (found.due, found.silence_s) == (0, 1.0)
    assert found.blind_s == pytest.approx(0.99)


# ── recovery ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_tells_each_link_in_order():
    (chain,) = evidence.recovery_chains(record(), step())
    assert (chain.victim, chain.replacement) == ("front-1", "front-4")
    moments = [chain.at(link) for link in LINKS[3:8]]
    assert moments == sorted(moments)
    assert chain.seconds == pytest.approx(1.078)
    assert chain.missing == ""
    assert chain.slowest_link.startswith(("replacement started", "replacement ready"))
    assert chain.uncertainty == evidence.WATCH_LAG_S


def test_the_first_answer_of_the_replacement_is_found():
    answered = (*paced(11.0), sample(11.5, answerer="front-4|1|blue"), sample(11.6, answerer="front-4|1|blue"))
    (chain,) = evidence.recovery_chains(record(pulse=answered), step())
    assert chain.at("replacement answered") == pytest.approx(11.5045)


LIVES = st.lists(st.tuples(st.floats(0.01, 3), st.floats(0.01, 0.2), st.floats(0.2, 1), st.floats(1, 3)), max_size=5)


@given(victims=st.integers(1, 4), lives=LIVES, order=st.randoms(use_true_random=False))
def test_each_replacement_is_used_once_and_each_victim_has_one_chain(victims, lives, order):
    names = [f"old-{i}" for i in range(victims)]
    events = [seen(0.0, pod(n), first=True) for n in names]
    events += [gone(10.05, pod(n, terminating=True)) for n in names]
    for i, (created, scheduled, started, ready) in enumerate(lives):
        events += life(f"new-{i}", 10.0 + created, scheduled=scheduled, started=started, ready=ready)
    acts = [act(10.0 + 0.001 * i, n) for i, n in enumerate(names)]
    order.shuffle(acts)
    chains = evidence.recovery_chains(record(events=tuple(sorted(events, key=lambda e: e.at))), step(acts))
    assert sorted(c.victim for c in chains) == sorted(names)
    heirs = [c.replacement for c in chains if c.replacement]
    assert len(heirs) == len(set(heirs)) == min(victims, len(lives))
    for chain in chains:
        moments = [m for m in map(chain.at, LINKS[3:7]) if m is not None]
        assert moments == sorted(moments)
        assert all(m >= chain.accepted for m in moments)


def test_a_pod_that_was_hit_twice_is_one_victim():
    """The answer to an eviction was lost, and it was asked for again."""
    acts = [act(10.0, error="no answer"), act(10.3)]
    (chain,) = evidence.recovery_chains(record(), step(acts))
    assert chain.replacement == "front-4"
    assert chain.uncertainty >= 0.01


def test_a_stateful_set_s_replacement_carries_the_victim_s_name():
    more = {"owner": "sts-1", "kind": "StatefulSet"}
    events = [seen(0.0, pod(n, f"{n}-old", **more), first=True) for n in ("store-0", "store-1")]
    events += [gone(10.1, pod(n, f"{n}-old", terminating=True, **more)) for n in ("store-0", "store-1")]
    events += [*life("store-1", 10.5, "store-1-new", **more), *life("store-0", 11.0, "store-0-new", **more)]
    acts = [act(10.0, "store-0", "store-0-old"), act(10.001, "store-1", "store-1-old")]
    chains = evidence.recovery_chains(record(events=tuple(events)), step(acts))
    assert [(c.victim, c.replacement) for c in chains] == [("store-0", "store-0"), ("store-1", "store-1")]
    assert [round(c.at("replacement created"), 3) for c in chains] == [11.0, 10.5]
    half = [e for e in events if uid(e.object) != "store-0-new"]
    chains = evidence.recovery_chains(record(events=tuple(half)), step(acts))
    assert [(c.victim, c.replacement) for c in chains] == [("store-0", ""), ("store-1", "store-1")]


def test_a_pod_of_another_controller_is_no_replacement():
    events = [e for e in kill() if uid(e.object) != "front-4"] + life("back-9", 10.1, owner="rs-2")
    (chain,) = evidence.recovery_chains(record(events=tuple(events)), step())
    assert (chain.replacement, chain.seconds, chain.missing) == ("", None, "replacement created")


def test_a_pod_that_was_there_before_is_no_replacement():
    (chain,) = evidence.recovery_chains(record(events=tuple(e for e in kill() if uid(e.object) != "front-4")), step())
    assert chain.replacement == ""


def test_a_replacement_that_died_before_it_was_ready_gives_way_to_the_next():
    dead = [*life("front-4", 10.1)[:2], gone(10.5, pod("front-4", node="node1", started=False, ready=False))]
    events = [e for e in kill() if uid(e.object) != "front-4"] + dead + life("front-5", 10.6)
    (chain,) = evidence.recovery_chains(record(events=tuple(sorted(events, key=lambda e: e.at))), step())
    assert chain.replacement == "front-5"


def test_a_slice_that_is_seen_before_its_pod_still_counts():
    """Pods and endpoint slices come by two watches, in no order."""
    events = tuple(sorted(kill(), key=lambda e: e.at if e.kind == "pod" else e.at - 2.0))
    (chain,) = evidence.recovery_chains(record(events=events), step())
    assert chain.at("replacement in endpoints") == pytest.approx(11.08)


def test_without_a_service_recovery_ends_with_readiness():
    events = tuple(e for e in kill() if e.kind == "pod")
    (chain,) = evidence.recovery_chains(record(events=events), step())
    assert not chain.served
    assert chain.seconds == pytest.approx(1.028)


def test_a_pod_that_stayed_lost_nothing():
    stayed = tuple(e for e in kill() if uid(e.object) != "front-4" and e.change != "gone")
    assert evidence.recovery_chains(record(events=stayed), step()) == ()


def test_a_node_is_no_victim():
    cordon = Act("cordon", Target("node", "node1", "", "n1"), 10.0, 10.001, 10.01)
    assert evidence.recovery_chains(record(), step([cordon])) == ()


# ── gaps, curves ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("began", "ended", "touches"), [(0, 4, False), (0, 5, True), (5.5, 5.6, True), (6.5, 9, True), (7.5, 9, False)]
)
def test_a_gap_lasts_until_the_next_listing(began, ended, touches):
    events = (gap(5.0), seen(7.0, pod("a"), first=True), gap(8.0, "service"))
    assert bool(evidence.gaps(record(events=events), began, ended, ("pod",))) is touches


def test_a_gap_without_a_listing_lasts_to_the_end():
    assert evidence.gaps(record(events=(gap(5.0),)), 20.0, 21.0, ("pod",)) == ((5.0, 26.0),)


def test_the_curve_of_ready_pods_changes_with_them():
    curve = evidence.ready_curve(record(), {"app": "front"})
    assert [count for _, count in curve] == [1, 2, 3, 2, 3]
    other = pod("x")
    other["metadata"]["namespace"] = f"not-{NS}"
    assert evidence.ready_curve(record(events=(seen(0.0, other),)), {"app": "front"}) == ()


@given(st.lists(st.sampled_from(["a|1|blue", "b|2|green", ""]), max_size=40))
def test_shares_count_each_good_answer_once(answerers):
    samples = [sample(0.01 * i, answerer=who) for i, who in enumerate(answerers)]
    found = evidence.shares(samples, 0.0, 1.0, 2)
    assert sum(found.values()) == sum(bool(who) for who in answerers)
    assert found.get("blue", 0) == answerers.count("a|1|blue")


def test_an_endpoint_that_is_not_ready_gets_nothing():
    event = endpoints(1.0, "a", "b")
    event.object["endpoints"][1]["conditions"]["ready"] = False
    assert evidence._histories([seen(0.5, pod("a")), seen(0.5, pod("b")), event])["b"].served == []


def test_what_is_taken_away_after_the_step_was_not_its_doing():
    """The next step, or healing, which removes the whole namespace."""
    later = (*(e for e in kill() if uid(e.object) != "front-4" and e.change != "gone"), gone(25.5, pod("front-1")))
    assert evidence.recovery_chains(record(events=later), step()) == ()
    after = (*(e for e in kill() if uid(e.object) != "front-4"), *life("front-5", 21.0))
    (chain,) = evidence.recovery_chains(record(events=after), step())
    assert chain.replacement == ""


def test_an_answer_that_came_late_does_not_make_the_fault_late():
    (chain,) = evidence.recovery_chains(record(), step([act(took=2.0)]))
    assert chain.accepted == pytest.approx(10.01)
    assert chain.seconds == pytest.approx(1.07)
