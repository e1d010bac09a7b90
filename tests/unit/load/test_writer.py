"""The built-in writers, against the real reference app: what they were promised, and what is there at the end."""

from __future__ import annotations

import json

import pytest
from test_shopper import Shop

from chaoskit.spec import BUILT_IN, WRITER

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def writers(start, monkeypatch):
    def begin(host: str):
        monkeypatch.setenv("CHAOSKIT_WRITER_RATE", "20")
        return start("agent", locustfile=str(BUILT_IN[WRITER]), host=host, users=4, spawn_rate=100, stop_after_s=30)

    return begin


def ledger(folder) -> dict[str, list]:
    found: dict[str, list] = {}
    for line in (folder / "ledger.jsonl").read_text().splitlines():
        told = json.loads(line)
        found.setdefault(told["what"], []).append(told)
    return found


def test_what_was_acknowledged_is_read_at_the_end(shop, writers, tmp_path):
    process = writers(shop.url)
    process.wait_for(lambda line: line["sent"] >= 300)
    process.stop()
    told = ledger(tmp_path)
    promised = [line["id"] for line in told["wrote"] if line["acknowledged"]]
    (last,) = told["read all"]
    assert len(promised) > 100
    assert sorted(last["ids"]) == sorted(promised)
    assert all(line["found"] for line in told["looked up"])
    counts = [line["count"] for line in told["counted"]]
    assert counts == sorted(counts)
    assert all(0 < line["at"] <= line["end"] <= process.now() for line in told["wrote"])
    assert {s.name for s in process.samples()} == {
        "POST /orders",
        "GET /orders",
        "GET /orders/[id]",
        "GET /orders (all)",
    }


def test_what_the_shop_forgot_is_missing_at_the_end(shop, writers, tmp_path):
    process = writers(shop.url)
    line = process.wait_for(lambda line: line["sent"] >= 200)
    shop.lose_all_orders()
    process.wait_for(lambda later: later["t"] > line["t"] + 3)
    process.stop()
    told = ledger(tmp_path)
    promised = {line["id"] for line in told["wrote"] if line["acknowledged"]}
    kept = set(told["read all"][-1]["ids"])
    assert len(promised - kept) > 50
    assert not all(line["found"] for line in told["looked up"])
    assert min(line["count"] for line in told["counted"][-5:]) < max(line["count"] for line in told["counted"])


@pytest.mark.parametrize("early", [False, True])
def test_a_store_that_is_killed_keeps_what_it_wrote_before_it_promised(start, monkeypatch, tmp_path, early):
    shop = Shop(tmp_path, WEAK_ACK_BEFORE_DISK="1" if early else "0")
    monkeypatch.setenv("CHAOSKIT_WRITER_RATE", "20")
    process = start("agent", locustfile=str(BUILT_IN[WRITER]), host=shop.url, users=4, spawn_rate=100, stop_after_s=30)
    try:
        line = process.wait_for(lambda line: line["sent"] >= 200)
        shop.kill_the_store()
        process.wait_for(lambda later: later["t"] > line["t"] + 4)
        process.stop()
    finally:
        shop.close()
    told = ledger(tmp_path)
    promised = {line["id"] for line in told["wrote"] if line["acknowledged"]}
    lost = promised - set(told["read all"][-1]["ids"])
    assert bool(lost) is early


def test_an_order_is_sent_until_it_is_acknowledged(server, writers, tmp_path):
    server.behaviour = "error"
    process = writers(server.url)
    process.wait_for(lambda line: line["failed"] >= 40)
    process.stop()
    told = ledger(tmp_path)
    assert not any(line["acknowledged"] for line in told["wrote"])
    assert len({line["id"] for line in told["wrote"]}) <= 4  # One a writer.
    assert "status 503" in told["read all"][-1]["error"]
