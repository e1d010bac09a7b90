"""What an order is, as users send it and as versions of the shop write it down.

Schema 1 is `{"item", "quantity"}`. Schema 2 is `{"schema": 2, "lines": [{"item", "quantity"}]}`, which a version that
knows only 1 cannot read: two versions that share a store have to agree, and a change like this has to come in two steps
(first a version that reads both, then one that writes the new one). Each version reads what is not newer than it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .httpd import RequestError

ITEMS = {"tea": 450, "cup": 1200, "pot": 3900, "spoon": 250, "kettle": 5900}
"""What is sold, with its price in cents."""
ON_HAND = 1_000_000_000
"""Of each item; so many that no load sells out."""
MOST = 1000
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class Order:
    item: str
    quantity: int


class UnreadableError(Exception):
    """An order was written by a version that is newer than this one, or is none."""


def parse(body: bytes) -> tuple[str, Order]:
    """Id and order out of a user's JSON. Raises RequestError 400 that says what is wrong."""
    fields = json_object(body)
    order_id, item, quantity = fields.get("id"), fields.get("item"), fields.get("quantity", 1)
    if not isinstance(order_id, str) or not ID.fullmatch(order_id):
        raise RequestError(
            400, "give the order an id of up to 64 letters, digits, '.', '_' or '-': it makes retries safe"
        )
    if not isinstance(item, str) or item not in ITEMS:
        raise RequestError(400, f"there is no item {str(item)[:40]!r}: one of {', '.join(ITEMS)}")
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 1 <= quantity <= MOST:
        raise RequestError(400, f"quantity must be a whole number from 1 to {MOST}")
    return order_id, Order(item, quantity)


def json_object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(400, "the body is not a JSON object")
    return value


def written(order: Order, schema: int) -> dict[str, object]:
    line: dict[str, object] = {"item": order.item, "quantity": order.quantity}
    return line if schema == 1 else {"schema": 2, "lines": [line]}


def read(value: object, newest: int) -> Order:
    """Raises UnreadableError."""
    match value:
        case {"schema": 2, "lines": [{"item": str(item), "quantity": int(quantity)}]} if newest >= 2:
            return Order(item, quantity)
        case {"item": str(item), "quantity": int(quantity)}:
            return Order(item, quantity)
    raise UnreadableError(f"this version reads orders up to schema {newest}, and this is none of them")
