"""Shows a run's steps in Grafana as annotations: a band from when the first act of a step was ordered until all landed,
and on until what it changed was put back.

It follows the run's journal from a thread of its own, so that nothing a Grafana does or does not do reaches the run.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaoskit import journal, record
from chaoskit.adapters.urls import is_loopback, shown_url
from chaoskit.contracts import Act, StepRecord
from chaoskit.errors import ChaoskitError, ForbiddenError, NotFoundError, PortError, UsageError
from chaoskit.plan import Plan

VARIABLE = "CHAOSKIT_GRAFANA_TOKEN"
"""The one of the environment with the token of a service account that may write annotations."""
TAG = "chaoskit"
EVERY_S = 1.0
LONGEST_PAUSE_S = 30.0
WITHIN_S = 3.0
MOST_TARGETS = 5
_BODY_SHOWN = 200
Body = Mapping[str, Any]


class Grafana:
    """Grafana's annotations, by its HTTP API. Each call is over within a few seconds, or raises a PortError."""

    def __init__(self, url: str, token: str, within_s: float = WITHIN_S) -> None:
        """UsageError for what is no URL, and where there is no token."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{shown_url(url)!r} is no URL of a Grafana", fix="write it as in http://127.0.0.1:3000")
        if not token:
            raise UsageError(
                "there is no token for Grafana",
                where=shown_url(url),
                fix=f"put that of a service account that may write annotations into {VARIABLE}",
            )
        self._url, self._token, self._within_s = url.strip().rstrip("/"), token, within_s

    @classmethod
    def at(cls, url: str) -> Grafana:
        return cls(url, os.environ.get(VARIABLE, ""))

    def create(self, body: Body) -> int:
        """The new annotation's number."""
        made = self._call("POST", "/api/annotations", body)
        if not isinstance(made.get("id"), int):
            raise PortError("this is no answer of Grafana's", where=self._where, why="it names no annotation")
        return int(made["id"])

    def change(self, number: int, body: Body) -> None:
        """NotFoundError where somebody has deleted it."""
        self._call("PATCH", f"/api/annotations/{number}", body)

    @property
    def _where(self) -> str:
        return shown_url(self._url)

    def _call(self, method: str, path: str, body: Body) -> Mapping[str, Any]:
        import requests

        url = f"{self._url}{path}"
        proxies = {"no_proxy": urlsplit(url).hostname or ""} if is_loopback(url) else None
        try:
            # A Grafana that sends to its login page would otherwise look as if it had taken it.
            answer = requests.request(
                method,
                url,
                json=body,
                auth=self._authorise,
                timeout=self._within_s,
                allow_redirects=False,
                proxies=proxies,
            )
        except OSError as error:  # All errors of requests are.
            raise PortError("Grafana does not answer", where=self._where, why=_innermost(error)) from error
        if answer.status_code != requests.codes.ok:
            raise self._refusal(answer.status_code, answer.text)
        return _object(answer.text)

    def _authorise(self, request: Any) -> Any:  # noqa: ANN401 - a request of requests
        """Given as such, the header is not replaced by what a .netrc says."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _refusal(self, status: int, body: str) -> PortError:
        said = str(_object(body).get("message") or " ".join(body[:_BODY_SHOWN].split()))
        what = f"Grafana refuses with {status}"
        if status in (401, 403):
            fix = f"put the token of a service account that may write annotations into {VARIABLE}"
            return ForbiddenError(what, where=self._where, why=said, fix=fix)
        if status == 404:
            return NotFoundError(what, where=self._where, why=said, fix="give Grafana's own address, with its path")
        return PortError(what, where=self._where, why=said)


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _innermost(error: BaseException) -> str:
    from chaoskit.adapters.apiserver import reason

    return shown_url(reason(error))


# ── what there is to show ────────────────────────────────────────────────────────────────────────────────────────────


def annotation(step: StepRecord, plan: Plan, unix: Callable[[float], float]) -> dict[str, Any] | None:
    """The annotation of a step as Grafana takes it, by what is known so far; None as long as nothing was ordered."""
    if not step.acts:
        return None
    ends = [at for act in step.acts for at in (act.landed, act.healed) if at is not None]
    body = {
        "time": round(unix(min(act.ordered for act in step.acts)) * 1000),
        "tags": [TAG, plan.run, plan.experiment.name, step.name, step.verb],
        "text": "\n".join((f"{step.name} ({step.verb})", *_lines(step))),
    }
    return body | ({"timeEnd": round(unix(max(ends)) * 1000)} if ends else {})


def _lines(step: StepRecord) -> Iterator[str]:
    for act in step.acts[:MOST_TARGETS]:
        yield f"{act.target}: {', '.join(_told(act))}"
    if len(step.acts) > MOST_TARGETS:
        yield f"and {len(step.acts) - MOST_TARGETS} more"


def _told(act: Act) -> Iterator[str]:
    yield "ordered"
    for what, at in (("landed", act.landed), ("put back", act.healed)):
        if at is not None:
            yield f"{what} after {at - act.ordered:.1f} s"


# ── following a run ──────────────────────────────────────────────────────────────────────────────────────────────────


class Follower:
    """Makes a run's annotations, and changes them as its journal grows."""

    def __init__(self, grafana: Grafana, plan: Plan, folder: Path, unix: Callable[[float], float]) -> None:
        self._grafana, self._plan, self._unix = grafana, plan, unix
        self._journal = folder / journal.FILE
        self._shown: dict[str, tuple[int, Body]] = {}
        """By the name of the step: the number of its annotation, and what it says."""
        self.trouble: ChaoskitError | OSError | None = None
        """Why something is not shown."""

    def look(self) -> None:
        """Shows what is new; stops at what Grafana does not take, which is tried again by the next look."""
        self.trouble = None
        try:
            for step in self._steps():
                if body := annotation(step, self._plan, self._unix):
                    self._show(step.name, body)
        except (ChaoskitError, OSError) as error:
            self.trouble = error

    @property
    def hopeless(self) -> bool:
        """Whether trying again is of no use: no token becomes valid by waiting."""
        return isinstance(self.trouble, ForbiddenError)

    def _steps(self) -> tuple[StepRecord, ...]:
        return record.steps(journal.read(self._journal), self._plan.experiment) if self._journal.exists() else ()

    def _show(self, name: str, body: Body) -> None:
        number, shown = self._shown.get(name, (0, {}))
        if body == shown:
            return
        if shown:
            try:
                self._grafana.change(number, body)
            except NotFoundError:  # Deleted meanwhile: the step is still true.
                shown = {}
        if not shown:
            number = self._grafana.create(body)
        self._shown[name] = (number, body)


@contextmanager
def following(
    grafana: Grafana, plan: Plan, folder: Path, unix: Callable[[float], float], say: Callable[[str], None]
) -> Iterator[None]:
    """While a run is under way. Whatever is not shown in the end is told, and changes nothing else."""
    follower, stopped = Follower(grafana, plan, folder, unix), threading.Event()
    thread = threading.Thread(target=_follow, args=(follower, stopped), name="grafana", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        if not follower.hopeless:
            follower.look()
        if follower.trouble:
            say(f"warning: not all of the run is shown in Grafana: {follower.trouble}")


def _follow(follower: Follower, stopped: threading.Event) -> None:
    pause = EVERY_S
    while not stopped.wait(pause) and not follower.hopeless:
        follower.look()
        pause = min(LONGEST_PAUSE_S, 2 * pause) if follower.trouble else EVERY_S
