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
        "sum(a) / (sum(rate(b_total[$window])) > 0) or vector(0)",
        "a / clamp_min(b, 1)",
        "a / count(b)",
        'kube_deployment_status_replicas_ready{namespace="$namespace",deployment="front"}',
        "max_over_time(sum(a)[1m:1s])",
    ],
)
def test_what_is_right_is_let_through(query):
    assert promql.concerns(query) == []


def test_the_series_behind_a_quantile_are_found():
    query = "histogram_quantile(0.99, sum by (le) (rate(shop_duration_seconds_bucket[$window])))"
    assert promql.quantile_buckets(query) == "shop_duration_seconds_bucket"
    assert promql.quantile_buckets("rate(shop_duration_seconds_count[1m])") == ""


def test_only_ranges_written_as_numbers_count_as_short():
    assert promql.shortest_range_s("rate(a[$window]) + rate(b[20s]) + rate(c[1m])") == 20
    assert promql.shortest_range_s("rate(a[$window])") is None


@given(st.text(max_size=200))
def test_whatever_is_written_is_answered(query):
    for concern in promql.concerns(query):
        assert concern.what
