"""Asks one address again and again, each time by a connection of its own, and prints what came back as JSON.

A program by itself, on the standard library alone: chaoskit runs it where the users are, and hands its text to the
Python of a pod (`python3 -c`), so that whoever asks does so from the very place whose way is to be tried.

    asker.py URL TIMES TIMEOUT_S [WITHIN_S]

Within so many seconds it begins each request but the first; it may thus ask fewer times than it was told.
"""

import http.client
import json
import socket
import sys
import time
from urllib.parse import urlsplit

PAUSE_S = 0.02
"""Between two requests: many connections at once would try the server, and not the way to it."""


WORDS: tuple[tuple[str, tuple[type[Exception], ...]], ...] = (
    ("dns", (socket.gaierror,)),
    ("refused", (ConnectionRefusedError,)),
    ("timeout", (TimeoutError,)),
    ("reset", (ConnectionError, http.client.HTTPException)),
    ("unreachable", (OSError,)),
)
"""Errors in one word, as the load's recordings have them; the first that fits."""


def kind_of(error: Exception) -> str:
    return next((word for word, kinds in WORDS if isinstance(error, kinds)), "other")


def ask(url: str, timeout_s: float) -> dict[str, object]:
    parts, began = urlsplit(url), time.monotonic()
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        found = {"status": answer.status, "who": answer.headers.get("x-served-by", ""), "error": ""}
    except (OSError, http.client.HTTPException) as error:
        found = {"status": 0, "who": "", "error": kind_of(error)}
    finally:
        connection.close()
    return {**found, "seconds": round(time.monotonic() - began, 6)}


def main(url: str, times: str, timeout_s: str, within_s: str = "inf") -> None:
    until = time.monotonic() + float(within_s)
    found = [ask(url, float(timeout_s))]
    while len(found) < int(times) and time.monotonic() + PAUSE_S < until:
        time.sleep(PAUSE_S)
        found.append(ask(url, float(timeout_s)))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
