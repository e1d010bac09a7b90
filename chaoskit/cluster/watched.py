"""Collections of the API server as the event loop sees them: always a whole copy, and news without asking."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from chaoskit.cluster.api import Api, Mirror, Object


class Watched:
    """Follows some collections, each by a thread of its own; everything else happens in the event loop."""

    def __init__(self, api: Api, paths: Mapping[str, str]) -> None:
        self._api = api
        self._paths = paths
        self._seen: dict[str, list[Object]] = {kind: [] for kind in paths}
        self._waiting: set[asyncio.Event] = set()

    def __getitem__(self, kind: str) -> list[Object]:
        return self._seen[kind]

    def start(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        for kind, path in self._paths.items():

            def tell(objects: Mapping[str, Object], kind: str = kind) -> None:
                loop.call_soon_threadsafe(self._note, kind, list(objects.values()))

            threading.Thread(target=Mirror(self._api, path, tell).run, args=(stop,), daemon=True).start()

    @contextmanager
    def news(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change; whoever has looked clears it."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            yield event
        finally:
            self._waiting.discard(event)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on what is seen holds. The caller bounds the time."""
        with self.news() as news:
            while not condition():
                await news.wait()
                news.clear()

    def _note(self, kind: str, objects: list[Object]) -> None:
        self._seen[kind] = objects
        for event in self._waiting:
            event.set()
