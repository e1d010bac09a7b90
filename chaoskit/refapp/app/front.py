"""front: what shoppers talk to. It keeps nothing, so any replica can answer any request.

While the back is away the page `/` is still served, without stock (`"degraded": true`); what cannot be done without the
back is answered with 503 and the reason.
"""

from __future__ import annotations

import json

from .httpd import Request, RequestError, Response
from .service import Service
from .upstream import Answer, Upstream, UpstreamError


class Front:
    """The routes of the role."""

    def __init__(self, service: Service, back: Upstream) -> None:
        self._service = service
        self._back = back
        service.route("GET", "/", self._page)
        service.route("GET", "/items", self._pass_on)
        service.route("POST", "/orders", self._pass_on)
        service.route("GET", "/orders", self._pass_on)
        service.route("GET", "/orders/{id}", self._pass_on)

    async def _page(self, _: Request) -> Response:
        page: dict[str, object] = {"shop": "refapp", "items": [], "degraded": True, "back": None}
        try:
            told = await self._told("GET", "/items")
        except RequestError as error:
            page["why"] = str(error)
        else:
            page |= {"items": told["items"], "degraded": False, "back": _who(told)}
        return self._service.json(page)

    async def _pass_on(self, request: Request) -> Response:
        """The back's answer as it is, with `back` for who gave it. An order carries its own id, so a retry is safe."""
        query = "&".join(
            f"{name}={value}" for name, value in request.query.items() if name.isalpha() and value.isalnum()
        )
        target = request.path + (f"?{query}" if query else "")
        if not target.isascii() or not target.isprintable() or " " in target:
            raise RequestError(404, "there is no such path")
        answer = await self._ask(request.method.replace("HEAD", "GET"), target, request.body)
        told = json.loads(answer.body)
        return self._service.json({**told, "back": _who(told)}, answer.status)

    async def _told(self, method: str, target: str) -> dict[str, object]:
        answer = await self._ask(method, target)
        told: dict[str, object] = json.loads(answer.body)
        if answer.status != 200:
            raise RequestError(503, f"the back answered {answer.status}: {told.get('error', '')}")
        return told

    async def _ask(self, method: str, target: str, body: bytes = b"") -> Answer:
        try:
            return await self._back.call(method, target, body)
        except UpstreamError as error:
            raise RequestError(503, f"the back is away: {error}", reason=error.reason) from error


def _who(told: dict[str, object]) -> dict[str, object]:
    return {name: told.get(name) for name in ("served_by", "version", "colour")}
