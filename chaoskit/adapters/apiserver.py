"""One connection to a Kubernetes API server: requests with deadlines, raw answers, and what refusals mean.

The kubernetes client does transport, TLS and credentials; its typed models are not used for reading (a typed list costs
18 times the raw one) and its own retries are off, for they would repeat a DELETE. Here is the only place where a
failure of a request becomes an error of chaoskit. Nothing that carries a credential is ever part of a message.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tenacity

from chaoskit.adapters.urls import shown_url
from chaoskit.errors import (
    BudgetError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PortError,
    UnreachableError,
)
from chaoskit.model import Raw, Right

if TYPE_CHECKING:
    import urllib3
    from kubernetes.client import ApiClient

JSON, MERGE_PATCH, APPLY_PATCH = "application/json", "application/merge-patch+json", "application/apply-patch+yaml"
CONNECT_S, READ_S, LONG_READ_S = 3.0, 10.0, 15.0
"""Deadlines: to connect, to be answered, and to be answered when the server has more to do (lists, applies)."""
ATTEMPTS, PATIENCE_S = 4, 8.0
"""How often a call that may be repeated is sent, and after how many seconds no further attempt is begun."""
LONGEST_RETRY_AFTER_S = 2.0
_BODY_SHOWN = 300
_ANSWERS_BY_500 = ("more than one PodDisruptionBudget", "failed to create typed patch object")
"""Said with status 500 although it is the request that is wrong (API server: eviction.go, structuredmerge.go)."""


_READ_TIMEOUT = re.compile(r"Read timed out\. \(read timeout=([\d.]+)\)")


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `what` names it in messages: `delete pod/front-1 in shop`."""

    what: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Raw | None = None
    content_type: str = JSON
    read_s: float = READ_S
    repeatable: bool = False
    """Sending it twice does what sending it once does."""
    right: Right | None = None
    """The permission that it takes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended: with an answer of the server (`status` > 0) or with an error on the way."""

    status: int = 0
    body: bytes = b""
    content_type: str = ""
    retry_after_s: float | None = None
    error: Exception | None = None
    sent: bool = True
    """False: the request certainly never reached the server."""
    final: bool = False
    """Another attempt cannot end differently (a certificate that is not trusted)."""
    stream: urllib3.BaseHTTPResponse | None = None
    date: str = ""
    """When the server says that it answered, in whole seconds, as HTTP writes dates."""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_answer(self) -> bool:
        """Status 500 not from trouble within the server: it would say the same again."""
        return self.status == 500 and any(words in self.message() for words in _ANSWERS_BY_500)

    def status_object(self) -> Mapping[str, Any]:
        """The server's `Status`, or an empty mapping where something else answered (a proxy's page)."""
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}

    def causes(self) -> list[Mapping[str, Any]]:
        details = self.status_object().get("details") or {}
        return [cause for cause in details.get("causes") or () if isinstance(cause, dict)]

    def message(self) -> str:
        said = str(self.status_object().get("message") or "") or self.body.decode("utf-8", "replace").strip()
        return f"{said[:_BODY_SHOWN]}…" if len(said) > _BODY_SHOWN and not self.causes() else said


Ended = Callable[[], tuple[str, str] | None]
"""(why, what to type) once the provider of the cluster knows that it has ended, with everything on it."""


class ApiServer:
    """Sends calls; safe to use from many threads at once."""

    def __init__(self, client: ApiClient, context: str = "", ended: Ended = lambda: None) -> None:
        self._client = client
        self._context = context
        self._ended = ended
        self._closed = threading.Event()

    @property
    def client(self) -> ApiClient:
        return self._client

    @property
    def shown(self) -> str:
        """The server's address as it may be printed."""
        return shown_url(str(self._client.configuration.host))

    @property
    def context(self) -> str:
        return self._context

    def close(self) -> None:
        """Ends pauses between attempts, and closes idle connections."""
        self._closed.set()
        self._client.rest_client.pool_manager.clear()

    def json(self, call: Call) -> dict[str, Any]:
        """The object that the server answered with. Raises a PortError."""
        body = self.body(call)
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise UnreachableError(
                f"cannot {call.what}: the answer is not JSON",
                where=self.shown,
                why=body[:_BODY_SHOWN].decode("utf-8", "replace"),
            ) from error
        if not isinstance(parsed, dict):
            raise UnreachableError(f"cannot {call.what}: the answer is not an object", where=self.shown)
        return parsed

    def body(self, call: Call) -> bytes:
        outcome = self._attempts(call)(self.once, call)
        if not outcome.ok:
            raise self.refusal(call, outcome) from outcome.error
        return outcome.body

    def once(self, call: Call) -> Outcome:
        """One attempt, its answer read to the end. Never raises a PortError."""
        return self._outcome(call, stream=False)

    def open(self, call: Call) -> Outcome:
        """One attempt whose answer is left open in `stream`, if it is a good one."""
        return self._outcome(call, stream=True)

    def _outcome(self, call: Call, *, stream: bool) -> Outcome:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            response = self._send(call)
            if stream and 200 <= response.status < 300:
                return Outcome(status=response.status, stream=response)
            headers = response.headers
            kind, date = headers.get("Content-Type", ""), headers.get("Date", "")
            return Outcome(response.status, response.read(), kind, _retry_after(headers), date=date)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            return Outcome(error=error, sent=False, final=self._ended() is not None)
        except ApiException as error:  # How the client reports a TLS failure, in the handshake or later.
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error.reason)
            return Outcome(error=error, sent=not untrusted, final=untrusted)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return Outcome(error=error)

    def _send(self, call: Call) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": JSON, "Content-Type": call.content_type} if call.body is not None else {"Accept": JSON}
        serialized = self._client.param_serialize(
            call.method,
            call.path,
            query_params=list(call.query.items()),
            header_params=headers,
            body=call.body,
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*serialized, _request_timeout=(CONNECT_S, call.read_s))
        response: urllib3.BaseHTTPResponse = answer.response
        return response

    def _attempts(self, call: Call) -> tenacity.Retrying:
        return tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda outcome: _worth_repeating(call, outcome)),
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | tenacity.stop_after_delay(PATIENCE_S)
            | tenacity.stop_when_event_set(self._closed),
            wait=_pause,
            sleep=tenacity.sleep_using_event(self._closed),
            retry_error_callback=_last_outcome,
        )

    def refusal(self, call: Call, outcome: Outcome) -> PortError:  # noqa: PLR0911  A table: one line for each answer.
        """What an attempt that did not end well means. The only place that knows."""
        what = f"cannot {call.what}"
        if outcome.error is not None:
            return self._unreached(what, outcome)
        said = outcome.message()
        match outcome.status:
            case 404 | 410:
                return NotFoundError(what, why=said or "the server does not know it")
            case 409:
                return ConflictError(what, why=said)
            case 401 | 403:
                return self._forbidden(what, call, outcome)
            case 422 if any(cause.get("field") == "metadata.uid" for cause in outcome.causes()):
                return ConflictError(what, why=f"the name belongs to another object now ({said})")
            case 429 if any(cause.get("reason") == "DisruptionBudget" for cause in outcome.causes()):
                return BudgetError(what, why=_with_causes(said, outcome.causes()))
            case 500 if outcome.is_answer:
                return PortError(what, why=said)
            case status if status == 429 or status >= 500:
                return UnreachableError(what, where=self.shown, why=f"HTTP {status}: {said}")
            case _:
                return PortError(what, why=f"HTTP {outcome.status}: {_with_causes(said, outcome.causes())}")

    def _unreached(self, what: str, outcome: Outcome) -> PortError:
        """On a cluster that has ended there is nothing any more, and nothing left to heal."""
        if ended := self._ended():
            return NotFoundError(what, where=self.shown, why=ended[0], fix=ended[1])
        certainty = "" if outcome.sent else " (the request was not sent)"
        return UnreachableError(
            f"{what}{certainty}",
            where=self.shown,
            why=reason(outcome.error),
            fix=f"{self._kubectl()} get --raw /readyz",
        )

    def _forbidden(self, what: str, call: Call, outcome: Outcome) -> ForbiddenError:
        said = outcome.message()
        if outcome.status == 401:
            return ForbiddenError(
                what,
                where=self.shown,
                why=f"the credentials are not accepted: {said}",
                fix=f"log in again, then try {self._kubectl()} auth whoami",
            )
        if call.right is None or "cannot" not in said:  # An admission plugin or a quota says no, not RBAC.
            return ForbiddenError(what, why=said)
        return ForbiddenError(f"{what}: missing the right to {call.right}", why=said, fix=self._can_i(call.right))

    def _can_i(self, right: Right) -> str:
        resource = f"{right.resource}.{right.group}" if right.group else right.resource
        subresource = f" --subresource={right.subresource}" if right.subresource else ""
        namespace = f" -n {right.namespace}" if right.namespace else ""
        return f"have it granted, then try {self._kubectl()} auth can-i {right.verb} {resource}{subresource}{namespace}"

    def _kubectl(self) -> str:
        return f"kubectl --context {self._context}" if self._context else "kubectl"


def reason(error: BaseException | None) -> str:
    """The innermost cause of an error of the network, in a few words."""
    text = str(error)
    if waited := _READ_TIMEOUT.search(text):
        return f"no answer for {float(waited[1]):g} s"
    innermost = error
    while innermost is not None and (innermost.__cause__ or innermost.__context__):
        innermost = innermost.__cause__ or innermost.__context__
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return " ".join(text.split())[-_BODY_SHOWN:] or type(error).__name__


def _worth_repeating(call: Call, outcome: Outcome) -> bool:
    if outcome.ok or outcome.final:
        return False
    if outcome.error is not None:
        return call.repeatable or not outcome.sent
    if outcome.status == 429:  # Refused before it was looked at; a disruption budget's refusal is an answer.
        return not outcome.causes()
    return outcome.status >= 500 and call.repeatable and not outcome.is_answer


def _pause(state: tenacity.RetryCallState) -> float:
    """Exponential with jitter, from 0.1 s; what the server asks for, within reason, when it asks."""
    pause = float(tenacity.wait_random_exponential(multiplier=0.2, max=1.0, min=0.05)(state))
    asked = state.outcome.result().retry_after_s if state.outcome else None
    return max(pause, min(asked or 0.0, LONGEST_RETRY_AFTER_S))


def _last_outcome(state: tenacity.RetryCallState) -> Outcome:
    assert state.outcome is not None  # noqa: S101  tenacity calls this after an attempt only.
    outcome: Outcome = state.outcome.result()
    return outcome


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds in Retry-After. Kubernetes writes whole seconds; the form with a date is a proxy's and is left alone."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _with_causes(said: str, causes: Iterable[Mapping[str, Any]]) -> str:
    """The message with what the server says of single fields, where it does not repeat it anyway."""
    more = [f"{cause.get('field') or cause.get('reason')}: {cause.get('message')}" for cause in causes]
    return "; ".join([said, *(line for line in more if line.partition(": ")[2] not in said)])
