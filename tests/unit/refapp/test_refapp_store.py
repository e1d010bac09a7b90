"""The store keeps what it acknowledged, once, whatever happens to its process."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time


def ids(role) -> list[str]:
    listed: list[str] = []
    while page := role.get(f"/orders?after={len(listed)}&limit=1000").json["orders"]:
        listed += [order["id"] for order in page]
    return listed


def put(role, order_id: str, quantity: int = 1):
    return role.ask("PUT", f"/orders/{order_id}", {"item": "tea", "quantity": quantity})


class Writers:
    """Clients of the store, each with a connection; `acknowledged` is what they were promised."""

    def __init__(self, role, count: int, prefix: str) -> None:
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self._threads = [
            threading.Thread(target=self._write, args=(role, f"{prefix}-{number}")) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, role, prefix: str) -> None:
        connection = role.connect()
        try:
            for place in range(100_000):
                order_id = f"{prefix}-{place}"
                self.sent.append(order_id)
                connection.request("PUT", f"/orders/{order_id}", json.dumps({"item": "tea", "quantity": 1}))
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 201
                self.acknowledged.append(order_id)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_what_was_acknowledged_survives_kill_9_and_nothing_appears_twice(shop):
    store = shop.start("store").started()
    acknowledged: set[str] = set()
    sent: set[str] = set()
    seen: list[str] = []
    for life in range(3):
        writers = Writers(store, 8, f"life-{life}")
        while len(writers.acknowledged) < 40:
            time.sleep(0.002)
        store.kill()
        writers.join()
        acknowledged |= set(writers.acknowledged)
        sent |= set(writers.sent)
        store = shop.start("store").started()
        kept = ids(store)
        assert acknowledged <= set(kept) <= sent
        assert len(kept) == len(set(kept))
        assert kept[: len(seen)] == seen, "what was read before a crash is read after it, in the same order"
        seen = kept
    assert put(store, seen[0]).json["repeated"] is True
    assert ids(store) == seen


def test_orders_that_come_together_share_a_commit(shop):
    store = shop.start("store").started()
    writers = Writers(store, 16, "together")
    while len(writers.acknowledged) < 200:
        time.sleep(0.002)
    store.signal(signal.SIGTERM)
    assert store.ended() == 0
    writers.join()
    commits = (shop.folder / "orders.log").read_bytes().splitlines()
    orders = [record["id"] for commit in commits for record in json.loads(commit[9:])]
    assert set(writers.acknowledged) <= set(orders)
    assert len(commits) < len(orders)


def test_a_torn_tail_is_cut_off_and_said(shop):
    store = shop.start("store").started()
    for number in range(5):
        put(store, f"kept-{number}")
    store.kill()
    log = shop.folder / "orders.log"
    whole = log.read_bytes()
    log.write_bytes(whole + whole.splitlines()[-1][:20])
    store = shop.start("store").started()
    assert store.wait_for("recovered")["torn_bytes"] == 20
    assert ids(store) == [f"kept-{number}" for number in range(5)]
    assert put(store, "after").status == 201
    store.kill()
    assert ids(shop.start("store").started())[-1] == "after"


def test_damage_in_the_middle_stops_it_rather_than_lose_orders(shop):
    store = shop.start("store").started()
    for number in range(5):
        put(store, f"kept-{number}")
    store.kill()
    log = shop.folder / "orders.log"
    data = bytearray(log.read_bytes())
    data[30] ^= 1
    log.write_bytes(data)
    store = shop.start("store")
    assert store.ended() == 1
    assert "damaged at byte 0" in store.wait_for("start failed")["why"]
    assert log.read_bytes() == data


def test_a_second_store_waits_for_the_first(shop):
    first = shop.start("store").started()
    put(first, "one")
    second = shop.start("store").listening()
    second.wait_for("waiting")
    assert (second.get("/startupz").status, second.get("/readyz").status, second.get("/livez").status) == (
        503,
        503,
        200,
    )
    assert put(second, "two").status == 503
    put(first, "three")
    first.kill()
    second.wait_for("started")
    assert ids(second) == ["one", "three"]


def test_a_folder_that_cannot_be_written_is_said(shop):
    store = shop.start("store", DATA=str(shop.folder / "missing"))
    assert store.ended() == 1
    assert "missing" in store.wait_for("start failed")["why"]


def test_what_is_no_order_never_reaches_the_log(shop):
    store = shop.start("store").started()
    assert store.ask("PUT", "/orders/bad", {"lines": []}).status == 400
    assert store.ask("PUT", "/orders/bad%20id", {"item": "tea", "quantity": 1}).status == 400
    assert (shop.folder / "orders.log").read_bytes() == b""


def test_the_weak_store_loses_what_it_acknowledged(shop):
    store = shop.start("store", WEAK_ACK_BEFORE_DISK="1").started()
    assert put(store, "promised").status == 201
    store.kill()
    assert ids(shop.start("store").started()) == []
