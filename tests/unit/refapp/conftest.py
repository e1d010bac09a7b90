"""The real shop, as processes on loopback."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import chaoskit.refapp

ROOT = Path(chaoskit.refapp.__file__).parent
DEADLINE_S = 20.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"not within {DEADLINE_S} s: {what}")
        time.sleep(0.01)


class Role:
    """One process of the shop."""

    def __init__(self, name: str, folder: Path, **environment: str) -> None:
        self.log = folder / f"{name}-{time.monotonic_ns()}.log"
        defaults = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DRAIN_SECONDS": "0",
            "DATA": str(folder),
            "POD_NAME": f"{name}-0",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-E", "-s", "-S", "-m", "app", name],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **defaults, **environment},
                stdout=log,
                stderr=log,
            )
        self.port = 0

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def wait_for(self, event: str) -> dict[str, Any]:
        def seen() -> bool:
            if self.process.poll() is not None and event not in self.log.read_text():
                pytest.fail(f"it ended with {self.process.returncode} before {event!r}: {self.log.read_text()}")
            return any(line["event"] == event for line in self.events())

        wait_until(seen, f"{event!r} in the log: {self.log.read_text()}")
        return next(line for line in self.events() if line["event"] == event)

    def listening(self) -> Role:
        self.port = int(self.wait_for("listening")["port"])
        return self

    def started(self) -> Role:
        self.listening().wait_for("started")
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """One request over a connection of its own."""
        connection = self.connect()
        try:
            return exchange(connection, method, path, body)
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Reply:
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(answer.status, headers, answer.read().decode())


class Shop:
    """Front, back and store, wired to each other; `start` adds a process of one's own making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roles: list[Role] = []

    def start(self, name: str, **environment: str) -> Role:
        role = Role(name, self.folder, **environment)
        self.roles.append(role)
        return role

    def open(self, **environment: str) -> Shop:
        """All three, up and ready; the environment is given to each."""
        self.store = self.start("store", **environment).started()
        self.back = self.start("back", **{"STORE_URL": self.store.url, **environment}).started()
        self.front = self.start("front", **{"BACK_URL": self.back.url, **environment}).started()
        return self

    def order(self, order_id: str, item: str = "tea", quantity: int = 1) -> Reply:
        return self.front.ask("POST", "/orders", {"id": order_id, "item": item, "quantity": quantity})

    def close(self) -> None:
        for role in self.roles:
            role.kill()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop with nothing started yet, in a folder of its own."""
    shop = Shop(tmp_path)
    yield shop
    shop.close()


@pytest.fixture(scope="module")
def open_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A running shop that the tests of a module share: do not break it."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    try:
        yield shop.open(REFAPP_DANGEROUS="1", VERSION="7", COLOUR="green")
    finally:
        shop.close()
