"""What every role is: routes, probes that tell the truth, metrics, and a life from start to an orderly end.

Why readiness does not look at other roles: a front that called itself unready because the back is away would take every
front out of its Service, and shoppers would get refused connections in place of a page without stock figures. Each role
is ready when it can do its own part; what it cannot do without the others it answers with 503 and a reason.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from . import metrics
from .httpd import Handler, Request, RequestError, Response, Server, json_response
from .logs import say
from .settings import Settings

SWEEP_SECONDS = 5.0


@dataclass(frozen=True)
class Route:
    """`path` may end in `/{name}`, which stands for one part of any text."""

    method: str
    path: str
    handler: Handler
    probe: bool = False
    """Probes and scrapes are answered at any time and kept out of the request metrics, which are about the users."""


class Service:
    """One process of the shop. A role adds its routes, its start and end, and what keeps it from being ready."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = metrics.Registry()
        self.started = False
        self.draining = False
        self.hung_until = 0.0
        """On the monotonic clock; before it only probes are answered."""
        self.unready: Callable[[], str] = lambda: ""
        """A role's own reason not to be ready, or an empty text."""
        self.on_start: Callable[[], Awaitable[None]] | None = None
        self.on_end: Callable[[], Awaitable[None]] | None = None
        self._exact: dict[tuple[str, str], Route] = {}
        self._prefixed: dict[tuple[str, str], Route] = {}
        self._paths: set[str] = set()
        self._in_flight = 0
        self._exit_code = 0
        self._stop = asyncio.Event()
        fixed = {"x-served-by": settings.pod, "x-version": settings.version, "x-color": settings.colour}
        self.server = Server(self.handle, fixed)
        self._add_metrics()
        self._add_probes()

    def _add_metrics(self) -> None:
        settings, registry = self.settings, self.registry
        labels = {"role": settings.role, "version": settings.version, "colour": settings.colour}
        registry.gauge("refapp_build_info", "Which version this is; always 1.", lambda: 1, **labels)
        self._requests = registry.counter("refapp_requests_total", "Requests answered.", "method", "path", "code")
        self._seconds = registry.histogram(
            "refapp_request_duration_seconds", "Time from a whole request to its answer.", "method", "path"
        )
        registry.gauge("refapp_requests_in_flight", "Requests being answered now.", lambda: self._in_flight)
        registry.gauge("refapp_connections", "Open connections of clients.", lambda: len(self.server.connections))
        registry.gauge("refapp_ready", "1 while the pod says it is ready.", lambda: int(not self.why_not_ready()))
        metrics.add_process(registry)

    def _add_probes(self) -> None:
        self.route("GET", "/startupz", self._startupz, probe=True)
        self.route("GET", "/readyz", self._readyz, probe=True)
        self.route("GET", "/livez", self._livez, probe=True)
        self.route("GET", "/metrics", self._metrics, probe=True)

    def route(self, method: str, path: str, handler: Handler, *, probe: bool = False) -> None:
        route = Route(method, path, handler, probe)
        if path.endswith("}"):
            self._prefixed[method, path[: path.rindex("{")]] = route
        else:
            self._exact[method, path] = route
        self._paths.add(path)

    def json(self, value: dict[str, object], status: int = 200) -> Response:
        """A JSON answer that says which version gave it."""
        settings = self.settings
        own = {"version": settings.version, "colour": settings.colour, "served_by": settings.pod}
        return json_response({**value, **own}, status)

    # Answering

    async def handle(self, request: Request) -> Response:
        route = self._find(request)
        if route is not None and route.probe:
            return await self._guarded(route.handler, request)
        self._in_flight += 1
        began = time.perf_counter()
        try:
            response = await self._guarded(self._admitted(route), request)
        finally:
            self._in_flight -= 1
        seconds = time.perf_counter() - began
        method, path = (route.method, route.path) if route else ("other", "other")
        self._requests.add(method, path, str(response.status))
        self._seconds.observe(seconds, method, path)
        if self.settings.log_requests:
            say("request", method=request.method, path=request.path, status=response.status, seconds=round(seconds, 6))
        return response

    def _find(self, request: Request) -> Route | None:
        method = "GET" if request.method == "HEAD" else request.method
        route = self._exact.get((method, request.path))
        if route is None:
            prefix, _, request.parameter = request.path.rpartition("/")
            route = self._prefixed.get((method, prefix + "/")) if request.parameter else None
        return route

    def _admitted(self, route: Route | None) -> Handler:
        async def answer(request: Request) -> Response:
            while time.monotonic() < self.hung_until and not request.abandoned():
                await asyncio.sleep(0.1)
            if route is None:
                raise self._no_route(request)
            if not self.started:
                raise RequestError(503, "it is still starting")
            return await route.handler(request)

        return answer

    async def _guarded(self, handler: Handler, request: Request) -> Response:
        """Always an answer."""
        try:
            return await handler(request)
        except RequestError as error:
            return self.json({"error": str(error), **error.fields}, error.status)
        except Exception:  # The border of a request: a defect costs this request an answer 500, and not the process.
            say("defect", path=request.path, traceback=traceback.format_exc())
            return self.json({"error": "a defect in the shop; its log has the traceback"}, 500)

    def _no_route(self, request: Request) -> RequestError:
        known = {method for method, path in self._exact if path == request.path}
        prefix = request.path.rpartition("/")[0] + "/"
        known |= {method for method, path in self._prefixed if path == prefix}
        if known:
            return RequestError(405, f"{request.path} takes {' and '.join(sorted(known))}")
        return RequestError(404, f"there is no {request.path[:80]} here", paths=sorted(self._paths))

    # Probes

    def why_not_ready(self) -> str:
        if self.draining:
            return "it is shutting down"
        if not self.started:
            return "it is still starting"
        if self.settings.weaknesses.never_ready:
            return "WEAK_NEVER_READY is set"
        return self.unready()

    async def _startupz(self, _: Request) -> Response:
        return self.json({"started": self.started}, 200 if self.started else 503)

    async def _readyz(self, _: Request) -> Response:
        why = self.why_not_ready()
        return self.json({"ready": not why, "why": why}, 503 if why else 200)

    async def _livez(self, _: Request) -> Response:
        """Answering at all is the proof: the event loop turns. What is wrong elsewhere no restart would mend."""
        return self.json({"live": True})

    async def _metrics(self, _: Request) -> Response:
        return Response(200, self.registry.text().encode(), metrics.CONTENT_TYPE)

    # Life

    def stop(self, exit_code: int = 0) -> None:
        """Begin to end; the process ends with that code."""
        self._exit_code = self._exit_code or exit_code
        self._stop.set()

    async def run(self) -> int:
        """Serve until told to stop; gives the exit code. It listens before it has started: probes get a true no."""
        settings = self.settings
        self._handle_signals()
        port = await self.server.listen(settings.host, settings.port)
        say("listening", role=settings.role, port=port, pod=settings.pod, version=settings.version)
        chores = [asyncio.create_task(self._start()), asyncio.create_task(self._sweep())]
        await self._stop.wait()
        await self._end()
        for chore in chores:
            chore.cancel()
        say("ended", code=self._exit_code)
        return self._exit_code

    def _handle_signals(self) -> None:
        """As PID 1 of a container, signals without a handler would be ignored."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        crash_after = self.settings.weaknesses.crash_after_seconds
        if crash_after is not None:
            loop.call_later(crash_after, os._exit, 1)

    def _on_signal(self, number: int) -> None:
        say("signal", name=signal.Signals(number).name)
        if self.settings.weaknesses.abrupt_shutdown:
            os._exit(0)
        self.stop()

    async def _start(self) -> None:
        try:
            if self.on_start is not None:
                await self.on_start()
            await asyncio.sleep(self.settings.startup_seconds)
        except OSError as error:
            say("start failed", why=str(error))
            self.stop(1)
            return
        self.started = True
        say("started")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.server.sweep()

    async def _end(self) -> None:
        """Not ready at once; still serving while that gets around; then finish what was begun.

        Answers say `Connection: close` from the first moment, so that clients move to other pods while this one still
        takes their requests.
        """
        self.draining = self.server.closing = True
        if self._exit_code == 0:
            await asyncio.sleep(self.settings.drain_seconds)
        cut = await self.server.finish(self.settings.finish_seconds)
        if cut:
            say("cut", connections=cut, after_seconds=self.settings.finish_seconds)
        if self.on_end is not None:
            await self.on_end()
