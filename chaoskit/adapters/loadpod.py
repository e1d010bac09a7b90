"""One of the load's processes in a pod, spoken with through the API server (see `chaoskit/load/pod.py`).

Its recording arrives piece by piece and is kept in the run's folder, by the run's own clock: how far the pod's clock is
from ours is asked all the time, and how well it is known is part of each status (`clock_s`).
"""

from __future__ import annotations

import base64
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from chaoskit.adapters.loadprocess import Hear, Process, last_object
from chaoskit.adapters.offset import Offset
from chaoskit.errors import PortError
from chaoskit.samples import RECORD, SampleWriter

ARGV = ("python3", "-m", "chaoskit.load.pod", "work")
FIRST_EXCHANGES = 12
"""Of questions for the time, before anything begins; the narrowest answer counts."""
ANSWER_WITHIN_S = 5.0
"""The first answer takes the time in which Python starts there; one that is late counts no more."""
EXCHANGE_EVERY_S = 1.0
HEAR_S = 0.1
SILENT_S = 0.8
"""A pod says something every 0.1 s, so that one that is silent for longer is noticed within a second."""


class Talk(Protocol):
    """A command in a pod, line by line."""

    @property
    def over(self) -> str: ...

    def say(self, line: str) -> None: ...

    def hear(self, within_s: float) -> list[str]: ...

    def close(self) -> None: ...


class PodProcess(Process):
    def __init__(
        self, who: str, pod: str, start: Callable[[], Talk], order: Mapping[str, Any], folder: Path, hear: Hear
    ) -> None:
        """`order` is what the pod is to run, by the names of its Order (`chaoskit/load/pod.py`); its `config` has the
        run's own `origin_ns`, by our monotonic clock. `start` begins to talk with the pod."""
        super().__init__(who, f"{who} in pod/{pod}", folder / f"{who}.log", hear)
        self._start, self._order = start, order
        self._recording = _Recording(folder / who)
        self._listened_at = self._heard_at
        self._finished = False
        self._began: Offset | None = None
        self._offset: Offset | None = None
        self._asked: tuple[int, float] = (0, 0.0)
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._closing = False
        self._left: int | None = None
        self._over = ""
        self._thread = threading.Thread(target=self._converse, name=f"load-{who}", daemon=True)
        self._thread.start()

    # ── what others ask ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def ended(self) -> bool:
        return self._finished

    def tell(self, told: Mapping[str, Any]) -> None:
        self._said.put(json.dumps(told))

    def trouble(self) -> str:
        until = self._recording.until
        nothing = "; nothing that it sent has arrived" if self._began else ""
        lost = f"; what it sent after {until:.2f} s of the run is lost" if until else nothing
        if self.killed:
            return f"{self._named} did not end in time{lost}"
        if self._over and self._left is None:
            return f"{self._named} is gone: {self._over}{lost}"
        # A stall of our own, in which nobody listens, is no silence.
        silent = self._listened_at - self._heard_at if self._began else 0.0
        return self._ended_how(self._left) or self._silent(silent, SILENT_S)

    def log(self) -> str:
        return super().log() or self._over

    def terminate(self) -> None:
        self.tell({"end": True})

    def wait_ended(self, deadline: float) -> None:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self.killed = self._closing = True
            self._thread.join(2 * HEAR_S)

    # ── the conversation, in its thread ──────────────────────────────────────────────────────────────────────────────

    def _converse(self) -> None:
        try:
            talk = self._start()
            try:
                self._begin(talk)
                self._go_on(talk)
            finally:
                talk.close()
        except PortError as error:
            self._over = str(error)
        except Exception as error:  # the border around a thread: what comes from a pod may be anything
            self._over = f"{type(error).__name__}: {error}"
        self._recording.close()
        self._finished = True
        self.settled.set()
        self._hear(self, None)

    def _begin(self, talk: Talk) -> None:
        """Compares the clocks, and orders what is to run."""
        for number in range(FIRST_EXCHANGES):
            self._ask_time(talk, number)
            answered, until = False, time.monotonic() + ANSWER_WITHIN_S
            while not (answered or talk.over or self._over or self._closing) and time.monotonic() < until:
                answered = self._take_all(talk, HEAR_S)
        if self._offset is None or talk.over or self._over:
            self._over = self._over or talk.over or "it told no time"
            return
        self._began = self._offset
        config = dict(self._order["config"])
        config["origin_ns"] = round(config["origin_ns"] - self._began.best * 1e9)
        talk.say(json.dumps({"begin": {**self._order, "config": config}}))

    def _go_on(self, talk: Talk) -> None:
        while not self._over and self._left is None and not self._closing:
            self._say_what_waits(talk)
            if time.monotonic() - self._asked[1] >= EXCHANGE_EVERY_S:
                self._ask_time(talk, self._asked[0] + 1)
            self._take_all(talk, HEAR_S)
            self._over = talk.over

    def _say_what_waits(self, talk: Talk) -> None:
        with suppress(queue.Empty):
            while True:
                talk.say(self._said.get_nowait())

    def _ask_time(self, talk: Talk, number: int) -> None:
        self._asked = (number, time.monotonic())
        talk.say(json.dumps({"ping": number}))

    def _take_all(self, talk: Talk, within_s: float) -> bool:
        """Whether the time was told."""
        told = False
        for line in talk.hear(within_s):
            said = last_object(line)
            if said:
                self._heard_at = time.monotonic()
                told = self._take(said) or told
        self._listened_at = time.monotonic()
        return told

    def _take(self, said: Mapping[str, Any]) -> bool:
        if "pong" in said:
            return self._learn_time(int(said["pong"]), int(said["ns"]) / 1e9)
        if "records" in said:
            self._recording.append(base64.b64decode(said["records"]), said["names"], self._drifted())
        elif "left" in said:
            self._left = int(said["left"])
            self._log.write_text(str(said["log"]), encoding="utf-8")
        elif "hello" in said:
            if said["hello"] != version("chaoskit"):
                self._over = f"the pod's image has chaoskit {said['hello']} in it, and this is {version('chaoskit')}"
        else:
            clock = self._offset.aged(time.monotonic()).uncertainty if self._offset else 0.0
            self._take_status({**said, "clock_s": round(clock, 6)})
        return False

    def _learn_time(self, number: int, other: float) -> bool:
        if number != self._asked[0]:
            return False
        told = Offset.of_exchange(self._asked[1], other, time.monotonic())
        self._offset = self._offset.narrowed(told) if self._offset else told
        return True

    def _drifted(self) -> float:
        """Seconds to be added to what the pod records, which counts from an origin that was right at its begin."""
        return self._offset.best - self._began.best if self._offset and self._began else 0.0


class _Recording:
    """The pod's recording, as it arrives: the same names in the same order have the same numbers here."""

    def __init__(self, path: Path) -> None:
        self._writer = SampleWriter(path)
        self.until = 0.0
        """When the last request ended that arrived."""

    def append(self, records: bytes, names: list[str], later_s: float) -> None:
        for name in names:
            self._writer.name(name)
        for intended, sent, end, *rest in RECORD.iter_unpack(records):
            self._writer.write(intended + later_s, sent + later_s, end + later_s, *rest)
            self.until = max(self.until, end + later_s)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
