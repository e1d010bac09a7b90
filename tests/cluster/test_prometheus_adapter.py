"""The Metrics port on the real Prometheus of the embedded cluster."""

from __future__ import annotations

import math
import time

import pytest

from chaoskit.adapters.prometheus import PrometheusMetrics

pytestmark = pytest.mark.cluster


@pytest.fixture
def metrics(embedded_cluster):
    return PrometheusMetrics(embedded_cluster.prometheus_url)


def test_it_answers_with_what_it_scraped(metrics):
    deadline = time.monotonic() + 30
    while not (answer := metrics.instant("up == 1", time.time())).series:
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    assert (answer.error, answer.warnings) == ("", ())
    assert all(value == 1 for s in answer.series for _, value in s.points)


def test_a_range_has_the_steps_asked_for_to_the_millisecond(metrics):
    end = math.floor(time.time()) + 0.25
    answer = metrics.range("vector(1)", end - 2, end, 0.5)
    assert [t for t, _ in answer.series[0].points] == [end - 2, end - 1.5, end - 1, end - 0.5, end]


def test_the_scrape_interval_is_read_from_its_configuration(metrics):
    assert metrics.scrape_interval() == 1.0


def test_a_wrong_query_is_told_in_prometheus_own_words(metrics):
    assert "parse error" in metrics.instant("sum(", time.time()).error
    assert math.isnan(metrics.instant("vector(0) / vector(0)", time.time()).series[0].points[0][1])


def test_it_is_not_another_server(embedded_cluster):
    assert PrometheusMetrics(embedded_cluster.prometheus_url + "/nowhere").trouble()
