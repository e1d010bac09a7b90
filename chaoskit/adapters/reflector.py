"""Keeps what happens to one kind of object: list, then watch, and list again when the watch broke.

Each event carries the moment at which its bytes arrived, taken before they are parsed. What the server does not promise
to deliver in time is said: a watch that broke, expired or fell silent is a `GAP`, after which the whole state is listed
again. The client library's own watch raises KeyError on an expired version and its informer hammers a server that
answers 429; hence this one.

    list in pages ─▶ watch from its version ─▶ orderly end (the server ends each after a while) ─▶ watch on, no gap
         ▲                │ expired (410), error, connection lost, silence
         └── pause ◀── GAP
"""

from __future__ import annotations

import errno
import json
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chaoskit.adapters.apiserver import LONG_READ_S, ApiServer, Call, Outcome
from chaoskit.adapters.kinds import Resource
from chaoskit.adapters.kubeconfig import KEEP_ALIVE_S
from chaoskit.errors import ForbiddenError, NotFoundError, PortError
from chaoskit.model import GAP, GONE, SEEN, Raw, Right, WatchEvent

if TYPE_CHECKING:
    import urllib3

PAGE = 500
"""Objects a page, as client-go lists."""
_READ_AT_ONCE = 1 << 20
_JITTER = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a reflector waits for what."""

    watch_s: float = 240.0
    """The server is asked to end each watch after this, so that a forgotten one does not stay."""
    silence_s: float = 75.0
    """A watch that says nothing for this long is dead: bookmarks come each minute (API server, cacher.go)."""
    no_bookmarks_watch_s: float = 50.0
    """Instead of `watch_s` for kinds without bookmarks: their watches end before silence means death."""
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0
    settled_s: float = 1.0
    """A watch that lasted this long, or said something, was a good one: the next pause is a short one again."""


PATIENCE = Patience()


class _BrokenError(Exception):
    """The watch, or a listing, broke. `since` is how long ago the last sign of life may have been."""

    def __init__(self, trouble: PortError, *, silent_s: float = 0.0, retry_after_s: float = 0.0) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble
        self.silent_s = silent_s
        self.retry_after_s = retry_after_s


class _ExpiredError(Exception):
    """The version, or the page, to go on from is no longer there: list again."""


class Reflector:
    """One kind in one namespace, by a thread of its own."""

    def __init__(
        self,
        api: ApiServer,
        resource: Resource,
        namespace: str,
        post: Callable[[WatchEvent], None],
        now: Callable[[], float],
        patience: Patience = PATIENCE,
    ) -> None:
        self._api = api
        self._resource = resource
        self._path = resource.collection(namespace)
        self._what = f"{resource.plural} in {namespace}" if namespace and resource.namespaced else resource.plural
        self._namespace = namespace if resource.namespaced else ""
        self._post = post
        self._now = now
        self._patience = patience
        self._known: dict[str, Raw] = {}
        self._synced = False
        self._broken = False
        self._trouble: PortError | None = None
        self._pause_s = patience.first_pause_s
        self._stream: urllib3.BaseHTTPResponse | None = None
        self._closed = False
        self._changed = threading.Condition()
        """Guards `_closed`, `_synced`, `_trouble`, `_stream` and delivery: nothing is delivered after `close`."""
        self._thread = threading.Thread(target=self._run, name=f"watch {self._what}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_synced(self, timeout_s: float) -> bool:
        """Whether the first listing was delivered. Raises ForbiddenError or NotFoundError: waiting would not help."""
        with self._changed:
            self._changed.wait_for(lambda: self._synced or self._hopeless() or self._closed, timeout_s)
            if self._hopeless() and self._trouble is not None:
                raise self._trouble
            return self._synced

    @property
    def trouble(self) -> str:
        """What is wrong at the moment, in one line, or empty."""
        trouble = self._trouble
        return ": ".join(filter(None, (trouble.what, trouble.why))) if trouble else ""

    def close(self) -> None:
        """Returns at once; no event is delivered afterwards."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._stream is not None:
                _shut(self._stream)

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended within the time."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _hopeless(self) -> bool:
        return not self._synced and isinstance(self._trouble, ForbiddenError | NotFoundError)

    def _run(self) -> None:
        while not self._closed:
            try:
                self._follow(self._list())
            except _ExpiredError:
                self._gap(silent_s=0.0)
                self._rest(0.0)
            except _BrokenError as broken:
                self._note(broken.trouble)
                self._gap(broken.silent_s)
                self._rest(broken.retry_after_s)

    def _note(self, trouble: PortError) -> None:
        with self._changed:
            self._trouble = trouble
            self._changed.notify_all()

    def _gap(self, silent_s: float) -> None:
        """Says once that the watch broke; before the first listing there is nothing to break."""
        if self._synced and not self._broken:
            self._broken = True
            self._deliver([WatchEvent(self._now() - silent_s, GAP, self._resource.singular, {})])

    def _rest(self, at_least_s: float) -> None:
        """A pause that doubles with each failure, shortened by chance so that many watches do not return at once."""
        pause = max(self._pause_s * _JITTER.uniform(0.5, 1.0), at_least_s)
        self._pause_s = min(self._pause_s * 2, self._patience.longest_pause_s)
        with self._changed:
            self._changed.wait_for(lambda: self._closed, pause)

    def _deliver(self, events: list[WatchEvent]) -> None:
        with self._changed:
            for event in events:
                if self._closed:
                    return
                self._post(event)

    # Listing

    def _list(self) -> str:
        """Delivers the whole state, and returns the version to watch from."""
        listed: list[tuple[float, Raw]] = []
        token = ""
        while True:
            metadata, items, at = self._page(token)
            listed += [(at, item) for item in items]
            token = str(metadata.get("continue") or "")
            if not token:
                break
        self._replace(listed)
        with self._changed:
            self._synced, self._broken, self._trouble = True, False, None
            self._changed.notify_all()
        return str(metadata.get("resourceVersion") or "")

    def _page(self, token: str) -> tuple[Mapping[str, Any], list[Raw], float]:
        """One page: the list's metadata, its objects, and the moment of its arrival."""
        query = {"limit": str(PAGE)} | ({"continue": token} if token else {})
        call = self._call("list", query, LONG_READ_S)
        outcome = self._api.once(call)
        at = self._now()
        if outcome.status == 410:
            raise _ExpiredError
        if not outcome.ok:
            raise self._broke(call, outcome)
        try:
            page = json.loads(outcome.body)
            items = list(complete(page["items"] or (), self._resource))
            return dict(page["metadata"]), items, at
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _BrokenError(PortError(f"cannot {call.what}: the answer is no list of objects")) from error

    def _replace(self, listed: list[tuple[float, Raw]]) -> None:
        kind, now = self._resource.singular, self._now()
        present = {str(item["metadata"]["uid"]): item for _, item in listed}
        gone = [o for uid, o in self._known.items() if uid not in present]
        self._known = present
        events = [WatchEvent(now, GONE, kind, o, first=True) for o in gone]
        self._deliver(events + [WatchEvent(at, SEEN, kind, item, first=True) for at, item in listed])

    # Watching

    def _follow(self, version: str) -> None:
        """Watches from `version` on, over any number of orderly ends."""
        while not self._closed:
            version = self._watch(version)

    def _watch(self, version: str) -> str:
        """One watch, to its orderly end; returns the version reached."""
        resource, patience = self._resource, self._patience
        lasts_s = patience.watch_s if resource.bookmarks else patience.no_bookmarks_watch_s
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(lasts_s))),
        }
        call = self._call("watch", query, patience.silence_s)
        outcome = self._api.open(call)
        if outcome.status == 410:
            raise _ExpiredError
        if outcome.stream is None:
            raise self._broke(call, outcome)
        began = self._now()
        reached = version
        with closing(self._lines(call, outcome.stream)) as lines:
            for at, line in lines:
                reached = self._take(call, at, line) or reached
                self._pause_s = patience.first_pause_s
        if self._now() - began >= patience.settled_s:
            self._pause_s = patience.first_pause_s
        elif reached == version:
            self._rest(0.0)  # A server, or a proxy, that ends every watch at once.
        return reached

    def _lines(self, call: Call, stream: urllib3.BaseHTTPResponse) -> Generator[tuple[float, bytes], None, None]:
        """Whole lines with the moment of their arrival. What follows the last newline at an orderly end is no event:
        the next watch brings it again."""
        import urllib3

        if not self._opened(stream):
            return
        heard, rest = self._now(), b""
        try:
            while data := stream.read1(_READ_AT_ONCE):
                heard = self._now()
                *lines, rest = (rest + data).split(b"\n") if b"\n" in data else (rest + data,)
                for line in lines:
                    yield heard, line
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if not self._closed:
                trouble = self._api.refusal(call, Outcome(error=error))
                raise _BrokenError(trouble, silent_s=_silent(error, self._now() - heard)) from error
        finally:
            self._over(stream)

    def _opened(self, stream: urllib3.BaseHTTPResponse) -> bool:
        with self._changed:
            if self._closed:
                stream.close()
                return False
            self._stream = stream
            return True

    def _over(self, stream: urllib3.BaseHTTPResponse) -> None:
        """A connection read to its end goes back to the pool; any other is closed."""
        with self._changed:
            self._stream = None
        stream.close()
        stream.release_conn()

    def _take(self, call: Call, at: float, line: bytes) -> str:
        """Delivers what a line says, and returns its version."""
        try:
            said = json.loads(line)
            kind, item = said["type"], said["object"]
            if kind == "ERROR":
                raise self._error(call, item)
            version = str(item["metadata"]["resourceVersion"])
            event = None if kind == "BOOKMARK" else self._event(at, kind, item)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _BrokenError(PortError(f"cannot {call.what}: a line of the answer is no event")) from error
        if event is not None:
            self._deliver([event])
        return version

    def _event(self, at: float, kind: str, item: dict[str, Any]) -> WatchEvent:
        item["metadata"].pop("managedFields", None)
        uid = str(item["metadata"]["uid"])
        if kind == "DELETED":
            self._known.pop(uid, None)
            return WatchEvent(at, GONE, self._resource.singular, item)
        self._known[uid] = item
        return WatchEvent(at, SEEN, self._resource.singular, item)

    def _error(self, call: Call, status: Mapping[str, Any]) -> _BrokenError | _ExpiredError:
        """An error in the stream: a Status with the code that the HTTP answer would have had."""
        code = int(status.get("code") or 500)
        if code == 410:
            return _ExpiredError()
        return self._broke(call, Outcome(code, json.dumps(status).encode(), retry_after_s=_seconds_asked(status)))

    def _broke(self, call: Call, outcome: Outcome) -> _BrokenError:
        trouble = self._api.refusal(call, outcome)
        return _BrokenError(trouble, retry_after_s=outcome.retry_after_s or 0.0)

    def _call(self, verb: str, query: Mapping[str, str], read_s: float) -> Call:
        resource = self._resource
        right = Right(verb, resource.group, resource.plural, self._namespace)
        return Call(f"{verb} {self._what}", "GET", self._path, query, read_s=read_s, right=right)


class Reflectors:
    """Several reflectors as one running watch."""

    def __init__(self, reflectors: list[Reflector]) -> None:
        self._reflectors = reflectors
        for reflector in reflectors:
            reflector.start()

    def wait_synced(self, timeout_s: float) -> bool:
        """Whether the first listing of every kind has been delivered. Raises ForbiddenError or NotFoundError for a kind
        that may not be read or is not there: waiting would not help."""
        deadline = time.monotonic() + timeout_s
        return all(reflector.wait_synced(max(0.0, deadline - time.monotonic())) for reflector in self._reflectors)

    @property
    def trouble(self) -> str:
        """Why some kinds are not being watched at the moment, in one line; empty when all are."""
        troubles = [r.trouble for r in self._reflectors if r.trouble]
        more = f" (and {len(troubles) - 1} more kinds)" if len(troubles) > 1 else ""
        return f"{troubles[0]}{more}" if troubles else ""

    def close(self) -> None:
        """Ends it within a second. A thread that is just connecting ends when its own deadline is over, silently."""
        for reflector in self._reflectors:
            reflector.close()
        deadline = time.monotonic() + 1.0
        for reflector in self._reflectors:
            reflector.join(max(0.0, deadline - time.monotonic()))


def complete(items: Iterable[dict[str, Any]], resource: Resource) -> Iterator[Raw]:
    """Items of a list as single objects are: with apiVersion and kind, which a list leaves out; without managedFields,
    which nobody reads and which are half of the bytes."""
    for item in items:
        item["metadata"].pop("managedFields", None)
        yield {"apiVersion": resource.api_version, "kind": resource.kind, **item}


def _shut(stream: urllib3.BaseHTTPResponse) -> None:
    """Wakes the thread that reads from it. A stream that has ended meanwhile is no trouble."""
    try:
        stream.shutdown()
    except (OSError, ValueError, RuntimeError):
        return


def _silent(error: Exception, since_heard_s: float) -> float:
    """How long before an error the watch may have been dead already: events of that time are late or lost."""
    import urllib3

    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return since_heard_s
    if errno.errorcode.get(_errno(error)) == "ETIMEDOUT":
        return min(since_heard_s, KEEP_ALIVE_S)
    return 0.0


def _errno(error: BaseException) -> int:
    innermost: BaseException | None = error
    while innermost is not None:
        if isinstance(innermost, OSError) and innermost.errno:
            return innermost.errno
        innermost = innermost.__cause__ or innermost.__context__
    return 0


def _seconds_asked(status: Mapping[str, Any]) -> float | None:
    asked = (status.get("details") or {}).get("retryAfterSeconds")
    return float(asked) if isinstance(asked, int) else None
