"""What the environment of the process sets, read once at the start and refused with a reason if it makes no sense."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

ROLES = ("front", "back", "store")


class SettingsError(ValueError):
    """An environment variable or argument that cannot be used; the text names it and says what would do."""


@dataclass(frozen=True)
class Weaknesses:
    """Faults that many real apps have, each off unless asked for, so that experiments can be seen to catch them."""

    ack_before_disk: bool
    """WEAK_ACK_BEFORE_DISK: the store answers at once and writes once a second."""
    abrupt_shutdown: bool
    """WEAK_ABRUPT_SHUTDOWN: SIGTERM ends the process at once, whatever it was answering."""
    never_ready: bool
    """WEAK_NEVER_READY: a version that starts, and never gets ready."""
    crash_after_seconds: float | None
    """WEAK_CRASH_AFTER: a version that ends with code 1 so long after its start."""


@dataclass(frozen=True)
class Settings:
    role: str
    host: str
    port: int
    pod: str
    """POD_NAME, or the host's name, which in a pod is the pod's."""
    version: str
    colour: str
    back_url: str
    store_url: str
    data: str
    """The folder of the store's log."""
    discovery: str
    """How other roles are found: `dns` (default), or `env` (the variables that the kubelet set when this pod began)."""
    name_cache_seconds: float
    """How long an address found by DNS is used before it is looked up again; `inf` is for ever."""
    startup_seconds: float
    """How long the process takes to warm up. Zero but for experiments on slow starts."""
    drain_seconds: float
    """How long it goes on serving after SIGTERM, not ready, while its address is being removed everywhere."""
    finish_seconds: float
    """How long the requests begun by then may take to finish after that."""
    order_schema: int
    """The newest form of an order that this version writes and can read: 1 or 2."""
    dangerous: bool
    """REFAPP_DANGEROUS: whether /cpu, /memory, /crash and /hang do anything. Off unless set to 1."""
    log_requests: bool
    weaknesses: Weaknesses


def read(arguments: list[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """The role is the only argument, or REFAPP_ROLE. Raises SettingsError."""
    env = _Environment(environment)
    role = arguments[0] if arguments else env.text("REFAPP_ROLE", "")
    if role not in ROLES:
        raise SettingsError(f"the role is {role!r}: give front, back or store as the argument or in REFAPP_ROLE")
    return Settings(
        role=role,
        host=env.text("HOST", "0.0.0.0"),  # noqa: S104 - a container serves on its pod's address
        port=int(env.number("PORT", 8080)),
        pod=env.text("POD_NAME", socket.gethostname()),
        version=env.text("VERSION", "1"),
        colour=env.text("COLOUR", "blue"),
        back_url=env.text("BACK_URL", "http://back:8080"),
        store_url=env.text("STORE_URL", "http://store:8080"),
        data=env.text("DATA", "/data"),
        discovery=env.one_of("DISCOVERY", ("dns", "env")),
        name_cache_seconds=env.number("NAME_CACHE_SECONDS", 5),
        startup_seconds=env.number("STARTUP_SECONDS", 0),
        drain_seconds=env.number("DRAIN_SECONDS", 3),
        finish_seconds=env.number("FINISH_SECONDS", 5),
        order_schema=int(env.one_of("ORDER_SCHEMA", ("1", "2"))),
        dangerous=env.flag("REFAPP_DANGEROUS"),
        log_requests=env.flag("LOG_REQUESTS"),
        weaknesses=_weaknesses(env),
    )


def _weaknesses(env: _Environment) -> Weaknesses:
    crash_after = env.number("WEAK_CRASH_AFTER", -1, least=-1)
    return Weaknesses(
        ack_before_disk=env.flag("WEAK_ACK_BEFORE_DISK"),
        abrupt_shutdown=env.flag("WEAK_ABRUPT_SHUTDOWN"),
        never_ready=env.flag("WEAK_NEVER_READY"),
        crash_after_seconds=None if crash_after < 0 else crash_after,
    )


@dataclass(frozen=True)
class _Environment:
    values: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.values.get(name) or default

    def number(self, name: str, default: float, least: float = 0) -> float:
        text = self.text(name, str(default))
        try:
            number = float(text)
        except ValueError as error:
            raise SettingsError(f"{name} is {text!r}: it must be a number") from error
        if not number >= least:
            raise SettingsError(f"{name} is {text}: it must be at least {least:g}")
        return number

    def flag(self, name: str) -> bool:
        text = self.text(name, "0")
        if text not in ("0", "1"):
            raise SettingsError(f"{name} is {text!r}: it must be 0 or 1")
        return text == "1"

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        text = self.text(name, choices[0])
        if text not in choices:
            raise SettingsError(f"{name} is {text!r}: it must be {' or '.join(choices)}")
        return text
