"""A shutdown that no user notices."""

from __future__ import annotations

import http.client
import signal
import threading
import time

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_zero(shop, number):
    store = shop.start("store").started()
    store.signal(number)
    assert store.ended() == 0


def test_it_is_not_ready_at_once_and_serves_on(shop):
    store = shop.start("store", DRAIN_SECONDS="600").started()
    kept = store.connect()
    kept.request("GET", "/orders")
    assert kept.getresponse().read()
    store.signal(signal.SIGTERM)
    store.wait_for("signal")
    ready = store.get("/readyz")
    assert ready.status == 503
    assert "shutting down" in ready.json["why"]
    kept.request("GET", "/orders")
    answer = kept.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    answer.read()
    kept.close()
    assert store.get("/orders").status == 200


def test_it_ends_once_its_time_to_drain_is_over(shop):
    store = shop.start("store", DRAIN_SECONDS="0.5").started()
    store.signal(signal.SIGTERM)
    ended = store.ended()
    signalled, over = store.wait_for("signal")["time"], store.wait_for("ended")["time"]
    assert ended == 0
    assert over - signalled >= 0.5


def test_what_was_begun_is_finished(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1").started()
    clients = [store.connect() for _ in range(4)]
    for client in clients:
        client.request("GET", "/cpu?ms=150")
    while "refapp_requests_in_flight 4" not in store.get("/metrics").text:
        pass
    store.signal(signal.SIGTERM)
    for client in clients:
        assert client.getresponse().status == 200
        client.close()
    assert store.ended() == 0


def test_what_never_finishes_is_cut(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1", FINISH_SECONDS="0.2").started()
    store.get("/hang?seconds=600")
    client = store.connect()
    client.request("GET", "/orders")
    while "refapp_requests_in_flight 1" not in store.get("/metrics").text:
        pass
    store.signal(signal.SIGTERM)
    assert store.ended() == 0
    client.close()
    assert store.wait_for("cut")["connections"] == 1


def test_orders_under_load_are_all_answered_while_it_shuts_down(shop):
    """`Connection: close` moves users with kept connections elsewhere, and they lose nothing by it."""
    shop.open(DRAIN_SECONDS="0.5")
    spare = shop.start("front", BACK_URL=shop.back.url).started()
    answers: list[int] = []

    def user(number: int) -> None:
        connection, place = shop.front.connect(), 0
        while connection.port == shop.front.port:
            place += 1
            connection.request("POST", "/orders", f'{{"id": "{number}-{place}", "item": "tea"}}')
            answer = connection.getresponse()
            answer.read()
            answers.append(answer.status)
            if answer.headers["connection"] == "close":
                connection.close()
                connection = spare.connect()
        connection.close()

    users = [threading.Thread(target=user, args=(number,)) for number in range(8)]
    for thread in users:
        thread.start()
    while len(answers) < 50:
        time.sleep(0.005)
    shop.front.signal(signal.SIGTERM)
    for thread in users:
        thread.join()
    assert shop.front.ended() == 0
    assert set(answers) == {201}
    assert spare.get("/orders").json["count"] == len(answers)


def test_the_weak_version_drops_what_it_was_answering(shop):
    store = shop.start("store", REFAPP_DANGEROUS="1", WEAK_ABRUPT_SHUTDOWN="1").started()
    client = store.connect()
    client.request("GET", "/cpu?ms=5000")
    while "refapp_requests_in_flight 1" not in store.get("/metrics").text:
        pass
    store.signal(signal.SIGTERM)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        client.getresponse()
    client.close()
