"""/discovery: what this pod finds of the other roles, by DNS and by environment variables, at this very moment.

Nothing is cached here: an experiment that kills the DNS or makes a Service again wants to see the change, and when.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from . import srv
from .httpd import Request, Response
from .names import by_system
from .service import Service
from .settings import ROLES

LOOKUP_SECONDS = 3.0
RESOLV_CONF = Path("/etc/resolv.conf")


def add(service: Service) -> None:
    async def discovery(request: Request) -> Response:
        """/discovery?name=NAME asks for one Service, else for the three roles."""
        names = [request.query["name"]] if "name" in request.query else list(ROLES)
        found = await asyncio.gather(*(by_dns(name) for name in names))
        return service.json(
            {
                "dns": dict(zip(names, found, strict=True)),
                "environment": by_environment(),
                "used": {
                    "by": service.settings.discovery,
                    "back": service.settings.back_url,
                    "store": service.settings.store_url,
                },
            }
        )

    service.route("GET", "/discovery", discovery)


def by_environment() -> dict[str, str]:
    """The variables that the kubelet sets for the Services that were there when the pod was made."""
    return {name: value for name, value in sorted(os.environ.items()) if "_SERVICE_" in name}


async def by_dns(name: str) -> dict[str, object]:
    """Addresses, and the SRV records of its port named http."""
    began = time.perf_counter()
    result: dict[str, object] = {"addresses": [], "srv": []}
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            result["addresses"] = sorted(await by_system(name, 0))
            result["srv"] = await _srv(name)
    except TimeoutError:
        result["error"] = f"no answer within {LOOKUP_SECONDS:g} s"
    except (OSError, srv.LookupFailedError) as error:
        result["error"] = str(error)
    result["seconds"] = round(time.perf_counter() - began, 6)
    return result


async def _srv(name: str) -> list[dict[str, object]]:
    resolver = srv.read_resolver(RESOLV_CONF.read_text(encoding="utf-8"))
    if not resolver.servers or not resolver.search:
        return []
    records = await srv.look_up(f"_http._tcp.{name}.{resolver.search[0]}", resolver.servers[0])
    return [{"target": target, "port": port} for target, port in records]
