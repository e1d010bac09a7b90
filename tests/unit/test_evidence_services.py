"""What a Service was and who answered for it, from recorded streams with known answers; and how far chance goes."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import NS, gap, gone, record, sample, seen

from chaoskit import evidence_services as services
from chaoskit.contracts import Sight
from chaoskit.samples import Outcome, Stream


def slice_(at, *pods, ready=True, name="front-abc", service="front", first=False):
    listed = [{"conditions": {"ready": ready}, "targetRef": {"uid": f"u-{p}", "name": p}} for p in pods]
    meta = {"name": name, "namespace": NS, "uid": name, "labels": {services.SERVICE_LABEL: service}}
    return seen(at, {"metadata": meta, "endpoints": listed}, "endpointslice", first=first)


def service(at, address, uid="s1", name="back"):
    return seen(
        at, {"metadata": {"name": name, "namespace": NS, "uid": uid}, "spec": {"clusterIP": address}}, "service"
    )


def spans(found):
    return [(s.began, s.ended, sorted(s.pods)) for s in found]


def test_a_change_of_the_endpoints_begins_a_new_stretch():
    told = record(events=(slice_(0, "a", "b", first=True), slice_(5, "a"), slice_(6, "a"), slice_(8, "a", "c")))
    assert spans(services.stretches(told, "front", 1, 10)) == [(1, 5, ["a", "b"]), (5, 8, ["a"]), (8, 10, ["a", "c"])]


def test_another_services_slices_and_pods_that_are_not_ready_do_not_count():
    told = record(
        events=(slice_(0, "a"), slice_(1, "x", name="o", service="other"), slice_(2, "b", ready=False, name="n"))
    )
    assert spans(services.stretches(told, "front", 3, 5)) == [(3, 5, ["a"])]


def test_what_was_so_while_the_watch_was_broken_is_not_known():
    told = record(events=(slice_(0, "a"), gap(4, "endpointslice"), slice_(6, "a", first=True)))
    assert spans(services.stretches(told, "front", 1, 9)) == [(1, 4, ["a"]), (6, 9, ["a"])]


def test_the_longest_time_counts_once_the_rules_know_of_it():
    told = record(events=(slice_(0, "a"), slice_(4, "a", "b")))
    best = services.steady(told, "front", 0, 10)
    assert (best.began, best.ended, best.pods) == (5, 10, {"a", "b"})


@given(
    st.lists(st.tuples(st.floats(0, 30), st.sets(st.sampled_from("abc"))), max_size=8),
    st.lists(st.floats(0, 30), max_size=3),
)
def test_stretches_are_ordered_and_never_overlap(changes, breaks):
    events = [slice_(at, *sorted(pods)) for at, pods in changes] + [gap(at, "endpointslice") for at in breaks]
    found = services.stretches(record(events=tuple(sorted(events, key=lambda e: e.at))), "front", 5, 25)
    assert all(s.began < s.ended for s in found)
    assert all(s.began >= 5 and s.ended <= 25 for s in found)
    assert all(a.ended <= b.began for a, b in itertools.pairwise(found))


# Critical values of the chi-square distribution: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4.
@pytest.mark.parametrize(
    ("freedom", "statistic", "probability"),
    [
        (1, 3.841, 0.05),
        (1, 10.828, 0.001),
        (2, 5.991, 0.05),
        (2, 13.816, 0.001),
        (3, 7.815, 0.05),
        (5, 20.515, 0.001),
        (9, 16.919, 0.05),
        (10, 18.307, 0.05),
    ],
)
def test_chance_is_as_the_tables_have_it(freedom, statistic, probability):
    assert services.by_chance(statistic, freedom) == pytest.approx(probability, rel=0.003)


def test_chance_has_its_ends():
    assert services.by_chance(0.0, 1) == services.by_chance(0.0, 4) == 1.0
    assert services.by_chance(5000.0, 3) == pytest.approx(0, abs=1e-30)


def test_equal_shares_are_seldom_called_unequal_and_unequal_ones_always():
    rng = random.Random(5)  # noqa: S311 - made-up answers
    fair = [Counter(rng.choices("abc", k=600)) for _ in range(400)]
    chances = [services.by_chance(services.chi_square(list(c.values())), 2) for c in fair]
    assert sum(p < 0.05 for p in chances) in range(8, 36), "one in twenty of 400"
    assert min(chances) > 1e-4
    skewed = Counter(rng.choices("abc", weights=(4, 3, 3), k=3000))
    assert services.by_chance(services.chi_square(list(skewed.values())), 2) < 1e-4


def test_answers_are_counted_by_pod_and_none_is_made_up():
    stretch = services.Stretch(1.0, 2.0, frozenset({"front-1", "front-2"}))
    told = [sample(at / 10) for at in range(30)] + [sample(1.5, stream=Stream.KEPT)]
    assert services.answers(told, Stream.FRESH, stretch) == {"front-1": 10, "front-2": 0}


def test_a_kept_connection_that_moves_is_seen_to():
    who = ["a", "a", "b", "b", "a"]
    told = [sample(i / 10, stream=Stream.KEPT, answerer=f"{pod}|1|blue") for i, pod in enumerate(who)]
    assert services.switches(told, Stream.KEPT, services.Stretch(0.0, 9.0, frozenset("ab"))) == (2, 4)


def test_a_second_connection_while_the_first_is_busy_is_no_move():
    """Answers of two pods alternate, and each connection stays with its own."""
    slow = [sample(i / 10, took=0.15, stream=Stream.KEPT, answerer=f"{'ab'[i % 2]}|1|") for i in range(9)]
    assert services.switches(slow, Stream.KEPT, services.Stretch(0.0, 9.0, frozenset("ab"))) == (0, 7)


def test_a_connection_that_failed_is_not_used_again():
    told = [sample(i / 10, stream=Stream.KEPT, answerer=f"{pod}|1|") for i, pod in enumerate("aabb")]
    told[1] = sample(0.1, Outcome.RESET, stream=Stream.KEPT)
    assert services.switches(told, Stream.KEPT, services.Stretch(0.0, 9.0, frozenset("ab"))) == (0, 1)


def test_a_connection_is_kept_through_an_answer_that_is_an_error():
    told = [sample(i / 10, stream=Stream.KEPT, answerer=f"{pod}|1|") for i, pod in enumerate("abb")]
    told[0] = replace(told[0], end=0.15)  # Busy when the second was sent, and given back before the third.
    told[1] = replace(told[1], end=0.18, status=503, outcome=Outcome.HTTP_ERROR)
    assert services.switches(told, Stream.KEPT, services.Stretch(0.0, 9.0, frozenset("ab"))) == (0, 1)


def test_an_address_counts_from_when_it_was_seen():
    old = service(0, "10.96.0.5")
    told = record(
        events=(old, gone(4, old.object, "service"), service(4.1, "10.96.0.9", "s2"), service(5, "1.1.1.1", name="x"))
    )
    assert services.addresses(told, "back") == ((0, "10.96.0.5"), (4, ""), (4.1, "10.96.0.9"))


def look(at, dns, *, pod="front-1", environment="10.96.0.5", used="dns", error=""):
    data = {"pod": pod, "uid": f"u-{pod}", "service": "back", "began": at, "ended": at + 0.1, "used": used}
    return Sight(
        at + 0.1, "look", "look up", {**data, "dns": [dns] if dns else [], "error": error, "environment": environment}
    )


def test_a_change_is_seen_between_the_last_wrong_look_and_the_first_right_one():
    looks = [look(1, "old"), look(2, "old"), look(3, "new"), look(4, "new")]
    (found,) = services.seen_since(looks, "dns", "new", 0.5)
    assert (found.right_after, found.right_by, found.last) == (2, 3.1, 4.1)


def test_a_right_look_does_not_count_before_the_last_wrong_one():
    looks = [look(1, "new"), look(2, "", error="no answer within 3 s"), look(3, "new")]
    (found,) = services.seen_since(looks, "dns", "new", 0.5)
    assert (found.right_by, found.found) == (3.1, "no answer within 3 s")


def test_what_is_used_decides_and_an_environment_never_changes():
    looks = [look(at, "new", used="environment") for at in (1, 2, 3)]
    (found,) = services.seen_since(looks, "used", "new", 0.5)
    assert (found.right_by, found.found) == (None, "10.96.0.5")
    assert services.seen_since(looks, "dns", "new", 0.5)[0].right_by == 1.1
    assert services.seen_since(looks, "dns", "new", 9.0) == ()


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_the_bracket_of_a_change_is_ordered(rights):
    looks = [look(i, "new" if right else "old") for i, right in enumerate(rights)]
    (found,) = services.seen_since(looks, "dns", "new", 0.0)
    assert (found.right_by is None) == (not rights[-1])
    assert found.right_by is None or found.right_after < found.right_by <= found.last


def test_how_probable_it_is_to_miss_a_pod():
    assert services.missed_by_chance(2, 2, 10) == pytest.approx(2 * 0.5**10)
    assert services.missed_by_chance(1, 4, 60) == pytest.approx(0.75**60)
    assert services.missed_by_chance(3, 3, 0) == 1.0
