"""A web server on loopback that answers as a test scripts it: real sockets, real HTTP, no patching."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DEADLINE_S = 10.0


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """A whole answer. `body` is written as JSON unless it is bytes already."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    after_s: float = 0.0

    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Stream:
    """An answer without an end, written piece by piece as the test says."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[bytes | str] = queue.Queue()
        self.opened = threading.Event()

    def say(self, event: str, obj: dict[str, Any]) -> None:
        self.raw(json.dumps({"type": event, "object": obj}).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        self.pieces.put(data)

    def end(self) -> None:
        """An orderly end."""
        self.pieces.put("end")

    def drop(self) -> None:
        """The connection is reset."""
        self.pieces.put("drop")


class Drop:
    """Instead of an answer: the connection is reset after the request was read."""


Answer = Reply | Stream | Drop | Callable[[Asked], "Answer"]


class Served:
    """The server. Answers to one method and path are given in turn; the last one is given for ever."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._asked: list[Asked] = []
        self._changed = threading.Condition()
        self._streams: list[Stream] = []
        self.http = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[method, path] = list(answers)
        self._streams += [a for a in answers if isinstance(a, Stream)]

    def asked(self, method: str = "", path: str = "") -> list[Asked]:
        with self._changed:
            return [a for a in self._asked if method in ("", a.method) and path in ("", a.path)]

    def wait_asked(self, count: int, method: str, path: str) -> list[Asked]:
        """The requests, once there are `count` of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._count(method, path) >= count, DEADLINE_S)
        found = self.asked(method, path)
        assert len(found) >= count, f"{len(found)} of {count} requests {method} {path}; asked: {self._asked}"
        return found

    def _count(self, method: str, path: str) -> int:
        return sum(1 for a in self._asked if (a.method, a.path) == (method, path))

    def take(self, asked: Asked) -> Answer:
        with self._changed:
            self._asked.append(asked)
            self._changed.notify_all()
            answers = self._answers.get((asked.method, asked.path))
            if not answers:
                message = "the server could not find the requested resource"
                return Reply({"kind": "Status", "status": "Failure", "message": message, "code": 404}, 404)
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(asked) if callable(answer) else answer

    def close(self) -> None:
        for stream in self._streams:
            stream.end()
        self.http.shutdown()
        self._thread.join(DEADLINE_S)
        self.http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As for any TCP server: HTTPServer would ask the DNS for its own name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = DEADLINE_S
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def handle_any(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            asked = Asked(time.monotonic(), self.command, url.path, query, dict(self.headers), body)
            answer = served.take(asked)
            if isinstance(answer, Drop):
                self._reset()
            elif isinstance(answer, Stream):
                self._stream(answer)
            else:
                self._reply(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def _reply(self, reply: Reply) -> None:
            if reply.after_s:
                time.sleep(reply.after_s)
            data = reply.bytes()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            stream.opened.set()
            while isinstance(piece := stream.pieces.get(), bytes):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if piece == "end":
                self.wfile.write(b"0\r\n\r\n")
            else:
                self._reset()

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    return Handler


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    server.on("GET", "/version", Reply({"gitVersion": "v1.37.2"}))
    yield server
    server.close()


class Secured:
    """The server over TLS, with a certificate for localhost that it signed itself."""

    def __init__(self, served: Served, certificate: Path) -> None:
        self.url = f"https://localhost:{served.http.server_port}"
        self.certificate = certificate
        self.handshakes = 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = self._count
        served.http.socket = context.wrap_socket(served.http.socket, server_side=True)

    def _count(self, *_: object) -> None:
        self.handshakes += 1


@pytest.fixture
def secured(served: Served, tmp_path: Path) -> Secured:
    return Secured(served, _self_signed(tmp_path / "self-signed.pem"))


def _self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(encoding) + private)
    return path


@pytest.fixture
def script() -> Any:
    """The words in which a test scripts answers."""

    class Script:
        reply, stream, drop = Reply, Stream, Drop

        @staticmethod
        def status(code: int, message: str, reason: str = "", causes: Any = (), **headers: str) -> Reply:
            details = {"causes": list(causes)}
            content = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
            body = {"kind": "Status", "code": code, "message": message, "reason": reason, "details": details}
            return Reply(body, code, content)

        @staticmethod
        def page(items: list[dict[str, Any]], version: str, cont: str = "") -> Reply:
            return Reply({"metadata": {"resourceVersion": version, "continue": cont}, "items": items})

        @staticmethod
        def pod(name: str, version: str = "1", uid: str = "") -> dict[str, Any]:
            metadata = {"name": name, "namespace": "shop", "uid": uid or f"uid-{name}", "resourceVersion": version}
            return {"metadata": {**metadata, "managedFields": [{"manager": "kubelet"}]}, "spec": {"nodeName": "n1"}}

    return Script


@pytest.fixture
def write_kubeconfig(tmp_path: Path) -> Callable[..., Path]:
    """Writes a kubeconfig with one context, `here`, for a server and a user."""

    def write(server: str, user: dict[str, Any] | None = None) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "there", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": user or {}}],
            "contexts": [{"name": "here", "context": {"cluster": "there", "user": "me"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    return write
