"""What shoppers and operators see of a shop that is well."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.slow


def samples(text):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_answer_says_who_gave_it(open_shop):
    for path, status in (("/", 200), ("/items", 200), ("/readyz", 200), ("/nothing", 404), ("/orders/none", 404)):
        reply = open_shop.front.get(path)
        assert reply.status == status
        assert (reply.headers["x-served-by"], reply.headers["x-version"], reply.headers["x-color"]) == (
            "front-0",
            "7",
            "green",
        )
        assert (reply.json["version"], reply.json["colour"], reply.json["served_by"]) == ("7", "green", "front-0")


def test_the_page_shows_stock_and_who_in_the_back_gave_it(open_shop):
    page = open_shop.front.get("/").json
    assert page["degraded"] is False
    assert page["back"] == {"served_by": "back-0", "version": "7", "colour": "green"}
    assert {item["id"] for item in page["items"]} >= {"tea", "kettle"}
    assert all(isinstance(item["stock"], int) for item in page["items"])


def test_an_order_can_be_read_back_and_is_counted_once(open_shop):
    before = open_shop.front.get("/orders").json["count"]
    assert open_shop.order("read-1", "cup", 3).status == 201
    again = open_shop.order("read-1", "cup", 3)
    assert (again.status, again.json["repeated"]) == (200, True)
    shown = open_shop.front.get("/orders/read-1").json
    assert (shown["id"], shown["item"], shown["quantity"]) == ("read-1", "cup", 3)
    counted = open_shop.front.get("/orders").json
    assert (counted["count"], counted["last"]["id"]) == (before + 1, "read-1")


def test_the_same_id_for_another_order_is_refused(open_shop):
    assert open_shop.order("clash", "cup", 1).status == 201
    assert open_shop.order("clash", "cup", 2).status == 409
    assert open_shop.front.get("/orders/clash").json["quantity"] == 1


def test_orders_are_listed_in_pages(open_shop):
    for number in range(5):
        open_shop.order(f"page-{number}")
    count = open_shop.front.get("/orders").json["count"]
    page = open_shop.front.get(f"/orders?after={count - 3}&limit=2").json["orders"]
    assert [order["id"] for order in page] == ["page-2", "page-3"]
    assert [order["number"] for order in page] == [count - 2, count - 1]


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ({"item": "tea"}, "id"),
        ({"id": "a b", "item": "tea"}, "id"),
        ({"id": "x" * 65, "item": "tea"}, "id"),
        ({"id": "ok", "item": "gold"}, "gold"),
        ({"id": "ok", "item": "tea", "quantity": 0}, "quantity"),
        ({"id": "ok", "item": "tea", "quantity": True}, "quantity"),
        ({"id": "ok", "item": "tea", "quantity": "2"}, "quantity"),
        ([], "object"),
    ],
)
def test_a_wrong_order_is_refused_with_the_reason(open_shop, body, hint):
    reply = open_shop.front.ask("POST", "/orders", body)
    assert reply.status == 400
    assert hint in reply.json["error"]


def test_a_wrong_method_says_which_are_right(open_shop):
    reply = open_shop.front.ask("DELETE", "/orders")
    assert (reply.status, reply.json["error"]) == (405, "/orders takes GET and POST")


@pytest.mark.parametrize("role", ["front", "back", "store"])
def test_metrics_are_prometheus_text_under_the_usual_names(open_shop, role):
    open_shop.order(f"metrics-{role}")
    open_shop.front.get("/")
    process = getattr(open_shop, role)
    reply = process.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(reply.text)
    assert found["refapp_build_info", frozenset({("role", role), ("version", "7"), ("colour", "green")})] == 1
    assert found["refapp_ready", frozenset()] == 1
    assert found["process_resident_memory_bytes", frozenset()] > 5_000_000
    assert found["process_cpu_seconds_total", frozenset()] > 0
    assert found["process_open_fds", frozenset()] > 3
    names = {name for name, _ in found}
    assert {"refapp_requests_total", "refapp_request_duration_seconds_bucket"} <= names
    assert not [labels for _, labels in found if ("path", "/metrics") in labels or ("path", "/readyz") in labels]


def test_requests_are_counted_by_method_route_and_code_and_timed(open_shop):
    labels = {("method", "GET"), ("path", "/orders/{id}")}

    def counts():
        found = samples(open_shop.front.get("/metrics").text)
        return (
            found.get(("refapp_requests_total", frozenset(labels | {("code", "404")})), 0),
            found.get(("refapp_request_duration_seconds_count", frozenset(labels)), 0),
            found.get(("refapp_request_duration_seconds_bucket", frozenset(labels | {("le", "+Inf")})), 0),
        )

    before = counts()
    for number in range(3):
        assert open_shop.front.get(f"/orders/missing-{number}").status == 404
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [3, 3, 3]


def test_the_store_counts_orders_and_times_its_commits(open_shop):
    open_shop.order("counted")
    found = samples(open_shop.store.get("/metrics").text)
    count = open_shop.front.get("/orders").json["count"]
    assert found["refapp_orders_total", frozenset()] == count
    assert 1 <= found["refapp_store_fsync_seconds_count", frozenset()] <= count
    assert found["refapp_store_log_bytes", frozenset()] == (open_shop.folder / "orders.log").stat().st_size


def test_cpu_costs_what_was_asked_and_others_are_served_meanwhile(open_shop):
    def cpu():
        return samples(open_shop.front.get("/metrics").text)["process_cpu_seconds_total", frozenset()]

    before = cpu()
    connection = open_shop.front.connect()
    connection.request("GET", "/cpu?ms=400")
    served = 0
    while cpu() - before < 0.3:
        assert open_shop.front.get("/livez").status == 200
        served += 1
    assert connection.getresponse().status == 200
    connection.close()
    assert served > 3
    assert cpu() - before >= 0.4


def test_memory_is_taken_and_given_back(open_shop):
    def held():
        found = samples(open_shop.back.get("/metrics").text)
        return found["refapp_memory_held_bytes", frozenset()], found["process_resident_memory_bytes", frozenset()]

    _, before = held()
    assert open_shop.back.get("/memory?mb=40&seconds=0.2").json["held_bytes"] == 40 * 2**20
    taken, resident = held()
    if taken:
        assert resident - before > 38 * 2**20
    while held()[0]:
        pass
    assert held()[1] - before < 5 * 2**20


@pytest.mark.parametrize("path", ["/cpu?ms=1e9", "/cpu?ms=x", "/cpu?ms=nan", "/memory?mb=999999", "/hang?what=most"])
def test_what_costs_is_bounded(open_shop, path):
    assert open_shop.front.get(path).status == 400


def test_discovery_tells_addresses_and_variables(open_shop):
    found = open_shop.front.get("/discovery?name=localhost").json
    assert "127.0.0.1" in found["dns"]["localhost"]["addresses"]
    assert found["used"]["back"] == open_shop.back.url
    assert found["environment"] == {}
