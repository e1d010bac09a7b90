"""What etcd and the API server keep: objects as raw JSON, with UIDs, resource versions and generations.

An object is never changed in place: each change makes a new one that shares with the old what stayed the same, so
handing objects out costs nothing, and an event still shows what was true when it was sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from chaoskit.adapters.kinds import KNOWN, Resource
from chaoskit.model import GONE, SEEN, Raw

Object: TypeAlias = dict[str, Any]
Listener: TypeAlias = Callable[[str, str, Raw, Raw | None], None]
"""Called with the change (SEEN or GONE), the kind, the object, and the one before (None: it is new)."""

Key: TypeAlias = tuple[str, str]
"""Namespace (empty where the kind has none) and name."""


def kind_of(o: Raw) -> str:
    return str(o["kind"]).lower()


def describe(kind: str) -> Resource:
    """What is known of a kind; one that is in no table is taken for a namespaced custom resource."""
    return KNOWN.get(kind) or Resource(kind.capitalize(), "example.org", "v1", f"{kind}s", True)


def merge(old: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON merge patch, RFC 7386; what is not touched is shared, not copied."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def copied(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A deep copy of JSON, so that what a caller handed in stays the caller's."""
    if isinstance(value, Mapping):
        return {str(key): copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list | tuple) else value


class Store:
    """The objects, by kind and key, and by the UID of the objects that own them."""

    def __init__(self, stamp: Callable[[], str], seed: int) -> None:
        """`stamp` gives the present time as the API writes it; `seed` makes the UIDs of two clusters different."""
        self._stamp = stamp
        self._seed = seed % 16**12
        self._objects: dict[str, dict[Key, Object]] = {}
        self._owned: dict[str, dict[tuple[str, str, str], None]] = {}
        self._revision = 0
        self._uids = 0
        self._untold: deque[tuple[str, str, Raw, Raw | None]] = deque()
        self._telling = False
        self.listeners: list[Listener] = []

    @property
    def revision(self) -> int:
        """Grows with every change."""
        return self._revision

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def all(self, kind: str, namespace: str = "") -> list[Object]:
        """In order of creation; of all namespaces where none is given."""
        return [o for key, o in self._objects.get(kind, {}).items() if not namespace or key[0] == namespace]

    def within(self, namespace: str) -> list[Object]:
        """Every object of a namespace."""
        return [o for kind in self._objects for o in self.all(kind, namespace)]

    def owned(self, uid: str, kind: str = "") -> list[Object]:
        """The objects that name `uid` among their owners, in order of creation."""
        found = (self.find(*key) for key in self._owned.get(uid, ()) if not kind or key[0] == kind)
        return [o for o in found if o is not None]

    def current(self, o: Raw) -> Object | None:
        """The object as it is now; None if it went away, or another one bears its name."""
        found = self.find(*_key(o))
        return found if found is not None and found["metadata"]["uid"] == o["metadata"]["uid"] else None

    def create(self, o: Object) -> Object:
        """Stores a new object (its name must be free) with the metadata that the API server gives it."""
        self._uids += 1
        uid = f"{self._uids:08x}-0000-4000-8000-{self._seed:012x}"
        metadata = {**o["metadata"], "uid": uid, "creationTimestamp": self._stamp(), "generation": 1}
        return self._keep({**o, "metadata": metadata}, None)

    def change(self, o: Raw, patch: Raw) -> Object | None:
        """Merges `patch` into what the object is now; None if it is gone. Nothing is told where nothing changes."""
        old = self.current(o)
        if old is None:
            return None
        new: Object = merge(old, patch)
        if new == old:
            return old
        if new.get("spec") != old.get("spec"):
            new["metadata"] = {**new["metadata"], "generation": old["metadata"]["generation"] + 1}
        return self._keep(new, old)

    def remove(self, o: Raw) -> None:
        """Takes the object away for good, if it is still there."""
        old = self.current(o)
        if old is None:
            return
        kind, namespace, name = _key(old)
        del self._objects[kind][namespace, name]
        for owner in _owners(old):
            self._owned[owner].pop((kind, namespace, name), None)
        self._revision += 1
        last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self._revision)}}
        self._tell(GONE, kind, last, old)

    def _keep(self, o: Object, old: Object | None) -> Object:
        self._revision += 1
        o["metadata"] = {**o["metadata"], "resourceVersion": str(self._revision)}
        kind, namespace, name = _key(o)
        self._objects.setdefault(kind, {})[namespace, name] = o
        for owner in _owners(o):
            self._owned.setdefault(owner, {})[kind, namespace, name] = None
        self._tell(SEEN, kind, o, old)
        return o

    def _tell(self, change: str, kind: str, o: Raw, old: Raw | None) -> None:
        """Every listener hears of every change in the order of revisions, also when one of them makes the next."""
        self._untold.append((change, kind, o, old))
        if self._telling:
            return
        self._telling = True
        try:
            while self._untold:
                news = self._untold.popleft()
                for listener in self.listeners:
                    listener(*news)
        finally:
            self._telling = False


def _key(o: Raw) -> tuple[str, str, str]:
    return kind_of(o), str(o["metadata"].get("namespace", "")), str(o["metadata"]["name"])


def _owners(o: Raw) -> list[str]:
    return [str(owner["uid"]) for owner in o["metadata"].get("ownerReferences") or ()]
