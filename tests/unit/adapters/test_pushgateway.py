"""Pushing a finished run: to Debian's Pushgateway, and to servers that do not take it."""

from __future__ import annotations

import debian
import pytest
import requests
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from chaoskit.adapters.pushgateway import PushGateway
from chaoskit.errors import PortError, UsageError


def registry(**values: float) -> CollectorRegistry:
    found = CollectorRegistry()
    for name, value in values.items():
        Gauge(f"chaoskit_{name}", name, registry=found).set(value)
    return found


def series(url: str) -> dict[tuple[str, str], float]:
    """What the gateway shows to a scrape: (name, experiment) to value."""
    families = text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=5).text)
    shown = [s for f in families for s in f.samples if s.labels.get("job") == "chaoskit"]
    return {(s.name, s.labels["experiment"]): s.value for s in shown if s.name.startswith("chaoskit_")}


@pytest.mark.slow
def test_a_gateway_keeps_the_last_run_of_each_experiment(tmp_path):
    with debian.serving("prometheus-pushgateway", tmp_path) as url:
        gateway = PushGateway(url)
        gateway.push(registry(run_unhealed=1, run_old=1), "lose a pod / twice")
        gateway.push(registry(run_unhealed=2), "lose a node")
        gateway.push(registry(run_unhealed=3), "lose a pod / twice")
        kept = {("chaoskit_run_unhealed", "lose a pod / twice"): 3.0, ("chaoskit_run_unhealed", "lose a node"): 2.0}
        assert series(url) == kept


def test_a_refusal_is_told_with_its_cause(served, script):
    path = "/metrics/job/chaoskit/experiment/x"
    served.on("PUT", path, script.reply(b"pushed metrics are invalid\n", 400), script.reply(b"", 503))
    with pytest.raises(PortError, match="refuses with 400") as raised:
        PushGateway(served.url).push(registry(run_unhealed=1), "x")
    assert raised.value.why == "pushed metrics are invalid"
    with pytest.raises(PortError, match="refuses with 503"):
        PushGateway(served.url).push(registry(run_unhealed=1), "x")


@pytest.mark.parametrize("url", ["", "gateway:9091", "ftp://gateway", "http://"])
def test_what_is_no_url_is_refused_at_once(url):
    with pytest.raises(UsageError, match="no URL of a Pushgateway"):
        PushGateway(url)
