"""Grafana's annotations as its documents describe them (Annotations HTTP API): what it keeps, and what it answers."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/api/annotations"
TOKEN = "glsa_secret"  # noqa: S105 - a made-up one
FIRST = 41
FIELDS = {"dashboardUID", "panelId", "time", "timeEnd", "tags", "text"}


class Annotations:
    def __init__(self) -> None:
        self.kept: dict[int, dict[str, Any]] = {}
        self.history: list[tuple[int, dict[str, Any]]] = []

    def answer(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and JSON."""
        if authorization != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        given = json.loads(body)
        if not set(given) <= FIELDS:
            return 400, {"message": f"bad request data: {sorted(set(given) - FIELDS)}"}
        if (method, path) == ("POST", PATH):
            return self._create(given)
        number = re.fullmatch(rf"{PATH}/(\d+)", path)
        if method == "PATCH" and number:
            return self._patch(int(number[1]), given)
        return 404, {"message": "Not found"}

    def _create(self, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not given.get("text"):
            return 400, {"message": "Failed to save annotation"}
        number = FIRST + len(self.history)
        self._keep(number, given)
        return 200, {"message": "Annotation added", "id": number}

    def _patch(self, number: int, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if number not in self.kept:
            return 404, {"message": "Annotation not found"}
        self._keep(number, self.kept[number] | given)
        return 200, {"message": "Annotation patched"}

    def _keep(self, number: int, body: dict[str, Any]) -> None:
        self.kept[number] = body
        self.history.append((number, body))


@contextlib.contextmanager
def serving(annotations: Annotations) -> Iterator[str]:
    """On a loopback port of its own, until the end; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = self.headers.get("Authorization") or ""
            status, found = annotations.answer(self.command, self.path, said, body)
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PATCH = answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
