"""An API server as it is on a bad day: a proxy on loopback that loses answers, refuses, breaks connections and watches.

It speaks plain HTTP to whoever runs on this machine and has the embedded cluster's own credentials: it is for
benchmarks on a cluster that holds nothing, and ends with them.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import yaml

CHANCE = 0.08
"""Of a request to meet trouble."""
LONGEST_WATCH_S = 6.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""


class Unkind(BaseHTTPRequestHandler):
    """Hands a request on, or does not."""

    protocol_version = "HTTP/1.1"
    upstream: ClassVar[tuple[str, int]]
    context: ClassVar[ssl.SSLContext]
    rng: ClassVar[random.Random]
    lock: ClassVar[threading.Lock] = threading.Lock()
    met: ClassVar[dict[str, int]] = {}

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - the base class's
        return

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._fault()
        if fault == "reset":
            self._drop()
        elif fault in ("409", "410", "429", "500"):
            self._refuse(int(fault))
        else:
            self._forward(body, lost=fault == "lost", cut_s=LONGEST_WATCH_S if fault == "cut" else None)

    def _fault(self) -> str:
        with self.lock:
            if self.rng.random() >= CHANCE:
                return ""
            wanted = ["lost", "reset", "429", "500"]
            if self.command != "GET":
                wanted.append("409")
            elif "watch" in self.path or "continue" in self.path:
                wanted += ["410", "cut"]
            fault = self.rng.choice(wanted)
            self.met[fault] = self.met.get(fault, 0) + 1
            return fault

    def _refuse(self, code: int) -> None:
        said = json.dumps(
            {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "unkind"}
        )
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        if code == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(said.encode())

    def _drop(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close_connection = True
        self.connection.close()

    def _forward(self, body: bytes, *, lost: bool, cut_s: float | None) -> None:
        there = http.client.HTTPSConnection(*self.upstream, context=self.context, timeout=cut_s or 60.0)
        try:
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "accept-encoding")}
            there.request(self.command, self.path, body or None, kept)
            answer = there.getresponse()
            if lost:
                answer.read()
                self._drop()
            else:
                self._pass_on(answer)
        except (OSError, http.client.HTTPException):
            self._drop()
        finally:
            there.close()

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        """In chunks as they come: a watch never ends."""
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's
        """A client that was killed has broken its connection: that is meant."""


@contextmanager
def unkind(kubeconfig: Path, seed: int) -> Iterator[tuple[Path, dict[str, int]]]:
    """A kubeconfig whose context `unkind` leads through the proxy, and what requests have met."""
    with tempfile.TemporaryDirectory(prefix="unkind-") as made:
        folder = Path(made)
        said = yaml.safe_load(kubeconfig.read_text())
        cluster, user = said["clusters"][0]["cluster"], said["users"][0]["user"]
        address = urlsplit(cluster["server"])
        Unkind.upstream = (str(address.hostname), int(address.port or 443))
        Unkind.context = ssl.create_default_context(cadata=_decoded(cluster, "certificate-authority"))
        pair = folder / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(_decoded(user, "client-certificate") + _decoded(user, "client-key"))
        Unkind.context.load_cert_chain(pair)
        Unkind.rng, Unkind.met = random.Random(f"unkind {seed}"), {}  # noqa: S311 - repeatable
        with Server(("127.0.0.1", 0), Unkind) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield _kubeconfig(folder / "config", f"http://127.0.0.1:{server.server_address[1]}"), Unkind.met
            server.shutdown()


def _decoded(part: dict[str, str], key: str) -> str:
    if f"{key}-data" in part:
        return base64.b64decode(part[f"{key}-data"]).decode()
    return Path(part[key]).read_text()


def _kubeconfig(path: Path, server: str) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "unkind", "cluster": {"server": server}}],
        "users": [{"name": "unkind", "user": {}}],
        "contexts": [{"name": "unkind", "context": {"cluster": "unkind", "user": "unkind"}}],
        "current-context": "unkind",
    }
    path.write_text(yaml.safe_dump(content))
    return path
