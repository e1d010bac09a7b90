"""What is asked of Prometheus, and what comes of its answers, good and bad."""

from __future__ import annotations

import base64
import math
import time
from urllib.parse import parse_qs

import certifi
import pytest

from chaoskit.adapters.kube import KubeCluster
from chaoskit.adapters.prometheus import DEFAULT_SCRAPE_S, PrometheusMetrics, interval_in
from chaoskit.adapters.urls import shown_url
from chaoskit.errors import PortError, UsageError

QUERY, RANGE, CONFIG = "/api/v1/query", "/api/v1/query_range", "/api/v1/status/config"
PASSWORD = "s3cr3t"  # noqa: S105


@pytest.fixture
def metrics(served):
    return PrometheusMetrics(served.url)


def success(script, kind, result, **more):
    return script.reply({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def form(asked):
    return {key: value[0] for key, value in parse_qs(asked.body.decode()).items()}


def test_a_vector_is_read_whole(served, script, metrics):
    sample = {"metric": {"pod": "front-1"}, "value": [1700000000.123, "0.25"]}
    served.on("POST", QUERY, success(script, "vector", [sample]))
    answer = metrics.instant("up", 1700000000.1234)
    assert (answer.query, answer.error, answer.warnings) == ("up", "", ())
    assert answer.series[0].labels == {"pod": "front-1"}
    assert answer.series[0].points == ((1700000000.123, 0.25),)


def test_a_range_is_read_whole(served, script, metrics):
    series = [{"metric": {"a": "b"}, "values": [[1.0, "1"], [1.5, "2"]]}, {"metric": {}, "values": [[1.5, "3"]]}]
    served.on("POST", RANGE, success(script, "matrix", series))
    answer = metrics.range("x", 1.0, 1.5, 0.5)
    assert [s.points for s in answer.series] == [((1.0, 1.0), (1.5, 2.0)), ((1.5, 3.0),)]


def test_the_query_is_in_the_body_with_times_to_the_millisecond_and_a_limit(served, script, metrics):
    served.on("POST", QUERY, success(script, "vector", []))
    served.on("POST", RANGE, success(script, "matrix", []))
    metrics.instant("a + b", 1700000000.1234)
    metrics.range("a + b", 1700000000.25, 1700000001.75, 0.5)
    at, span = served.asked("POST")
    assert at.query == span.query == {}
    assert form(at) == {"query": "a + b", "time": "1700000000.123", "timeout": "5s"}
    assert form(span) == {
        "query": "a + b",
        "start": "1700000000.250",
        "end": "1700000001.750",
        "step": "0.500",
        "timeout": "5s",
    }


def test_warnings_are_kept(served, script, metrics):
    served.on("POST", QUERY, success(script, "vector", [], warnings=["store-2 did not answer"]))
    assert metrics.instant("up", 1.0).warnings == ("store-2 did not answer",)


def test_of_infos_only_that_buckets_were_mended_is_a_warning(served, script, metrics):
    mended = "PromQL info: input to histogram_quantile needed to be fixed for monotonicity"
    infos = ["PromQL info: metric might not be a counter", mended]
    served.on("POST", QUERY, success(script, "vector", [], infos=infos))
    assert metrics.instant("up", 1.0).warnings == (mended,)


def test_no_data_is_an_answer_without_series(served, script, metrics):
    served.on("POST", QUERY, success(script, "vector", []))
    answer = metrics.instant("nosuch", 1.0)
    assert (answer.series, answer.error) == ((), "")


def test_values_that_are_no_numbers_stay_what_they_are(served, script, metrics):
    values = [{"metric": {"n": str(n)}, "value": [1, v]} for n, v in enumerate(("NaN", "+Inf", "-Inf"))]
    served.on("POST", QUERY, success(script, "vector", values))
    nan, up, down = (s.points[0][1] for s in metrics.instant("x", 1.0).series)
    assert math.isnan(nan)
    assert (up, down) == (math.inf, -math.inf)


def test_a_scalar_is_a_series_without_labels(served, script, metrics):
    served.on("POST", QUERY, success(script, "scalar", [1.5, "42"]))
    answer = metrics.instant("scalar(x)", 1.5)
    assert [(dict(s.labels), s.points) for s in answer.series] == [({}, ((1.5, 42.0),))]


def test_native_histograms_are_not_left_out_in_silence(served, script, metrics):
    mixed = [{"metric": {}, "value": [1, "1"]}, {"metric": {"h": "1"}, "histogram": [1, {"count": "2"}]}]
    served.on("POST", QUERY, success(script, "vector", mixed))
    answer = metrics.instant("x", 1.0)
    assert len(answer.series) == 1
    assert "native histograms are left out" in answer.warnings[0]


@pytest.mark.parametrize(
    "result", [[{"value": [1, "1"]}], [{"metric": {}, "value": [1]}], [{"metric": {}, "value": 3}], 7]
)
def test_an_answer_out_of_shape_is_an_error_not_a_traceback(served, script, metrics, result):
    served.on("POST", QUERY, success(script, "vector", result))
    assert "cannot be read" in metrics.instant("x", 1.0).error


def test_a_text_is_no_number(served, script, metrics):
    served.on("POST", QUERY, success(script, "string", [1, "a"]))
    assert metrics.instant('"a"', 1.0).error == "the query gives a string, not numbers"


@pytest.mark.parametrize("status", [400, 422, 503])
def test_prometheus_own_words_are_the_error(served, script, metrics, status):
    body = {"status": "error", "errorType": "bad_data", "error": "1:4: parse error: unclosed left brace"}
    served.on("POST", QUERY, script.reply(body, status))
    answer = metrics.instant("up{", 1.0)
    assert (answer.error, answer.series) == ("bad_data: 1:4: parse error: unclosed left brace", ())


@pytest.mark.parametrize("status", [200, 404])
def test_another_web_page_is_told_apart(served, script, metrics, status):
    served.on("POST", QUERY, script.reply(b"<html>Grafana</html>", status, {"Content-Type": "text/html"}))
    trouble = metrics.trouble()
    assert f"not the address of a Prometheus at {served.url}" in trouble
    assert f"HTTP {status} and text/html" in trouble


def test_a_failing_server_is_told(served, script, metrics):
    served.on("POST", QUERY, script.reply(b"upstream is gone", 502, {"Content-Type": "text/plain"}))
    assert metrics.trouble() == f"Prometheus fails at {served.url}: HTTP 502: upstream is gone"


def test_its_clock_is_asked_for_without_a_time_of_ours(served, script, metrics):
    served.on("POST", QUERY, success(script, "scalar", [1700000000.25, "1700000000.25"]))
    assert metrics.clock_unix() == pytest.approx(1700000000.25)
    assert b"time%28%29" in served.asked("POST", QUERY)[0].body
    assert b"time=" not in served.asked("POST", QUERY)[0].body
    served.on("POST", QUERY, script.reply(b"upstream is gone", 502, {"Content-Type": "text/plain"}))
    with pytest.raises(PortError, match="does not tell its time"):
        metrics.clock_unix()


def test_nobody_there_is_told_at_once():
    began = time.monotonic()
    error = PrometheusMetrics(f"http://me:{PASSWORD}@127.0.0.1:1").instant("up", 1.0).error
    assert time.monotonic() - began < 2
    assert error == "Prometheus does not answer at http://…@127.0.0.1:1: Connection refused"


def test_a_slow_answer_has_a_deadline(served, script):
    served.on("POST", QUERY, script.reply({}, after_s=3))
    began = time.monotonic()
    error = PrometheusMetrics(served.url, timeout_s=0.3).instant("up", 1.0).error
    assert time.monotonic() - began < 2
    assert error == f"Prometheus does not answer at {served.url}: no answer for 0.3 s"


def test_where_post_is_refused_get_is_used(served, script, metrics):
    served.on("POST", QUERY, script.reply(b"", 405))
    served.on("GET", QUERY, success(script, "vector", []))
    assert metrics.instant("up", 1.0).error == ""
    assert metrics.instant("up", 2.0).error == ""
    assert [a.method for a in served.asked()] == ["POST", "GET", "GET"]
    assert served.asked("GET", QUERY)[0].query["query"] == "up"


def test_a_prometheus_on_this_machine_is_asked_without_a_proxy(served, script, metrics, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    served.on("POST", QUERY, success(script, "vector", []))
    assert metrics.trouble() == ""


def test_the_ca_file_given_is_the_one_trusted(served, script, secured, monkeypatch):
    served.on("POST", QUERY, success(script, "vector", []))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert PrometheusMetrics(secured.url, verify=str(secured.certificate)).trouble() == ""
    assert "self-signed certificate" in PrometheusMetrics(secured.url).trouble()
    assert "/nowhere/ca.pem" in PrometheusMetrics(secured.url, verify="/nowhere/ca.pem").trouble()


def test_a_password_in_the_url_is_sent_and_never_shown(served, script):
    served.on("POST", "/prom" + QUERY, script.reply(b"no", 401, {"Content-Type": "text/plain"}))
    metrics = PrometheusMetrics(served.url.replace("//", f"//me:{PASSWORD}%21@") + "/prom/")
    error = metrics.instant("up", 1.0).error
    sent = served.asked("POST")[0].headers["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"me:{PASSWORD}!"
    assert "refuses the credentials" in error
    assert PASSWORD not in error + metrics.shown


def test_a_token_is_sent(served, script):
    served.on("POST", QUERY, success(script, "vector", []))
    PrometheusMetrics(served.url, token=PASSWORD, headers={"X-Scope-OrgID": "shop"}).instant("up", 1.0)
    headers = served.asked("POST")[0].headers
    assert (headers["Authorization"], headers["X-Scope-OrgID"]) == (f"Bearer {PASSWORD}", "shop")


@pytest.mark.parametrize(
    "url", ["", "prometheus:9090", "ftp://host/", "http://", "http://host:notaport", "http://[::1"]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match="is no URL"):
        PrometheusMetrics(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"http://me:{PASSWORD}@host:9090/x", "http://…@host:9090/x"),
        (f"https://{PASSWORD}@host", "https://…@host"),
        (f"http://me:{PASSWORD}@with@ats@host/", "http://…@host/"),
        ("http://host:9090/a@b", "http://host:9090/a@b"),
        ("http://host", "http://host"),
    ],
)
def test_shown_url(url, shown):
    assert shown_url(url) == shown


CONFIGURATION = """
global:
  scrape_interval: 15s
scrape_configs:
- job_name: pods
  scrape_interval: 1s
- job_name: kube-state-metrics
  scrape_interval: 1m30s
- job_name: node-exporter
  scrape_interval: 5m
"""


def test_the_longest_interval_of_our_jobs_counts(served, script, metrics):
    served.on("GET", CONFIG, script.reply({"status": "success", "data": {"yaml": CONFIGURATION}}))
    assert metrics.scrape_interval() == 90.0
    assert metrics.scrape_interval() == 90.0
    assert len(served.asked("GET", CONFIG)) == 1


@pytest.mark.parametrize(
    ("configuration", "interval"),
    [
        ("global: {scrape_interval: 30s}\nscrape_configs: [{job_name: x, scrape_interval: 2s}]", 30.0),
        ("global: {}", None),
        ("global: {scrape_interval: often}", None),
        ("", None),
        ("a: [", None),
    ],
)
def test_else_the_global_interval_counts(configuration, interval):
    assert interval_in(configuration) == interval


def test_a_server_that_does_not_tell_is_taken_as_usual(served, metrics):
    assert metrics.scrape_interval() == DEFAULT_SCRAPE_S


def test_through_the_api_server(served, script, write_kubeconfig):
    proxy = "/api/v1/namespaces/monitoring/services/prom%3A9090/proxy"
    served.on("GET", proxy + QUERY, success(script, "vector", [{"metric": {}, "value": [1, "2"]}]))
    cluster = KubeCluster.connect(write_kubeconfig(served.url), None)
    metrics = PrometheusMetrics.through(cluster, "monitoring", "prom:9090")
    assert metrics.instant("up", 1.0).series[0].points == ((1.0, 2.0),)
    served.on("GET", proxy + QUERY, script.status(503, 'no endpoints available for service "prom:9090"'))
    assert "no endpoints available" in metrics.instant("up", 1.0).error
    cluster.close()
