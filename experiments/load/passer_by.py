"""Shoppers who come by for one request at a time: each on a connection of its own, so each meets any version.

A shopper who keeps the connection stays with the pod that it leads to, and never sees what another version makes of its
orders.
"""

from __future__ import annotations

from chaoskit.load.shopper import Shopper


class PasserBy(Shopper):
    abstract = False
    default_headers = {"Connection": "close"}  # noqa: RUF012 - Locust's own attribute


Shopper.abstract = True  # Locust starts every class that it finds here and that is not abstract.
