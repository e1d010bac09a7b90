"""Names, SRV records and the text of metrics: what the shop brings itself because its image has no libraries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from chaoskit.refapp.app import metrics, names, srv


def test_a_resolver_file_is_read():
    text = "# made by hand\nsearch shop.svc.cluster.local svc.cluster.local\nnameserver 10.0.0.10\noptions ndots:5\n"
    assert srv.read_resolver(text) == srv.Resolver(("10.0.0.10",), ("shop.svc.cluster.local", "svc.cluster.local"))
    assert srv.read_resolver("") == srv.Resolver((), ())


def reply_to(question: bytes, records: list[tuple[int, int, int, bytes]], code: int = 0) -> bytes:
    """An answer whose owner names point back to the question, as servers write them."""
    head = question[:2] + struct.pack(">5H", 0x8180 | code, 1, len(records), 0, 0)
    body = question[12:]
    for priority, weight, port, target in records:
        data = struct.pack(">3H", priority, weight, port) + target
        body += b"\xc0\x0c" + struct.pack(">2HIH", srv.SRV, 1, 5, len(data)) + data
    return head + body


def serve_once(reply) -> int:
    """A name server on loopback that answers one question with `reply(question)`; gives its port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer() -> None:
        with server:
            question, client = server.recvfrom(512)
            server.sendto(reply(question), client)

    threading.Thread(target=answer).start()
    return server.getsockname()[1]


def test_srv_records_are_asked_for_and_the_preferred_comes_first():
    back, spare = b"\x04back\xc0\x1c", b"\x05spare\x04shop\x00"
    port = serve_once(lambda question: reply_to(question, [(10, 5, 81, spare), (0, 100, 8080, back)]))
    found = asyncio.run(srv.look_up("_http._tcp.back.shop", "127.0.0.1", port))
    assert found[0][1] == 8080
    assert found[0][0].startswith("back.")
    assert found[1] == ("spare.shop", 81)


def test_a_name_that_is_not_there_is_said():
    port = serve_once(lambda question: reply_to(question, [], code=3))
    with pytest.raises(srv.LookupFailedError, match="no such name"):
        asyncio.run(srv.look_up("_http._tcp.none", "127.0.0.1", port))


def test_a_resolver_that_is_not_there_is_said():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(srv.LookupFailedError):
        asyncio.run(srv.look_up("_http._tcp.none", "127.0.0.1", port))


@given(st.binary(min_size=12, max_size=80))
def test_any_answer_is_records_or_an_error(message):
    with contextlib.suppress(srv.LookupFailedError, struct.error, IndexError):
        srv.answers(message)


def test_a_name_is_looked_up_once_while_its_answer_is_fresh():
    async def look_up() -> tuple[list[tuple[str, int]], names.Name]:
        name = names.Name("127.0.0.1", 80, cache_seconds=60)
        return [await name.address() for _ in range(3)], name

    addresses, name = asyncio.run(look_up())
    assert addresses == [("127.0.0.1", 80)] * 3
    assert name.failures == 0


def test_a_name_that_nobody_knows_is_an_error_and_counted():
    async def look_up() -> names.Name:
        name = names.Name("nobody.invalid", 80, cache_seconds=0)
        for _ in range(2):
            with pytest.raises(names.NotFoundError, match=r"nobody\.invalid"):
                await name.address()
        return name

    assert asyncio.run(look_up()).failures == 2


def test_losing_dns_leaves_the_last_answer_in_use_and_a_new_answer_is_taken_up():
    known: list[list[str]] = [["10.0.0.1"], [], [], ["10.0.0.2"]]

    async def resolve(host: str, port: int) -> list[str]:
        if not (addresses := known.pop(0) if len(known) > 1 else known[0]):
            raise OSError("no server could be asked")
        return addresses

    async def look_up() -> tuple[list[str], int]:
        name = names.Name("back", 80, cache_seconds=0, resolve=resolve)
        seen = []
        for _ in range(6):
            seen.append((await name.address())[0])
            await asyncio.sleep(0.01)
        return seen, name.failures

    seen, failures = asyncio.run(look_up())
    assert seen == ["10.0.0.1"] * 4 + ["10.0.0.2"] * 2
    assert failures == 2


@pytest.mark.parametrize(("memory", "seen"), [(60, ["10.0.0.1", "10.0.0.2"]), (float("inf"), ["10.0.0.1"] * 2)])
def test_an_address_that_led_nowhere_is_looked_up_again(memory, seen):
    known = iter([["10.0.0.1"], ["10.0.0.2"]])

    async def resolve(host: str, port: int) -> list[str]:
        return next(known)

    async def look_up() -> list[str]:
        name = names.Name("back", 80, cache_seconds=memory, resolve=resolve)
        first, _ = await name.address()
        name.doubt()  # Too young to be doubted.
        await asyncio.sleep(names.DOUBT_SECONDS + 0.05)
        again, _ = await name.address()
        assert again == first
        for _ in range(3):
            name.doubt()  # All together ask once.
        await asyncio.sleep(0.01)
        return [first, (await name.address())[0]]

    assert asyncio.run(look_up()) == seen


def test_several_addresses_are_used_in_turn():
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "10.0.0.2"]

    async def look_up() -> list[str]:
        name = names.Name("back", 80, cache_seconds=60, resolve=resolve)
        return [(await name.address())[0] for _ in range(4)]

    assert sorted(asyncio.run(look_up())) == ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"]


def test_the_kubelets_variables_are_read():
    environment = {"BACK_SERVICE_HOST": "10.0.0.9", "BACK_SERVICE_PORT": "8080", "MY_SHOP_SERVICE_HOST": "::1"}
    assert names.from_environment("back", environment) == ("10.0.0.9", 8080)
    for missing in ("front", "my-shop"):
        with pytest.raises(names.NotFoundError, match="before this pod"):
            names.from_environment(missing, environment)


@given(st.text(max_size=30))
def test_any_label_survives_the_text_format(label):
    registry = metrics.Registry()
    registry.counter("seen_total", "Things seen.", "what").add(label, by=2)
    (family,) = text_string_to_metric_families(registry.text())
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"what": label}, 2.0)]


@given(st.lists(st.floats(0, 20), min_size=1))
def test_a_histogram_counts_each_observation_in_every_bucket_that_holds_it(values):
    registry = metrics.Registry()
    histogram = registry.histogram("took_seconds", "How long it took.", "what")
    for value in values:
        histogram.observe(value, "it")
    (family,) = text_string_to_metric_families(registry.text())
    for sample in family.samples:
        if sample.name == "took_seconds_bucket":
            assert sample.value == sum(value <= float(sample.labels["le"]) for value in values)
        elif sample.name == "took_seconds_sum":
            assert sample.value == pytest.approx(sum(values))
        else:
            assert sample.value == len(values)
