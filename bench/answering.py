"""A web server that costs little: the benchmarks of the load send to it. GET /count tells how many requests it saw.

python bench/answering.py        prints the port it listens on (loopback), and ends with its standard input
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Served-By: pod-1\r\nX-Version: 1\r\nX-Color: blue\r\n\r\n%s"
OK = ANSWER % (2, b"ok")


class Answering(asyncio.Protocol):
    seen = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        Answering.seen += 1
        if data.startswith(b"GET /count"):
            count = str(Answering.seen).encode()
            self._transport.write(ANSWER % (len(count), count))
        else:
            self._transport.write(OK)
        if b"Connection: close" in data:
            self._transport.close()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def running() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate(timeout=10)


def count(url: str) -> int:
    with urllib.request.urlopen(f"{url}/count", timeout=10) as answer:  # noqa: S310
        return int(answer.read())


class Stolen:
    """The share of the machine's CPU time that a hypervisor gave to others, since this was made.

    While it does, nothing here runs, whatever its priority: a run with stolen time says little of what it measures.
    """

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float:
        stolen, total = (now - before for now, before in zip(self._read(), self._before, strict=True))
        return stolen / max(total, 1)

    @staticmethod
    def _read() -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:9]]
        return fields[7], sum(fields)


if __name__ == "__main__":
    asyncio.run(serve())
