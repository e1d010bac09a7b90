"""`python3 -m app front|back|store`: one process of the shop."""

from __future__ import annotations

import sys

# asyncio loads ssl if it can, and the shop speaks plain HTTP: without it, start-up is 20 ms and 4 MB cheaper.
sys.modules["ssl"] = None  # type: ignore[assignment]

import asyncio  # noqa: E402
import gc  # noqa: E402

from . import discovery, names, trouble  # noqa: E402
from .service import Service  # noqa: E402
from .settings import Settings, SettingsError, read  # noqa: E402


async def serve(settings: Settings) -> int:
    """Put the role together; only what it needs is loaded."""
    service = Service(settings)
    if settings.role == "store":
        from .store import Store

        Store(service)
    elif settings.role == "back":
        from .back import Back
        from .upstream import Upstream

        Back(service, Upstream("store", _url(settings, "store"), settings.name_cache_seconds, service.registry))
    else:
        from .front import Front
        from .upstream import Upstream

        Front(service, Upstream("back", _url(settings, "back"), settings.name_cache_seconds, service.registry))
    trouble.Trouble(service)
    discovery.add(service)
    gc.freeze()  # What is loaded by now stays: the collector need not look at it again.
    return await service.run()


def _url(settings: Settings, role: str) -> str:
    if settings.discovery == "env":
        host, port = names.from_environment(role)
        return f"http://{host}:{port}"
    return settings.back_url if role == "back" else settings.store_url


def main() -> int:
    try:
        settings = read(sys.argv[1:])
        return asyncio.run(serve(settings))
    except (SettingsError, names.NotFoundError) as error:
        sys.stderr.write(f"refapp: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
