"""A web server that misbehaves on command, and the load's real processes to send to it."""

from __future__ import annotations

import asyncio
import datetime
import json
import queue
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chaoskit.samples import Sample, read_samples

BODY = b'{"shop": "refapp", "items": [{"id": "tea"}]}'
HEAD = b"HTTP/1.1 %s\r\nContent-Length: %d\r\nX-Served-By: pod-1\r\nX-Version: 2\r\nX-Color: blue\r\n\r\n"
RST_ON_CLOSE = struct.pack("ii", 1, 0)
PATIENCE_S = 20.0
BEHAVIOURS = ("hang", "reset", "error", "garbage", "twice")


class Server:
    """`behaviour`: ok, slow (answers after `delay_s`), hang (never answers), reset, error (503), garbage or twice
    (a header field comes twice).

    A path like `/hang` behaves by its name, whatever the behaviour of the rest.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.behaviour = "ok"
        self.delay_s = 0.0
        self.connections = 0
        self.requests: list[str] = []
        self._open: set[asyncio.Transport] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = 0
        self.on()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def on(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._loop.call_soon_threadsafe(self._loop.add_reader, self._listener, self._accept)

    def off(self) -> None:
        """Refuses connections from now on, and resets the ones that are open."""

        async def close() -> None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            while self._open or self._opening:  # What was accepted just before is not open yet.
                self._reset_all()
                await asyncio.sleep(0.005)

        self._run(close())

    def _accept(self) -> None:
        """By hand and in one go: asyncio's own server, and a cancelled `sock_accept`, leak what they have accepted."""
        with suppress(BlockingIOError):
            accepted, _ = self._listener.accept()
            accepted.setblocking(False)
            opening = self._loop.create_task(self._serve(accepted))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        with suppress(OSError):  # A client that gives up during the TLS handshake.
            await self._loop.connect_accepted_socket(lambda: _Connection(self), accepted, ssl=self._tls)

    def reset_connections(self) -> None:
        async def reset() -> None:
            self._reset_all()

        self._run(reset())

    def close(self) -> None:
        if self._listener.fileno() >= 0:
            self.off()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def _reset_all(self) -> None:
        for transport in list(self._open):
            _reset(transport)


def _reset(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
    transport.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport) -> None:
        self._transport = transport
        self._server.connections += 1
        self._server._open.add(transport)

    def connection_lost(self, exc) -> None:
        self._server._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        server = self._server
        request = data.split(b"\r\n")[0].decode()
        server.requests.append(request)
        close = b"Connection: close" in data
        path = request.split(" ")[1][1:]
        match path if path in BEHAVIOURS else server.behaviour:
            case "hang":
                pass
            case "reset":
                _reset(self._transport)
            case "garbage":
                self._transport.write(b"what?\r\n\r\n")
            case "slow":
                server._loop.call_later(server.delay_s, self._answer, b"200 OK", close)
            case "error":
                self._answer(b"503 Service Unavailable", close)
            case "twice":
                self._answer(b"200 OK\r\nX-Version: 1", close)
            case _:
                self._answer(b"200 OK", close)

    def _answer(self, status: bytes, close: bool) -> None:
        if not self._transport.is_closing():
            self._transport.write(HEAD % (status, len(BODY)) + BODY)
            if close:
                self._transport.close()


@pytest.fixture
def tls_server(tmp_path) -> Iterator[Server]:
    """One with a certificate that it made itself, as apps under test have."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = Server(context)
    yield server
    server.close()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "shop.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


class LoadProcess:
    """A process of the load, as the adapter runs it: told on stdin, heard on stdout."""

    def __init__(self, module: str, folder: Path, config: dict[str, object]) -> None:
        self.recording = folder / module
        self.origin_ns = time.monotonic_ns()
        self.said: list[dict] = []
        self._lines: queue.Queue[dict | None] = queue.Queue()
        file = folder / f"{module}.json"
        file.write_text(json.dumps({"recording": str(self.recording), "origin_ns": self.origin_ns} | config))
        self.argv = [sys.executable, "-m", f"chaoskit.load.{module}", str(file)]
        self._log = folder / f"{module}.log"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.popen.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def now(self) -> float:
        return (time.monotonic_ns() - self.origin_ns) / 1e9

    def wait_for(self, condition: Callable[[dict], bool]) -> dict:
        """The next line for which `condition` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"it ended; it said {self.said[-2:]}, and its log is {self.log()}"
            self.said.append(line)
            if condition(line):
                return line

    def tell(self, **told: object) -> None:
        self.popen.stdin.write(json.dumps(told).encode() + b"\n")
        self.popen.stdin.flush()

    def stop(self) -> dict:
        """Ends it in order; its last line."""
        self.popen.send_signal(signal.SIGTERM)
        return self.wait_for(lambda line: bool(line.get("done")))

    def wait(self) -> int:
        code = self.popen.wait(PATIENCE_S)
        self._reader.join()
        return code

    def samples(self) -> list[Sample]:
        return list(read_samples(self.recording))

    def log(self) -> str:
        return self._log.read_text()

    def close(self) -> None:
        self.popen.kill()
        self.wait()
        self.popen.stdin.close()
        self.popen.stdout.close()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., LoadProcess]]:
    started: list[LoadProcess] = []

    def start(module: str, **config: object) -> LoadProcess:
        started.append(LoadProcess(module, tmp_path, config))
        return started[-1]

    yield start
    for process in started:
        process.close()
