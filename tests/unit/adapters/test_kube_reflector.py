"""What a watch tells when the API server behaves, and when it does not."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from chaoskit.adapters import kubeconfig
from chaoskit.adapters.apiserver import ApiServer
from chaoskit.adapters.kinds import KNOWN
from chaoskit.adapters.reflector import Patience, Reflector, Reflectors
from chaoskit.errors import ForbiddenError

pytestmark = pytest.mark.slow

PODS = "/api/v1/namespaces/shop/pods"
QUICK = Patience(first_pause_s=0.02, longest_pause_s=0.1)


class Watched:
    """A running watch of pods, and what it delivered."""

    def __init__(self, api, patience=QUICK, kind="pod"):
        self.events = queue.Queue()
        self.all = []
        reflector = Reflector(api, KNOWN[kind], "shop", self.events.put, time.monotonic, patience)
        self.watching = Reflectors([reflector])

    def next(self, count):
        """The next events as `(change, name, first)`."""
        got = [self.events.get(timeout=10) for _ in range(count)]
        self.all += got
        return [(e.change, e.object.get("metadata", {}).get("name", ""), e.first) for e in got]


@pytest.fixture
def api(served, write_kubeconfig):
    client, context = kubeconfig.connect(write_kubeconfig(served.url), None)
    connection = ApiServer(client, context)
    yield connection
    connection.close()


@pytest.fixture
def watch(api):
    watched = []

    def start(patience=QUICK, kind="pod"):
        watched.append(Watched(api, patience, kind))
        return watched[-1]

    yield start
    for one in watched:
        one.watching.close()


def watch_requests(served, count):
    """The requests that began a watch, once there are `count`."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [a for a in served.asked("GET", PODS) if "watch" in a.query]
        if len(found) >= count:
            return found
        served.wait_asked(len(served.asked("GET", PODS)), "GET", PODS)
        time.sleep(0.005)
    raise AssertionError(f"no {count} watches: {served.asked()}")


def test_lists_in_pages_then_watches_from_the_version_listed(served, script, watch):
    stream = script.stream()
    served.on(
        "GET",
        PODS,
        script.page([script.pod("a")], "7", cont="more"),
        script.page([script.pod("b")], "7"),
        stream,
    )
    watched = watch()
    assert watched.next(2) == [("seen", "a", True), ("seen", "b", True)]
    assert watched.watching.wait_synced(5)

    stream.say("ADDED", script.pod("c", "8"))
    stream.say("MODIFIED", script.pod("a", "9"))
    stream.say("BOOKMARK", {"metadata": {"resourceVersion": "12"}})
    stream.say("DELETED", script.pod("b", "13"))
    assert watched.next(3) == [("seen", "c", False), ("seen", "a", False), ("gone", "b", False)]

    first, second, third = served.asked("GET", PODS)
    assert first.query == {"limit": "500"}
    assert second.query == {"limit": "500", "continue": "more"}
    assert third.query["resourceVersion"] == "7"
    assert third.query["allowWatchBookmarks"] == "true"


def test_objects_are_whole_and_without_managed_fields(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([script.pod("a")], "1"), stream)
    watched = watch()
    stream.say("ADDED", {"kind": "Pod", "apiVersion": "v1", **script.pod("b", "2")})
    watched.next(2)
    for event in watched.all:
        assert (event.kind, event.object["kind"], event.object["apiVersion"]) == ("pod", "Pod", "v1")
        assert "managedFields" not in event.object["metadata"]


def test_events_are_stamped_on_arrival(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([], "1"), stream)
    watched = watch()
    assert stream.opened.wait(5)
    before = time.monotonic()
    stream.say("ADDED", script.pod("a", "2"))
    watched.next(1)
    assert before <= watched.all[0].at <= time.monotonic()


def test_lines_may_be_cut_anywhere(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([], "1"), stream)
    watched = watch()
    line = b'{"type":"ADDED","object":{"metadata":{"name":"a","uid":"u","resourceVersion":"2"}}}\n'
    stream.raw(line[:10])
    stream.raw(line[10:50])
    stream.raw(line[50:] + line.replace(b'"a"', b'"b"') + line[:5])
    stream.raw(line[5:].replace(b'"a"', b'"c"'))
    assert [name for _, name, _ in watched.next(3)] == ["a", "b", "c"]


def test_an_orderly_end_is_no_gap(served, script, watch):
    one, two, three = script.stream(), script.stream(), script.stream()
    served.on("GET", PODS, script.page([script.pod("a")], "5"), one, two, three)
    watched = watch()
    one.say("MODIFIED", script.pod("a", "6"))
    one.end()
    two.say("BOOKMARK", {"metadata": {"resourceVersion": "42"}})
    two.end()
    three.say("DELETED", script.pod("a", "43"))
    assert watched.next(3) == [("seen", "a", True), ("seen", "a", False), ("gone", "a", False)]
    assert [a.query["resourceVersion"] for a in watch_requests(served, 3)] == ["5", "6", "42"]
    assert len([a for a in served.asked("GET", PODS) if "limit" in a.query]) == 1


@pytest.mark.parametrize("where", ["in the stream", "as the answer"])
def test_an_expired_version_is_a_gap_and_a_new_listing(served, script, watch, where):
    stream, after = script.stream(), script.stream()
    expired = script.status(410, "too old resource version", "Expired")
    broken = stream if where == "in the stream" else expired
    served.on(
        "GET",
        PODS,
        script.page([script.pod("a"), script.pod("b")], "5"),
        broken,
        script.page([script.pod("b", "80"), script.pod("c", "81")], "90"),
        after,
    )
    watched = watch()
    watched.next(2)
    stream.say("ERROR", expired.body)
    assert watched.next(4) == [("gap", "", False), ("gone", "a", True), ("seen", "b", True), ("seen", "c", True)]
    after.say("MODIFIED", script.pod("c", "91"))
    assert watched.next(1) == [("seen", "c", False)]
    assert watch_requests(served, 2)[1].query["resourceVersion"] == "90"


def test_pages_that_expire_are_read_again_and_delivered_once(served, script, watch):
    served.on(
        "GET",
        PODS,
        script.page([script.pod("a")], "5", cont="more"),
        script.status(410, "The provided continue parameter is too old", "Expired"),
        script.page([script.pod("a"), script.pod("b")], "9"),
        script.stream(),
    )
    watched = watch()
    assert watched.next(2) == [("seen", "a", True), ("seen", "b", True)]
    assert watched.watching.wait_synced(5)
    assert watched.events.empty()


def test_a_lost_connection_is_one_gap_however_long_it_takes(served, script, watch):
    stream = script.stream()
    served.on(
        "GET",
        PODS,
        script.page([script.pod("a")], "5"),
        stream,
        script.drop(),
        script.reply(b"<html>starting</html>", 503, {"Content-Type": "text/html"}),
        script.drop(),
        script.page([script.pod("a", "50"), script.pod("b", "51")], "60"),
        script.stream(),
    )
    watched = watch()
    watched.next(1)
    stream.say("MODIFIED", script.pod("a", "6"))
    assert watched.next(1) == [("seen", "a", False)]
    stream.drop()
    assert watched.next(3) == [("gap", "", False), ("seen", "a", True), ("seen", "b", True)]
    assert watched.watching.trouble == ""


def test_a_stream_cut_within_a_line_is_a_gap(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([], "5"), stream, script.page([script.pod("a")], "9"), script.stream())
    watched = watch()
    assert watched.watching.wait_synced(5)
    stream.raw(b'{"type":"ADDED","object":{"meta')
    stream.drop()
    assert watched.next(2) == [("gap", "", False), ("seen", "a", True)]


def test_what_follows_the_last_newline_comes_again(served, script, watch):
    one, two = script.stream(), script.stream()
    served.on("GET", PODS, script.page([], "5"), one, two)
    watched = watch()
    one.raw(b'{"type":"ADDED","object":{"meta')
    one.end()
    two.say("ADDED", script.pod("a", "6"))
    assert watched.next(1) == [("seen", "a", False)]
    assert [a.query["resourceVersion"] for a in watch_requests(served, 2)] == ["5", "5"]


def test_silence_is_a_gap_that_began_with_the_last_sign_of_life(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([script.pod("a")], "5"), stream, script.page([], "9"), script.stream())
    watched = watch(Patience(silence_s=0.4, first_pause_s=0.02))
    assert stream.opened.wait(5)
    stream.say("MODIFIED", script.pod("a", "6"))
    assert watched.next(4) == [
        ("seen", "a", True),
        ("seen", "a", False),
        ("gap", "", False),
        ("gone", "a", True),
    ]
    heard, gap, gone = watched.all[1].at, watched.all[2].at, watched.all[3].at
    assert gap == pytest.approx(heard, abs=0.1)
    assert gone - gap > 0.3


def test_kinds_without_bookmarks_are_watched_in_short_turns(served, script, watch):
    path = "/apis/events.k8s.io/v1/namespaces/shop/events"
    served.on("GET", path, script.page([], "1"), script.stream())
    watch(Patience(), kind="event")
    asked = served.wait_asked(2, "GET", path)[1]
    assert int(asked.query["timeoutSeconds"]) < Patience().silence_s


def test_a_server_that_asks_for_patience_gets_it(served, script, watch):
    stream = script.stream()
    busy = script.status(429, "too many requests", Retry_After="1")
    served.on("GET", PODS, script.page([], "5"), busy, script.page([], "6"), stream)
    watched = watch()
    assert stream.opened.wait(5)
    assert watched.next(1) == [("gap", "", False)]
    _, refused, again, _ = served.asked("GET", PODS)
    assert again.at - refused.at >= 1.0


@pytest.mark.parametrize("failure", ["status", "drop", "end"])
def test_a_failing_server_is_not_hammered(served, script, watch, failure):
    def answer(asked):
        if "watch" not in asked.query:
            return script.page([], "5")
        if failure == "end":
            stream = script.stream()
            stream.end()
            return stream
        return script.drop() if failure == "drop" else script.status(429, "too many requests")

    served.on("GET", PODS, answer)
    watched = watch(Patience())
    assert watched.watching.wait_synced(5)
    threading.Event().wait(0.8)
    assert 2 <= len([a for a in served.asked("GET", PODS) if "watch" in a.query]) <= 7


def test_a_missing_right_is_told_at_once(served, script, watch):
    message = 'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "shop"'
    served.on("GET", PODS, script.status(403, message, "Forbidden"))
    watched = watch()
    began = time.monotonic()
    with pytest.raises(ForbiddenError, match="missing the right to list pods in shop"):
        watched.watching.wait_synced(10)
    assert time.monotonic() - began < 2


def test_waiting_for_the_first_listing_has_an_end_and_a_reason(served, script, watch):
    served.on("GET", PODS, script.status(503, "etcd is not there"))
    watched = watch()
    assert not watched.watching.wait_synced(0.3)
    assert "etcd is not there" in watched.watching.trouble
    assert watched.events.empty()


def test_close_is_prompt_and_final(served, script, watch):
    stream = script.stream()
    served.on("GET", PODS, script.page([script.pod("a")], "5"), stream)
    watched = watch()
    watched.next(1)
    assert stream.opened.wait(5)
    began = time.monotonic()
    watched.watching.close()
    assert time.monotonic() - began < 1.0
    assert not [t for t in threading.enumerate() if t.name.startswith("watch ")]
    stream.say("ADDED", script.pod("b", "6"))
    stream.end()
    with pytest.raises(queue.Empty):
        watched.events.get(timeout=0.1)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'"text"',
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":{}}',
        b'{"type":"ADDED","object":{"metadata":{"resourceVersion":"6"}}}',
        b'{"type":"ERROR","object":7}',
        b'{"type":"ERROR","object":{"code":500,"message":"unable to decode"}}',
    ],
)
def test_a_line_that_is_no_event_is_a_gap_and_not_the_end(served, script, watch, line):
    stream = script.stream()
    served.on("GET", PODS, script.page([], "5"), stream, script.page([script.pod("a")], "9"), script.stream())
    watched = watch()
    stream.raw(line + b"\n")
    assert watched.next(2) == [("gap", "", False), ("seen", "a", True)]


@pytest.mark.parametrize("body", [b"<html>", [], {}, {"items": 7, "metadata": {}}, {"items": [7], "metadata": {}}])
def test_a_listing_that_is_none_is_tried_again(served, script, watch, body):
    served.on("GET", PODS, script.reply(body), script.page([script.pod("a")], "5"), script.stream())
    assert watch().next(1) == [("seen", "a", True)]


def test_trouble_with_many_kinds_is_one_line(served, api):
    served.close()
    reflectors = [Reflector(api, KNOWN[k], "shop", print, time.monotonic, QUICK) for k in ("pod", "service")]
    watching = Reflectors(reflectors)
    assert not watching.wait_synced(0.5)
    assert watching.trouble.endswith("Connection refused (and 1 more kinds)")
    watching.close()
