"""What the buckets can tell: never more than they can, whatever was observed."""

from __future__ import annotations

import bisect
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stories import EXPERIMENT, NAMESPACE, RUN, SHOP, play, story
from streams import ORIGIN_UNIX

from chaoskit import buckets, conditions, spec
from chaoskit.adapters.fake import FakeWorld
from chaoskit.buckets import Buckets
from chaoskit.model import Answer, Series
from chaoskit.plan import Plan
from chaoskit.session import preview

P99 = "histogram_quantile(0.99, sum by (le) (rate(shop_seconds_bucket[$window])))"
FILLED = P99.replace("$window", "5s")
KEY = "buckets: shop_seconds_bucket"
USUAL = Buckets((0.1, 0.25, 0.5, 1.0))


def told(*rows: dict[str, float], **more) -> dict[str, Answer]:
    """Answers about buckets: for each moment, how many series have each boundary."""
    points: dict[str, list[tuple[float, float]]] = {}
    for second, row in enumerate(rows):
        for le, number in row.items():
            points.setdefault(le, []).append((ORIGIN_UNIX + second, number))
    return {KEY: Answer("q", tuple(Series({"le": le}, tuple(found)) for le, found in points.items()), **more)}


# ── what they can tell ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("x < 300ms", 0.2, ""),
        ("x < 300ms", 0.26, "between the bucket boundaries 0.25 s and 0.5 s"),
        ("x < 300ms", 0.49, "between the bucket boundaries 0.25 s and 0.5 s"),
        ("x < 300ms", 0.5, "between the bucket boundaries 0.25 s and 0.5 s"),
        ("x < 300ms", 0.25, ""),
        ("x < 300ms", 0.51, ""),
        ("x > 300ms", 0.4, "between the bucket boundaries 0.25 s and 0.5 s"),
        ("x > 300ms", 0.2, ""),
        ("x < 50ms", 0.07, "between the bucket boundaries 0 s and 0.1 s"),
        ("x > 0", 0.07, ""),
        ("x < 250ms", 0.24, ""),
        ("x < 250ms", 0.26, ""),
        ("x < 250ms", 0.25, "at most 0.25 s, the boundary of its bucket"),
        ("x <= 250ms", 0.25, ""),
        ("x > 250ms", 0.25, ""),
        ("x >= 250ms", 0.25, "at most 0.25 s"),
        ("x <= 250ms", 0.1 + 0.15, ""),
        ("x == 250ms", 0.2, "at most 0.25 s"),
        ("x == 250ms", 0.3, ""),
        ("x < 2s", 0.9, ""),
        ("x < 2s", 1.0, "at or beyond the last bucket boundary, 1 s"),
        ("x <= 1s", 1.0, "at or beyond the last bucket boundary, 1 s"),
        ("x > 700ms", 1.0, "at or beyond the last bucket boundary, 1 s"),
        ("x < 500ms", 1.0, ""),
    ],
)
def test_a_value_in_the_limit_s_own_bucket_decides_nothing(limit, value, says):
    doubt = USUAL.doubt(conditions.parse(limit), value)
    assert says in doubt
    assert bool(doubt) == bool(says)


def shown(share: float, observed: list[float], boundaries: list[float]) -> float:
    """histogram_quantile as Prometheus has it (promql/quantile.go, bucketQuantile)."""
    counts = [bisect.bisect_right(observed, b) for b in (*boundaries, math.inf)]
    rank = share * len(observed)
    b = next(i for i, count in enumerate(counts) if count >= rank or i == len(boundaries))
    if b == len(boundaries):
        return boundaries[-1]
    if b == 0 and boundaries[0] <= 0:
        return boundaries[0]
    start, before = (boundaries[b - 1], counts[b - 1]) if b else (0.0, 0)
    return start + (boundaries[b] - start) * (rank - before) / (counts[b] - before)


NUMBERS = st.integers(1, 60).map(lambda n: n / 20)


@given(
    st.lists(st.floats(0.001, 4.0), min_size=1, max_size=40).map(sorted),
    st.lists(NUMBERS, min_size=1, max_size=6, unique=True).map(sorted),
    st.sampled_from([0.5, 0.9, 0.99, 1.0]),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    NUMBERS,
)
def test_what_is_decided_is_so(observed, boundaries, share, op, limit):
    """The quantile of what was really observed agrees, wherever there is no doubt."""
    assume(limit not in observed)
    condition = conditions.parse(f"x {op} {limit}")
    true = observed[math.ceil(share * len(observed) - 1e-9) - 1]
    value = shown(share, observed, boundaries)
    worst, doubt = buckets.decisive(condition, [value], Buckets(tuple(boundaries)))
    assert doubt or condition.holds(worst) == condition.holds(true)


# ── where they are known from ────────────────────────────────────────────────────────────────────────────────────────


def test_only_a_quantile_is_asked_for_its_buckets():
    assert buckets.queries(P99) == {KEY: "count by (le) (shop_seconds_bucket)"}
    assert buckets.queries("up") == {}
    assert buckets.read("up", {}) is None


def test_the_boundaries_that_all_series_have_always_had_count():
    whole = {"0.1": 3.0, "0.25": 3.0, "1": 3.0, "+Inf": 3.0}
    assert buckets.read(P99, told(whole, whole)) == Buckets((0.1, 0.25, 1.0))
    mixed = {"0.1": 3.0, "0.25": 1.0, "0.5": 2.0, "1": 3.0, "+Inf": 3.0}
    assert buckets.read(P99, told(whole, mixed)) == Buckets((0.1, 1.0))


def test_they_follow_the_unit_of_the_quantile():
    assert buckets.read(f"1000 * {P99}", told({"0.1": 1.0, "+Inf": 1.0})) == Buckets((100.0,))


def test_native_histograms_have_none():
    assert buckets.read(P99, {KEY: Answer("q", (Series({}, ((ORIGIN_UNIX, 3.0),)),))}) is None


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({}, "never asked"),
        (told(), "no data"),
        (told(error="timeout"), "timeout"),
        (told({"0.1": 1.0}, warnings=("a store is away",)), "a store is away"),
    ],
)
def test_without_them_no_value_decides(answers, why):
    known = buckets.read(P99, answers)
    assert known is not None
    assert known.doubt(conditions.parse("x < 300ms"), 0.001).endswith(why)
    assert known.beside(conditions.parse("x < 300ms")) == ""


def test_of_several_values_one_that_breaks_the_limit_for_certain_decides():
    condition = conditions.parse("x < 300ms")
    assert buckets.decisive(condition, [0.1, 0.4, 0.6], USUAL) == (0.6, "")
    assert buckets.decisive(condition, [0.1, 0.2], USUAL) == (0.2, "")
    value, doubt = buckets.decisive(condition, [0.1, 0.4], USUAL)
    assert value == 0.4
    assert "0.25 s and 0.5 s" in doubt


# ── in a run, and before it ──────────────────────────────────────────────────────────────────────────────────────────


def slow(limit: str) -> str:
    text = EXPERIMENT.replace('"ready_fronts"', f'"ready_fronts", slow: "{P99}"').replace("failures < 1%", limit)
    return text.replace("  - steady_state: {}\n", f"  - metric: {{holds: {limit}, of: lose a pod}}\n")


def world(value: float) -> FakeWorld:
    found = FakeWorld(7)
    found.metrics.table[FILLED] = value
    found.metrics.table["count by (le) (shop_seconds_bucket)"] = [({"le": le}, 3.0) for le in ("0.1", "0.25", "+Inf")]
    return found


def test_a_run_asks_for_the_buckets_and_judges_by_them(tmp_path):
    judged = play(story(tmp_path / "a", slow("slow < 250ms"), world=world(0.2))).judged()
    assert judged.exit_code == 0, judged.sentence
    (finding,) = [f for f in judged.asked if f.name.startswith("slow")]
    assert finding.evidence[1].data == {"boundaries": [0.1, 0.25]}


def test_a_steady_state_that_the_buckets_cannot_tell_is_none(tmp_path):
    run = play(story(tmp_path, slow("slow < 200ms"), world=world(0.15)))
    assert run.judged().exit_code == 3
    assert any("between the bucket boundaries 0.1 s and 0.25 s" in f.reason for f in run.judged().findings)
    assert run.hit() == []


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("slow < 200ms", ["slow < 200ms: the limit lies between the bucket boundaries 0.1 s and 0.25 s"]),
        ("slow < 250ms", []),
        ("slow < 1s", ["slow < 1s: the limit lies beyond the last bucket boundary, 0.25 s"]),
    ],
)
def test_a_plan_tells_between_which_boundaries_a_limit_lies(limit, says):
    there = world(0.1)
    planned = Plan(spec.loads(slow(limit)), RUN, NAMESPACE, 7, manifests=SHOP)
    warnings = preview(planned, there.cluster, there.metrics).warnings
    assert [w.split(": a quantile")[0] for w in warnings] == says


def test_a_plan_tells_of_buckets_that_nobody_has_made_yet_and_of_short_rates():
    there = FakeWorld(7)
    there.metrics.scrape_interval_s = 15.0
    text = slow("slow < 250ms").replace("[$window]", "[30s]")
    planned = Plan(spec.loads(text), RUN, NAMESPACE, 7, manifests=SHOP)
    warnings = preview(planned, there.cluster, there.metrics).warnings
    assert warnings[0] == ("slow: a rate over 30 s sees fewer than 4 scrapes, which are 15 s apart; write [$window]")
    assert "not known yet" in warnings[1]
