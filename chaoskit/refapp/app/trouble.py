"""Ways to trouble one's own process: work for the CPU, memory held, a crash, a hang. All bounded.

They answer 403 unless REFAPP_DANGEROUS=1 is set, because anybody who reaches the shop reaches them. The manifests set
it, for this shop exists to be broken. Leave that line out of a copy of them.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time

from .httpd import Handler, Request, RequestError, Response
from .logs import say
from .service import Service

SLICE_SECONDS = 0.001
"""So long others have to wait for their turn while the CPU works for one request."""
MOST_CPU_MS = 10_000
MOST_MEMORY_MB = 1024
MOST_SECONDS = 3600
PAGE = mmap.PAGESIZE
CHUNK = 1024 * 1024


class Trouble:
    """The endpoints /cpu, /memory, /crash and /hang of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._cpu = asyncio.Lock()
        self._held_bytes = 0
        for path, handler in (
            ("/cpu", self._burn),
            ("/memory", self._hold),
            ("/crash", self._crash),
            ("/hang", self._hang),
        ):
            service.route("GET", path, self._allowed(handler))
        service.registry.gauge(
            "refapp_memory_held_bytes", "Memory that /memory holds now.", lambda: float(self._held_bytes)
        )

    def _allowed(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            if not self._service.settings.dangerous:
                raise RequestError(403, f"{request.path} is switched off: set REFAPP_DANGEROUS=1 to allow it")
            return await handler(request)

        return answer

    async def _burn(self, request: Request) -> Response:
        """/cpu?ms=N costs N milliseconds of CPU time, in slices. Such requests take turns, first come, first served."""
        milliseconds = request.number("ms", 10, 0, MOST_CPU_MS)
        left = milliseconds / 1000
        async with self._cpu:
            while left > 0 and not request.abandoned():
                left -= _spin(min(left, SLICE_SECONDS))
                await asyncio.sleep(0)
        return self._service.json({"cpu_ms": milliseconds})

    async def _hold(self, request: Request) -> Response:
        """/memory?mb=N&seconds=S takes N MiB more and gives them back after S seconds. It answers once it has them."""
        megabytes = int(request.number("mb", 10, 0, MOST_MEMORY_MB))
        seconds = request.number("seconds", 60, 0, MOST_SECONDS)
        held: list[mmap.mmap] = []
        for _ in range(megabytes):
            held.append(_touched(CHUNK))
            self._held_bytes += CHUNK
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(seconds, self._release, held)
        return self._service.json({"mb": megabytes, "seconds": seconds, "held_bytes": self._held_bytes})

    def _release(self, held: list[mmap.mmap]) -> None:
        for chunk in held:
            chunk.close()
        self._held_bytes -= CHUNK * len(held)

    async def _crash(self, request: Request) -> Response:
        """/crash?code=N ends the process with code N, 50 ms after this answer; /crash?by=abort as a defect in C would.

        For PID 1 of a container the signal of abort() is ignored, and the C library goes on to an illegal instruction:
        the container's code is then 139 or 132 and not 134.
        """
        code = int(request.number("code", 1, 0, 255))
        after = request.number("after_ms", 50, 0, MOST_SECONDS * 1000) / 1000
        by = request.query.get("by", "exit")
        if by not in ("exit", "abort"):
            raise RequestError(400, f"by={by}: give exit or abort")
        say("crash asked for", by=by, code=code)
        loop = asyncio.get_running_loop()
        if by == "abort":
            loop.call_later(after, os.abort)
        else:
            loop.call_later(after, os._exit, code)
        return self._service.json({"crash": by, "code": code, "after_ms": after * 1000}, 202)

    async def _hang(self, request: Request) -> Response:
        """/hang?seconds=S&what=requests answers nothing but the probes; what=all stops everything, SIGTERM included."""
        seconds = request.number("seconds", 60, 0, MOST_SECONDS)
        what = request.query.get("what", "requests")
        if what not in ("requests", "all"):
            raise RequestError(400, f"what={what}: give requests or all")
        say("hang asked for", what=what, seconds=seconds)
        loop = asyncio.get_running_loop()
        if what == "all":
            loop.call_later(0.05, time.sleep, seconds)
        else:
            self._service.hung_until = time.monotonic() + seconds
        return self._service.json({"hang": what, "seconds": seconds}, 202)


def _spin(seconds: float) -> float:
    """Use that much CPU time of this thread; gives what was used."""
    began = now = time.thread_time()
    while now - began < seconds:
        sum(range(100))
        now = time.thread_time()
    return now - began


def _touched(size: int) -> mmap.mmap:
    """A mapping of its own, so that giving it back reaches the system; every page is written, so that it counts."""
    chunk = mmap.mmap(-1, size)
    chunk[::PAGE] = b"\1" * len(range(0, size, PAGE))
    return chunk
