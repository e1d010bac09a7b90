"""The shop when it is broken on purpose, from inside or by losing a part."""

from __future__ import annotations

import http.client
import signal
import socket
import time

import pytest

pytestmark = pytest.mark.slow


def test_trouble_is_switched_off_unless_asked_for(shop):
    store = shop.start("store").started()
    for path in ("/cpu", "/memory", "/crash", "/hang"):
        reply = store.get(path)
        assert reply.status == 403
        assert "REFAPP_DANGEROUS" in reply.json["error"]
    assert store.process.poll() is None


@pytest.mark.parametrize("code", [0, 1, 42])
def test_crash_ends_with_the_code_that_was_asked_for(shop, code):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    assert store.get(f"/crash?code={code}").status == 202
    assert store.ended() == code


def test_abort_ends_by_a_signal(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    store.get("/crash?by=abort")
    assert store.ended() == -signal.SIGABRT


def test_a_hung_pod_may_still_say_that_it_is_ready(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    assert store.get("/hang?seconds=600").status == 202
    client = store.connect()
    client.request("GET", "/orders")
    while "refapp_requests_in_flight 1" not in store.get("/metrics").text:
        pass
    assert store.get("/readyz").status == 200
    assert "refapp_requests_in_flight 1" in store.get("/metrics").text
    client.close()


def test_a_hang_ends_when_it_was_to(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    began = time.monotonic()
    store.get("/hang?seconds=0.5")
    assert store.get("/orders").status == 200
    assert time.monotonic() - began >= 0.5


def test_a_pod_that_hangs_altogether_answers_no_probe(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    store.get("/hang?seconds=600&what=all")
    silent = False
    while not silent:
        connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=0.5)
        try:
            connection.request("GET", "/livez")
            connection.getresponse().read()
        except TimeoutError:
            silent = True
        finally:
            connection.close()
    assert store.process.poll() is None


def test_without_the_back_the_page_is_served_and_the_rest_says_why_not(shop):
    shop.open()
    shop.back.kill()
    page = shop.front.get("/")
    assert (page.status, page.json["degraded"], page.json["items"]) == (200, True, [])
    reply = shop.order("lost")
    assert reply.status == 503
    assert "back is away" in reply.json["error"]
    assert shop.front.get("/readyz").status == 200


def test_without_the_store_items_are_shown_and_orders_refused(shop):
    shop.open()
    shop.store.kill()
    assert shop.front.get("/items").status == 200
    assert shop.order("lost").status == 503
    assert shop.back.get("/readyz").status == 200


def test_a_back_that_returns_is_used_again_at_once(shop):
    shop.open()
    assert shop.front.get("/items").status == 200
    shop.back.kill()
    assert shop.front.get("/items").status == 503
    shop.start("back", STORE_URL=shop.store.url, PORT=str(shop.back.port)).started()
    assert shop.front.get("/items").status == 200


def test_a_kept_connection_that_has_died_costs_no_request(shop):
    shop.open()
    for _ in range(3):
        assert shop.front.get("/items").status == 200
        shop.back.kill()
        shop.back = shop.start("back", STORE_URL=shop.store.url, PORT=str(shop.back.port)).started()


def test_a_back_that_says_nothing_is_given_up_in_time(shop):
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        front = shop.start("front", BACK_URL=f"http://127.0.0.1:{silent.getsockname()[1]}").started()
        began = time.monotonic()
        reply = front.get("/items")
        assert reply.status == 503
        assert reply.json["reason"] == "timeout"
        assert time.monotonic() - began < 10


def test_a_back_that_talks_nonsense_is_an_error_and_no_crash(shop):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = shop.start("front", BACK_URL=f"http://127.0.0.1:{listener.getsockname()[1]}").started()
        client = front.connect()
        client.request("GET", "/items")
        for _ in range(3):
            peer, _ = listener.accept()
            peer.recv(1000)
            peer.sendall(b"220 smtp ready\r\n\r\n")
            peer.close()
        assert client.getresponse().status == 503
        client.close()
        assert front.get("/livez").status == 200


def test_a_name_without_address_is_said(shop):
    front = shop.start("front", BACK_URL="http://back.invalid:8080").started()
    reply = front.get("/items")
    assert (reply.status, reply.json["reason"]) == (503, "dns")
    assert "back.invalid" in reply.json["error"]


def test_the_kubelets_variables_can_be_used_in_place_of_dns(shop):
    shop.open()
    host = {"BACK_SERVICE_HOST": "127.0.0.1", "BACK_SERVICE_PORT": str(shop.back.port)}
    front = shop.start("front", DISCOVERY="env", **host).started()
    assert front.get("/items").status == 200
    assert front.get("/discovery").json["environment"] == host


@pytest.mark.parametrize(
    ("environment", "hint"),
    [
        ({"PORT": "http"}, "PORT is 'http'"),
        ({"DRAIN_SECONDS": "-1"}, "DRAIN_SECONDS"),
        ({"REFAPP_DANGEROUS": "yes"}, "0 or 1"),
        ({"DISCOVERY": "consul"}, "dns or env"),
        ({"DISCOVERY": "env"}, "BACK_SERVICE_HOST"),
        ({"BACK_URL": "back:8080"}, "http://name:port"),
        ({"STARTUP_SECONDS": "nan"}, "STARTUP_SECONDS"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_name(shop, environment, hint):
    front = shop.start("front", **environment)
    assert front.ended() == 2
    assert hint in front.log.read_text()
    assert "Traceback" not in front.log.read_text()


def test_a_role_that_is_none_is_refused(shop):
    role = shop.start("cellar")
    assert role.ended() == 2
    assert "front, back or store" in role.log.read_text()


def test_a_version_that_never_gets_ready_lives(shop):
    store = shop.start("store", WEAK_NEVER_READY="1").started()
    assert (store.get("/readyz").status, store.get("/livez").status, store.get("/startupz").status) == (503, 200, 200)


def test_a_version_that_crashes_does(shop):
    assert shop.start("store", WEAK_CRASH_AFTER="0.1").ended() == 1


def test_a_slow_start_is_told_by_the_probes(shop):
    store = shop.start("store", STARTUP_SECONDS="600").listening()
    assert (store.get("/startupz").status, store.get("/readyz").status, store.get("/livez").status) == (503, 503, 200)
    assert store.get("/orders").status == 503


def test_an_old_version_cannot_read_what_a_newer_one_wrote(shop):
    shop.open()
    newer = shop.start("back", STORE_URL=shop.store.url, ORDER_SCHEMA="2").started()
    assert newer.ask("POST", "/orders", {"id": "new", "item": "pot", "quantity": 2}).status == 201
    assert newer.get("/orders/new").json["quantity"] == 2
    old = shop.back.get("/orders/new")
    assert old.status == 500
    assert "schema" in old.json["error"]
    assert shop.order("old").status == 201
    assert newer.get("/orders/old").json["item"] == "tea"
