"""back: the shop's rules. It knows the catalogue, checks orders, and has the store keep them.

The stock it shows may be a second old and differ between replicas; orders are always read from the store itself.
"""

from __future__ import annotations

import json
import time

from . import orders
from .httpd import Request, RequestError, Response
from .service import Service
from .upstream import Answer, Upstream, UpstreamError

STOCK_SECONDS = 1.0


class Back:
    """The routes of the role."""

    def __init__(self, service: Service, store: Upstream) -> None:
        self._service = service
        self._store = store
        self._sold: dict[str, int] | None = None
        self._sold_at = float("-inf")
        service.route("GET", "/items", self._items)
        service.route("POST", "/orders", self._order)
        service.route("GET", "/orders", self._list)
        service.route("GET", "/orders/{id}", self._get)

    async def _items(self, _: Request) -> Response:
        """The catalogue; `stock` is null while the store has not been reached yet, and old while it is away."""
        await self._refresh()
        items = [
            {"id": item, "price_cents": price, "stock": None if self._sold is None else self._left(item)}
            for item, price in orders.ITEMS.items()
        ]
        return self._service.json({"items": items})

    def _left(self, item: str) -> int:
        return orders.ON_HAND - (self._sold or {}).get(item, 0)

    async def _refresh(self) -> None:
        """Ask the store for what is sold, once a second at most, also while it fails."""
        now = time.monotonic()
        if now - self._sold_at < STOCK_SECONDS:
            return
        self._sold_at = now
        try:
            answer = await self._store.call("GET", "/sold")
        except UpstreamError:
            return
        if answer.status == 200:
            self._sold = json.loads(answer.body)["sold"]

    async def _order(self, request: Request) -> Response:
        """201 once it is on disk, 200 if the same order was there before, 409 if another one has its id."""
        order_id, order = orders.parse(request.body)
        body = json.dumps(orders.written(order, self._service.settings.order_schema)).encode()
        answer = await self._ask("PUT", f"/orders/{order_id}", body)
        told = json.loads(answer.body)
        if answer.status not in (200, 201):
            raise RequestError(answer.status, told.get("error", "the store refused it"))
        shown = {"id": order_id, "item": order.item, "quantity": order.quantity, "repeated": told["repeated"]}
        return self._service.json(shown, answer.status)

    async def _get(self, request: Request) -> Response:
        if not orders.ID.fullmatch(request.parameter):
            raise RequestError(404, "there is no order with such an id")
        answer = await self._ask("GET", f"/orders/{request.parameter}")
        told = json.loads(answer.body)
        if answer.status != 200:
            raise RequestError(answer.status, told.get("error", "the store refused it"))
        return self._service.json(self._shown(told))

    async def _list(self, request: Request) -> Response:
        query = "&".join(
            f"{name}={int(request.number(name, 0, 0, 1e9))}" for name in ("after", "limit") if name in request.query
        )
        answer = await self._ask("GET", "/orders" + (f"?{query}" if query else ""))
        told = json.loads(answer.body)
        if answer.status != 200:
            raise RequestError(answer.status, told.get("error", "the store refused it"))
        shown = {"count": told["count"], "last": self._shown(told["last"]) if told["last"] else None}
        if "orders" in told:
            shown["orders"] = [self._shown(kept) for kept in told["orders"]]
        return self._service.json(shown)

    def _shown(self, kept: dict[str, object]) -> dict[str, object]:
        try:
            order = orders.read(kept["order"], self._service.settings.order_schema)
        except orders.UnreadableError as error:
            raise RequestError(500, f"order {kept['id']}: {error}") from error
        return {"id": kept["id"], "number": kept["number"], "item": order.item, "quantity": order.quantity}

    async def _ask(self, method: str, target: str, body: bytes = b"") -> Answer:
        """May be repeated: reads, and writes that carry the order's own id."""
        try:
            return await self._store.call(method, target, body)
        except UpstreamError as error:
            raise RequestError(503, f"the store is away: {error}", reason=error.reason) from error
