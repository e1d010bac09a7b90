"""Queries that cannot be right are refused, those that may mislead are warned of, and the rest are let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit import promql, spec
from chaoskit.errors import ExperimentError

EXPERIMENT = """\
name: the shop survives losing a pod
metrics:
  errors: '{query}'
steps:
  - name: lose a pod
    kill_pod: {{of: deployment/front}}
expect:
  - metric: errors < 1%
"""


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("rate(shop_requests_total", "no PromQL"),
        ("", "no PromQL"),
        ("rate(shop_requests_total[3s])", "fewer than 4 scrapes even of 1 s"),
        ("sum(increase(shop_requests_total[2s]))", "fewer than 4 scrapes even of 1 s"),
        ("rate(sum(shop_requests_total)[1m:1s])", "a counter that starts anew is hidden in the sum"),
        ("increase((max by (pod) (shop_requests_total))[5m:])", "hidden in the max"),
        ("rate((a_total + b_total)[5m:])", "rate of a sum"),
        ("rate((a_total * 8)[3s:1s])", "fewer than 4 scrapes even of 1 s"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_place(query, why):
    with pytest.raises(ExperimentError) as told:
        spec.loads(EXPERIMENT.format(query=query), "shop.yaml")
    assert len(told.value.problems) == 1
    assert told.value.problems[0].startswith("shop.yaml:3:")
    assert why in told.value.problems[0]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("rate(shop_requests_total[30s])", "even of 15 s; write [$window]"),
        ("shop_errors / shop_requests", "division by shop_requests"),
        ("sum(rate(a_total[$window])) / sum(rate(b_total[$window]))", "division by sum(rate(b_total{}[$window]))"),
        ("a / (b > bool 0)", "can be zero"),
        ("a / clamp_min(b, 0)", "can be zero"),
        ("a / 0", "can be zero"),
        ("a / clamp_min(b, -1)", "can be zero"),
        ("a / (b >= 0)", "can be zero"),
        ("a / (b < 5)", "can be zero"),
        ("a / (b > -1)", "can be zero"),
        ("a / (b != 1)", "can be zero"),
        ("a / (b > c)", "can be zero"),
        ("a / stddev(b > 0)", "can be zero"),
    ],
)
def test_what_may_mislead_is_warned_of_and_runs(query, why):
    warnings = spec.loads(EXPERIMENT.format(query=query), "shop.yaml").warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("shop.yaml:3:")
    assert why in warnings[0]


@pytest.mark.parametrize(
    "query",
    [
        "rate(shop_requests_total[$window])",
        "sum(rate(shop_requests_total[${window}]))",
        "rate(shop_requests_total[1m])",
        "a / 2",
        "a / (b > 0)",
        "a / (b >= 0.001)",
        "a / (b != 0)",
        "a / sum(b > 10)",
        "rate((a_total + 1)[1m:])",
        "sum(a) / (sum(rate(b_total[$window])) > 0) or vector(0)",
        "a / clamp_min(b, 1)",
        "a / count(b)",
        'kube_deployment_status_replicas_ready{namespace="$namespace",deployment="front"}',
        "max_over_time(sum(a)[1m:1s])",
    ],
)
def test_what_is_right_is_let_through(query):
    assert promql.concerns(query) == []


P99 = 'histogram_quantile(0.99, sum by (le) (rate(shop_seconds_bucket{app="front"}[$window])))'
SHOP = 'shop_seconds_bucket{app="front"}'
OTHER = "histogram_quantile(0.5, rate(other_bucket[1m]))"


@pytest.mark.parametrize(
    ("query", "series", "scale"),
    [
        (P99, (SHOP,), 1),
        (f"max({P99})", (SHOP,), 1),
        (f"topk(2, ({P99}))", (SHOP,), 1),
        (f"max_over_time({P99}[5m:])", (SHOP,), 1),
        (f"1000 * {P99}", (SHOP,), 1000),
        (f"{P99} * 1e3", (SHOP,), 1000),
        (f"{P99} / 60", (SHOP,), 1 / 60),
        (f"{P99} > 0", (SHOP,), 1),
        (f"{P99} and on() up", (SHOP,), 1),
        (f"{P99} or vector(0)", (SHOP,), 1),
        (f"{P99} or {OTHER}", (SHOP, "other_bucket"), 1),
    ],
)
def test_the_series_behind_a_quantile_are_found(query, series, scale):
    found = promql.quantile(query)
    assert found is not None
    assert (found.series, found.scale) == (series, scale)
    assert promql.concerns(query) == []


@pytest.mark.parametrize(
    "query",
    [
        f"{P99} - {OTHER}",
        f"avg({P99})",
        f"avg_over_time({P99}[5m:])",
        f"{P99} > bool 0.3",
        f"-1 * {P99}",
        f"clamp_max({P99}, 0.2)",
        f"1000 * {P99} or {OTHER}",
    ],
)
def test_what_is_calculated_from_a_quantile_is_warned_of(query):
    assert promql.quantile(query) is None
    (concern,) = promql.concerns(query)
    assert "calculated from a quantile" in concern.what
    assert not concern.refused


def test_what_has_no_quantile_in_it_is_none():
    for query in ("rate(shop_seconds_count[1m])", "up", "sum(shop_seconds_bucket)", "no promql ("):
        assert promql.quantile(query) is None


def test_a_limit_of_a_quantile_is_warned_of_at_its_place():
    text = EXPERIMENT.format(query=P99).replace("errors < 1%", "errors < 300ms")
    (warning,) = spec.loads(text, "shop.yaml").warnings
    assert warning.startswith("shop.yaml:8:")
    assert "errors < 300ms" in warning
    assert "chaoskit plan" in warning


def test_only_ranges_written_as_numbers_count_as_short():
    assert promql.shortest_range_s("rate(a[$window]) + rate(b[20s]) + rate(c[1m])") == 20
    assert promql.shortest_range_s("rate(a[$window])") is None


@given(st.text(max_size=200))
def test_whatever_is_written_is_answered(query):
    for concern in promql.concerns(query):
        assert concern.what
