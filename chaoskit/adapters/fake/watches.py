"""Watches: a first listing, then each change a little later; after a break a gap, and the whole listing again."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit import objects
from chaoskit.adapters.fake.clock import FakeClock
from chaoskit.adapters.fake.store import Store, describe
from chaoskit.model import GAP, GONE, SEEN, Raw, WatchEvent
from chaoskit.ports import Post


class FakeWatching:
    """One running watch of several kinds."""

    def __init__(
        self, clock: FakeClock, store: Store, kinds: Sequence[str], namespace: str, post: Post, lag_s: float
    ) -> None:
        self._clock = clock
        self._store = store
        self._kinds = tuple(kinds)
        self._namespace = namespace
        self._post = post
        self._lag_s = lag_s
        self._listed: dict[str, bool] = dict.fromkeys(self._kinds, False)
        self._known: dict[str, dict[str, Raw]] = {kind: {} for kind in self._kinds}
        self.closed = False
        self._silent_until = 0.0
        store.listeners.append(self._heard)

    # ── the port ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def wait_synced(self, timeout_s: float) -> bool:
        return self._clock.advance_until(lambda: all(self._listed.values()), timeout_s)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._store.listeners.remove(self._heard)

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, silent_until: float) -> None:
        """Lists every kind, once the API is there."""
        self._relist_at(max(self._clock.now() + self._lag_s, silent_until))

    def interrupt(self, until: float, kinds: Sequence[str] = ()) -> None:
        """The watch of some kinds (of all where none is named) breaks now, and is taken up again at `until`."""
        if self.closed:
            return
        broken = tuple(kind for kind in self._kinds if not kinds or kind in kinds)
        self._silent_until = max(self._silent_until, until)
        for kind in broken:
            if self._listed[kind]:
                self._listed[kind] = False
                self._send(GAP, kind, {})
        self._relist_at(self._silent_until)

    def _relist_at(self, moment: float) -> None:
        self._clock.at(moment, self._list_missing)

    def _list_missing(self) -> None:
        if self.closed or self._clock.now() < self._silent_until:
            return
        for kind in self._kinds:
            if not self._listed[kind]:
                self._list(kind)

    def _list(self, kind: str) -> None:
        within = self._namespace if describe(kind).namespaced else ""
        found = sorted(self._store.all(kind, within), key=lambda o: (objects.namespace(o), objects.name(o)))
        there = {objects.uid(o): o for o in found}
        for uid, o in self._known[kind].items():
            if uid not in there:
                self._send(GONE, kind, o, first=True)
        for o in found:
            self._send(SEEN, kind, o, first=True)
        self._known[kind] = dict(there)
        self._listed[kind] = True

    def _heard(self, change: str, kind: str, o: Raw, old: Raw | None) -> None:
        if self._listed.get(kind) and self._sees(kind, o):
            listing = self._known[kind]
            self._clock.after(self._lag_s, lambda: self._deliver(change, kind, o, listing))

    def _sees(self, kind: str, o: Raw) -> bool:
        return not self._namespace or not describe(kind).namespaced or objects.namespace(o) == self._namespace

    def _deliver(self, change: str, kind: str, o: Raw, listing: dict[str, Raw]) -> None:
        """Hands the event on, unless the watch broke after it: then the next listing tells what is left of it."""
        if self.closed or not self._listed[kind] or self._known[kind] is not listing:
            return
        if change == GONE:
            listing.pop(objects.uid(o), None)
        else:
            listing[objects.uid(o)] = o
        self._send(change, kind, o)

    def _send(self, change: str, kind: str, o: Raw, *, first: bool = False) -> None:
        self._post(WatchEvent(self._clock.now(), change, kind, o, first))
