"""The live view of a run: a panel on a terminal, plain lines elsewhere.

It takes its time from what it is shown, so it needs no clock and no thread; and whatever becomes of the output (a
closed pipe, a terminal that is gone) never disturbs the run: from then on the view is silent.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chaoskit import units
from chaoskit.report import wording

PANEL_EVERY_S = 0.25
LINE_EVERY_S = 5.0
_GONE = (OSError, ValueError, SystemExit)
"""What writing to a closed output raises: rich ends the program on a broken pipe, and files say ValueError."""


class LiveState(Protocol):
    """What is going on. Times in seconds since the run's origin; None where nothing was measured yet."""

    @property
    def phase(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def now(self) -> float: ...
    @property
    def waiting_for(self) -> str: ...
    @property
    def users(self) -> int: ...
    @property
    def rate(self) -> float | None: ...
    @property
    def failures(self) -> float | None: ...
    @property
    def pulse_failures(self) -> float | None: ...
    @property
    def pods_ready(self) -> int: ...
    @property
    def pods(self) -> int: ...


class LiveView:
    """Use it in a `with`, and call it with each state; it decides what is worth showing."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._panel: Live | None = None
        self._gone = False
        self._phase = ""
        self._shown = float("-inf")

    def __enter__(self) -> LiveView:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._panel = Live(console=self._console, auto_refresh=False, transient=True)
            try:
                self._panel.start()
            except _GONE:
                self._gone = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._panel is None:
            return
        try:
            self._panel.stop()
        except _GONE:
            self._gone = True

    def __call__(self, live: LiveState) -> None:
        news = live.phase != self._phase
        every = LINE_EVERY_S if self._panel is None else PANEL_EVERY_S
        if self._gone or not (news or live.now - self._shown >= every):
            return
        self._phase, self._shown = live.phase, live.now
        try:
            self._show(live)
        except _GONE:
            self._gone = True

    def _show(self, live: LiveState) -> None:
        if self._panel is None:
            self._console.print(Text(line(live)), soft_wrap=True)
        else:
            self._panel.update(panel(live), refresh=True)


def line(live: LiveState) -> str:
    """The state as one line of text."""
    numbers = ", ".join(f"{name} {value}" for name, value in _numbers(live))
    waiting = f", waiting for {live.waiting_for}" if live.waiting_for else ""
    told = f"{live.phase} ({_spent(live)}){waiting}{f'; {numbers}' if numbers else ''}"
    return f"{live.now:7.1f} s  {wording.one_line(told)}"


def panel(live: LiveState) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="ellipsis", no_wrap=True)
    if live.waiting_for:
        grid.add_row("waiting for", Text(wording.one_line(live.waiting_for)))
    for name, value in _numbers(live):
        grid.add_row(name, Text(value))
    title = Text(wording.one_line(f"{live.phase} · {_spent(live)}"))
    return Panel(grid, title=title, title_align="left", subtitle=Text(f"{live.now:.1f} s"), subtitle_align="right")


def _spent(live: LiveState) -> str:
    return f"for {max(0.0, live.now - live.since):.1f} s"


def _numbers(live: LiveState) -> list[tuple[str, str]]:
    """What is known so far; what nothing was heard of is left out."""
    found = []
    if live.rate is not None:
        found.append(("requests", f"{units.show(live.rate, '/s')} good, {wording.count(live.users, 'user')}"))
    if live.failures is not None:
        found.append(("failed", units.show(live.failures, "%")))
    if live.pulse_failures is not None:
        state = "up" if live.pulse_failures == 0 else "DOWN" if live.pulse_failures == 1 else "failing"
        found.append(("pulse", f"{state}, {units.show(live.pulse_failures, '%')} failed"))
    if live.pods:
        found.append(("pods", f"{live.pods_ready} of {live.pods} ready"))
    return found
