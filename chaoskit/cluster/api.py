"""The few calls to the API server that the supervisor itself makes, in JSON, over one connection a thread.

The Kubernetes client library would cost each cluster 45 MB and a third of a second of its start.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.cluster.patience import allowed_s
from chaoskit.errors import ClusterError

TIMEOUT_S = 10.0
Object = dict[str, Any]


class ApiError(ClusterError):
    """The API server refused."""

    def __init__(self, status: int, what: str, why: str) -> None:
        super().__init__(what, where="API server", why=why)
        self.status = status


class Api:
    """A client with one kept connection for each thread."""

    def __init__(self, host: str, port: int, authority: Path, certificate: Path, key: Path) -> None:
        self._host, self._port = host, port
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._tls.load_cert_chain(str(certificate), str(key))
        self._kept = threading.local()

    def request(self, method: str, path: str, body: Object | None = None, kind: str = "application/json") -> Object:
        """The answer's object. Raises ApiError for a refusal, OSError or HTTPException where there was no answer."""
        connection = self._connection()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._drop()
            raise
        if answer.status >= 400:
            raise ApiError(answer.status, f"{method} {path} was answered with {answer.status}", _message(text))
        return parsed if isinstance(parsed := _parse(text), dict) else {"text": text.decode()}

    def get(self, path: str) -> Object:
        return self.request("GET", path)

    def merge(self, path: str, patch: Object) -> Object:
        return self.request("PATCH", path, patch, "application/merge-patch+json")

    def follow(self, path: str, version: str, timeout_s: int) -> Iterator[Object]:
        """The events of a watch from a resource version, until the server ends it."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout_s + allowed_s(TIMEOUT_S), context=self._tls
        )
        query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={timeout_s}"
        try:
            connection.request("GET", path + query)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise ApiError(
                    answer.status, f"watching {path} was answered with {answer.status}", _message(answer.read())
                )
            for line in answer:
                yield json.loads(line)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        kept: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if kept is None:
            patience_s = allowed_s(TIMEOUT_S)
            kept = http.client.HTTPSConnection(self._host, self._port, timeout=patience_s, context=self._tls)
            self._kept.connection = kept
        return kept

    def _drop(self) -> None:
        self._connection().close()
        self._kept.connection = None


async def patiently(condition: Callable[[], bool], pause_s: float = 0.1) -> None:
    """Ask again and again; whoever does not answer yet, or refuses, is asked again too. The caller bounds the time."""
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
            if await asyncio.to_thread(condition):
                return
        await asyncio.sleep(pause_s)


@dataclass
class Mirror:
    """A copy of a collection that follows the API server: list, then watch, and again from the list after any break."""

    api: Api
    path: str
    changed: Callable[[dict[str, Object]], None]
    """Called in the mirror's thread with all objects by UID, after the list and after each event."""

    def run(self, stop: threading.Event) -> None:
        pause_s = 0.1
        while not stop.is_set():
            try:
                self._list_and_watch(stop)
                pause_s = 0.1
            except (OSError, http.client.HTTPException, ApiError, json.JSONDecodeError):
                stop.wait(pause_s)
                pause_s = min(pause_s * 2, 2.0)

    def _list_and_watch(self, stop: threading.Event) -> None:
        listed = self.api.get(self.path)
        objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        version = listed["metadata"]["resourceVersion"]
        self.changed(objects)
        while not stop.is_set():
            for event in self.api.follow(self.path, version, timeout_s=300):
                if event["type"] == "ERROR":
                    return  # Most often 410: the version is too old, so list again.
                item = event["object"]
                version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED":
                    objects.pop(item["metadata"]["uid"], None)
                else:
                    objects[item["metadata"]["uid"]] = item
                self.changed(objects)


def _parse(text: bytes) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _message(text: bytes) -> str:
    status = _parse(text)
    return str(status.get("message", "")) if isinstance(status, dict) else text.decode(errors="replace")[:500]
