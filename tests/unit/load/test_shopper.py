"""The built-in shoppers, against the real reference app and against shops that go wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaoskit.refapp
from chaoskit.samples import Outcome
from chaoskit.spec import SHOPPER_FILE

pytestmark = pytest.mark.slow

NAMES = {"GET /", "GET /items", "POST /orders", "GET /orders/[id]"}
PATIENCE_S = 20.0


class Shop:
    """The reference app's three roles as processes on loopback."""

    def __init__(self, folder: Path, **store: str) -> None:
        """`store`: settings of the store."""
        self._folder = folder
        self._of_store = store
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.store_port = self._start("store", **store)
        back = self._start("back", STORE_URL=f"http://127.0.0.1:{self.store_port}")
        self.url = f"http://127.0.0.1:{self._start('front', BACK_URL=f'http://127.0.0.1:{back}')}"

    def _start(self, role: str, port: int = 0, **environment: str) -> int:
        data, log = self._folder / role, self._folder / f"{role}.log"
        data.mkdir(exist_ok=True)
        settings = {"HOST": "127.0.0.1", "PORT": str(port), "DATA": str(data), "DRAIN_SECONDS": "0", "POD_NAME": role}
        with log.open("wb") as out:
            self._running[role] = subprocess.Popen(
                [sys.executable, "-m", "app", role],
                cwd=Path(chaoskit.refapp.__file__).parent,
                env={"PATH": os.environ["PATH"], **settings, **environment},
                stdout=out,
                stderr=out,
            )
        return self._port(log)

    @staticmethod
    def _port(log: Path) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for line in log.read_text().splitlines():
                if line.startswith("{") and (event := json.loads(line))["event"] == "listening":
                    return int(event["port"])
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)

    def kill_the_store(self) -> None:
        """It comes back with the disk that it had."""
        self._end("store")
        self._start("store", self.store_port, **self._of_store)

    def lose_all_orders(self) -> None:
        """The store comes back with an empty disk."""
        self._end("store")
        shutil.rmtree(self._folder / "store")
        self._start("store", self.store_port)

    def _end(self, role: str) -> None:
        self._running[role].kill()
        self._running.pop(role).wait()

    def close(self) -> None:
        for role in list(self._running):
            self._end(role)


@pytest.fixture
def shop(tmp_path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.fixture
def shoppers(start, monkeypatch):
    def begin(host: str):
        monkeypatch.setenv("CHAOSKIT_SHOPPER_RATE", "20")
        return start("agent", locustfile=str(SHOPPER_FILE), host=host, users=4, spawn_rate=100, stop_after_s=30)

    return begin


def test_they_shop_at_their_pace_and_find_nothing_wrong(shop, shoppers):
    process = shoppers(shop.url)
    began = process.wait_for(lambda line: line["users"] == 4 and line["sent"] > 0)
    line = process.wait_for(lambda line: line["sent"] >= 120)
    process.stop()
    samples = process.samples()
    assert {s.name for s in samples} == NAMES
    assert Counter(s.outcome for s in samples if not s.ok) == {}
    assert all(s.answerer.startswith("front|") for s in samples)
    rate = (line["sent"] - began["sent"]) / (line["t"] - began["t"])
    assert rate + line["behind"] / (line["t"] - began["t"]) == pytest.approx(80, rel=0.3)


def test_an_order_that_the_shop_acknowledged_and_lost_is_a_failure(shop, shoppers):
    process = shoppers(shop.url)
    process.wait_for(lambda line: line["sent"] >= 80)
    shop.lose_all_orders()
    lost = process.now()
    line = process.wait_for(lambda line: line["t"] > lost + 2)
    assert line["failed"] > 0
    process.stop()
    gone = [s for s in process.samples() if s.intended > lost and s.name == "GET /orders/[id]" and s.status == 404]
    assert gone
    assert {s.outcome for s in gone} == {Outcome.HTTP_ERROR}


def test_an_answer_of_the_wrong_kind_is_a_failure(server, shoppers):
    process = shoppers(server.url)  # It answers everything with the same page, orders too.
    process.wait_for(lambda line: line["failed"] >= 5)
    process.stop()
    assert {s.name for s in process.samples() if s.outcome is Outcome.HTTP_ERROR} == {"POST /orders"}
    assert {s.name for s in process.samples() if s.ok} == {"GET /", "GET /items"}
