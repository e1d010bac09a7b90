"""store: where orders are kept. It acknowledges what is on disk, shows nothing else, and keeps each id once.

Orders that arrive while the disk is busy share the next commit (group commit), so a slow disk costs latency and not
throughput. Reads come from memory and see only what is committed: what was read once cannot be gone after a crash.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import orders
from .httpd import Request, RequestError, Response
from .logs import say
from .orderlog import DamagedError, DiskFullError, LockedError, OrderLog, Record
from .service import Service

LOCK_PAUSE_SECONDS = 0.05
MOST_ORDERS = 500_000
"""All of them are kept in memory, about 0.4 kB each; beyond this many the store says that it is full."""
MOST_LISTED = 1000
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
EARLY_WRITE_SECONDS = 1.0
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True, slots=True)
class Kept:
    """An order that is on disk."""

    id: str
    number: int
    """Its place in the order of commits, from 1."""
    order: bytes
    """Its JSON, as `_canonical` writes it: that takes less memory than the objects."""


@dataclass(frozen=True, slots=True)
class Waiting:
    id: str
    order: bytes
    done: asyncio.Future[None]


class Orders:
    """Orders in memory, and their way to the disk."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._log: OrderLog | None = None
        self._kept: dict[str, Kept] = {}
        self._in_order: list[Kept] = []
        self._sold: dict[str, int] = {}
        self._waiting: dict[str, Waiting] = {}
        self._wanted = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._add_metrics()

    def _add_metrics(self) -> None:
        registry = self._service.registry
        registry.total("refapp_orders_total", "Orders on disk.", lambda: len(self._in_order))
        registry.gauge(
            "refapp_store_log_bytes",
            "Size of the log.",
            lambda: float(self._log.size) if self._log is not None else 0.0,
        )
        self._repeated = registry.counter("refapp_orders_repeated_total", "Orders sent again after they were kept.")
        self._fsync = registry.histogram("refapp_store_fsync_seconds", "Time of a commit: write and fdatasync.")
        self._batch = registry.histogram("refapp_store_commit_orders", "Orders in a commit.", bounds=BATCHES)

    async def open(self) -> None:
        """Read the log; wait while another process has it. Raises OSError if it cannot be used."""
        folder = Path(self._service.settings.data)
        try:
            log = await _locked(folder, self._recover)
        except PermissionError as error:
            why = f"user {os.getuid()} may not write to {folder}: set fsGroup, or the folder's owner where it is stored"
            raise PermissionError(error.errno, why) from error
        say("recovered", orders=len(self._in_order), log_bytes=log.size, torn_bytes=log.torn)
        self._log = log
        self._writer = asyncio.create_task(self._write_for_ever(log))

    async def close(self) -> None:
        """What has been accepted is on disk afterwards."""
        while self._waiting:
            await asyncio.sleep(0.005)
        if self._log is not None:
            self._log.close()

    @property
    def count(self) -> int:
        return len(self._in_order)

    @property
    def sold(self) -> dict[str, int]:
        return self._sold

    def get(self, order_id: str) -> Kept | None:
        return self._kept.get(order_id)

    def after(self, number: int, limit: int) -> list[Kept]:
        return self._in_order[number : number + limit]

    def last(self) -> Kept | None:
        return self._in_order[-1] if self._in_order else None

    async def put(self, order_id: str, value: dict[str, object]) -> bool:
        """Keep it, and return once it is on disk; False if it was there before. Raises RequestError."""
        order = _canonical(value)
        kept = self._kept.get(order_id) or self._waiting.get(order_id)
        if kept is not None and kept.order != order:
            raise RequestError(409, f"there is another order with the id {order_id}")
        if isinstance(kept, Kept):
            self._repeated.add()
            return False
        if kept is None:
            kept = self._accept(order_id, order)
        if not self._service.settings.weaknesses.ack_before_disk:
            await asyncio.shield(kept.done)
        return True

    def _accept(self, order_id: str, order: bytes) -> Waiting:
        if len(self._in_order) + len(self._waiting) >= MOST_ORDERS:
            raise RequestError(507, f"the store is full: it keeps {MOST_ORDERS} orders")
        waiting = Waiting(order_id, order, asyncio.get_running_loop().create_future())
        self._waiting[order_id] = waiting
        self._wanted.set()
        return waiting

    async def _write_for_ever(self, log: OrderLog) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._service.settings.weaknesses.ack_before_disk:
                await asyncio.sleep(EARLY_WRITE_SECONDS)
            try:
                await self._commit(log, list(self._waiting.values()))
            except OSError as error:
                say("disk failed", why=str(error))
                self._give_up(error)
                return

    def _give_up(self, error: OSError) -> None:
        """Nobody knows what is on disk now: end, so that the next process reads it."""
        for waiting in self._waiting.values():
            _refuse(waiting, RequestError(500, f"the disk failed, and whether the order is kept is unknown: {error}"))
        self._waiting.clear()
        self._service.stop(1)

    async def _commit(self, log: OrderLog, batch: list[Waiting]) -> None:
        first = len(self._in_order) + 1
        records: list[Record] = [
            {"id": waiting.id, "number": first + place, "order": json.loads(waiting.order)}
            for place, waiting in enumerate(batch)
        ]
        began = time.perf_counter()
        full: DiskFullError | None = None
        try:
            await asyncio.to_thread(log.append, records)
        except DiskFullError as error:
            full = error
        self._fsync.observe(time.perf_counter() - began)
        self._batch.observe(len(batch))
        for waiting, record in zip(batch, records, strict=True):
            del self._waiting[waiting.id]
            if full is not None:
                _refuse(waiting, RequestError(507, str(full)))
                continue
            self._keep(waiting.id, waiting.order, orders.read(record["order"], newest=2))
            waiting.done.set_result(None)

    def _recover(self, record: Record) -> None:
        """Take a record of the log. The store reads every schema: it is the first role to be updated."""
        match record:
            case {"id": str(order_id), "order": dict(order)} if order_id not in self._kept:
                try:
                    self._keep(order_id, _canonical(order), orders.read(order, newest=2))
                except orders.UnreadableError as error:
                    raise DamagedError(errno.EIO, f"order {order_id} in the log: {error}") from error
            case _:
                raise DamagedError(errno.EIO, f"the log holds what this store did not write: {str(record)[:200]}")

    def _keep(self, order_id: str, order: bytes, line: orders.Order) -> None:
        kept = Kept(order_id, len(self._in_order) + 1, order)
        self._kept[order_id] = kept
        self._in_order.append(kept)
        self._sold[line.item] = self._sold.get(line.item, 0) + line.quantity


def _refuse(waiting: Waiting, why: RequestError) -> None:
    waiting.done.set_exception(why)
    waiting.done.exception()  # Looked at here, for the request may have gone; else asyncio would complain.


def _canonical(order: dict[str, object]) -> bytes:
    """Two orders are the same if these bytes are."""
    return _encoded(order).encode()


async def _locked(folder: Path, keep: Callable[[Record], None]) -> OrderLog:
    """In a thread, for a long log takes seconds to read, and the probes want to know meanwhile."""
    told = False
    while True:
        try:
            return await asyncio.to_thread(OrderLog, folder, keep)
        except LockedError as error:
            if not told:
                say("waiting", why=str(error))
                told = True
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


class Store:
    """The routes of the role."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._orders = Orders(service)
        service.on_start = self._orders.open
        service.on_end = self._orders.close
        service.route("PUT", "/orders/{id}", self._put)
        service.route("GET", "/orders/{id}", self._get)
        service.route("GET", "/orders", self._list)
        service.route("GET", "/sold", self._sold)

    async def _put(self, request: Request) -> Response:
        order = orders.json_object(request.body)
        if not orders.ID.fullmatch(request.parameter):
            raise RequestError(400, "the id is not one that the shop allows")
        try:
            orders.read(order, newest=2)
        except orders.UnreadableError as error:
            raise RequestError(400, f"not an order: {error}") from error
        created = await self._orders.put(request.parameter, order)
        return self._service.json({"id": request.parameter, "repeated": not created}, 201 if created else 200)

    async def _get(self, request: Request) -> Response:
        kept = self._orders.get(request.parameter)
        if kept is None:
            raise RequestError(404, f"there is no order {request.parameter[:80]}")
        return self._service.json(_shown(kept))

    async def _list(self, request: Request) -> Response:
        """/orders: how many, and the last; with ?after=N&limit=L also L orders from number N+1 on."""
        last = self._orders.last()
        answer: dict[str, object] = {"count": self._orders.count, "last": _shown(last) if last else None}
        if "after" in request.query or "limit" in request.query:
            after = int(request.number("after", 0, 0, MOST_ORDERS))
            limit = int(request.number("limit", 100, 1, MOST_LISTED))
            answer["orders"] = [_shown(kept) for kept in self._orders.after(after, limit)]
        return self._service.json(answer)

    async def _sold(self, _: Request) -> Response:
        return self._service.json({"sold": self._orders.sold})


def _shown(kept: Kept) -> dict[str, object]:
    return {"id": kept.id, "number": kept.number, "order": json.loads(kept.order)}
