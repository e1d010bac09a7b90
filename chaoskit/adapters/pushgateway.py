"""Hands a finished run's metrics to a Prometheus Pushgateway, where they stay until the experiment's next run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests
from prometheus_client import CollectorRegistry, push_to_gateway

from chaoskit.adapters.urls import is_loopback, shown_url
from chaoskit.errors import PortError, UsageError

JOB = "chaoskit"
WITHIN_S = 5.0
_BODY_SHOWN = 200


class PushGateway:
    def __init__(self, url: str) -> None:
        """`url` may have a path and `user:password@`. Raises UsageError for what is no URL."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{shown_url(url)!r} is no URL of a Pushgateway", fix="write it as in http://127.0.0.1:9091"
            )
        self._url = url.strip().rstrip("/")

    @property
    def shown(self) -> str:
        return shown_url(self._url)

    def push(self, registry: CollectorRegistry, experiment: str) -> None:
        """Replaces all that was pushed of the experiment before. PortError if the gateway did not take it."""
        group = {"experiment": experiment.encode("utf-8", "replace").decode()}
        try:
            push_to_gateway(self._url, JOB, registry, group, WITHIN_S, self._send)
        except OSError as error:  # All errors of requests are.
            raise PortError(
                "the Pushgateway does not answer", where=self.shown, why=shown_url(_innermost(error))
            ) from error

    def _send(
        self, url: str, method: str, timeout: float | None, headers: Sequence[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        """How prometheus_client sends. Its own way has no password in the URL, and goes to loopback by a proxy."""

        def send() -> None:
            settings = {"no_proxy": urlsplit(url).hostname or ""} if is_loopback(url) else None
            answer = requests.request(method, url, data=data, headers=dict(headers), timeout=timeout, proxies=settings)
            if not answer.ok:
                why = " ".join(answer.text[:_BODY_SHOWN].split())
                raise PortError(
                    f"the Pushgateway refuses with {answer.status_code}", where=self.shown, why=why or answer.reason
                )

        return send


def _innermost(error: BaseException) -> str:
    from chaoskit.adapters.apiserver import reason

    return reason(error)
