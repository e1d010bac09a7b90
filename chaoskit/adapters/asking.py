"""Runs the asker where an address is to be tried from: where the users are, or inside a pod."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chaoskit.adapters import podexec
from chaoskit.errors import PortError
from chaoskit.model import Raw, Reached
from chaoskit.ports import REACH_WITHIN_S

if TYPE_CHECKING:
    from kubernetes.client import Configuration

ASKER = Path(__file__).with_name("asker.py")
START_S = 5.0
PYTHONS = ("python3", "/usr/local/bin/python3", "/usr/bin/python3")


def from_here(
    url: str, times: int, timeout_s: float, inside: Callable[[Sequence[str]], Sequence[str]]
) -> list[Reached]:
    """From where the users are; `inside` makes the command that runs there."""
    argv = inside([sys.executable, "-I", "-S", str(ASKER), url, str(times), str(timeout_s)])
    limit_s = START_S + 2 * timeout_s * times
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise PortError(f"{url} could not be tried", why=f"the asker did not end within {limit_s:.0f} s") from error
    if ended.returncode:
        raise PortError(f"{url} could not be tried", why=ended.stderr.strip()[-300:])
    return parsed(ended.stdout, url)


def from_pod(configuration: Configuration, pod: Raw, url: str, times: int, timeout_s: float) -> list[Reached]:
    """From inside a pod's first container, by its own Python."""
    name, namespace = str(pod["metadata"]["name"]), str(pod["metadata"]["namespace"])
    container = str(pod["spec"]["containers"][0]["name"])
    source = ASKER.read_text(encoding="utf-8")
    found = list[Reached]()
    while len(found) < times:
        left, within_s = times - len(found), REACH_WITHIN_S - timeout_s
        arguments = ["-I", "-S", "-c", source, url, str(left), str(timeout_s), str(within_s)]
        found += parsed(_output(configuration, name, namespace, container, arguments), url)
    return found


def _output(configuration: Configuration, name: str, namespace: str, container: str, arguments: Sequence[str]) -> str:
    for python in PYTHONS:
        ended = podexec.run(configuration, name, namespace, container, [python, *arguments])
        if ended.code == 0:
            return ended.output
        if not ended.absent:
            why = ended.output.strip()[-300:] or ended.why
            raise PortError(f"the asker did not work in pod/{name} in {namespace}", why=why)
    raise PortError(
        f"nothing can be asked from pod/{name} in {namespace}",
        why=f"the image of container {container} has no python3",
        fix="leave `from` out, or name pods whose image has Python",
    )


def parsed(text: str, url: str) -> list[Reached]:
    try:
        rows = json.loads(text)
        return [Reached(int(r["status"]), str(r["who"]), float(r["seconds"]), str(r["error"])) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise PortError(f"what was asked of {url} is not known", why=f"the asker said {text[:200]!r}") from error
