"""Evidence as words: what each key of a check's evidence means, and its number with its unit.

Checks write plain data. Here is the one place that knows their keys; a key that it does not know is shown as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit import conditions, units
from chaoskit.model import Evidence
from chaoskit.report import wording

MOMENTS = ("from", "to", "at", "after", "last_good", "first_bad", "last_bad", "first_good")
"""Seconds that stand below each other, all to the millisecond."""
SPANS = ("uncertainty", "running", "ready", "ended", "out", "back", "noticed", "tolerated", "start", "span", "seconds")
"""Seconds with as many digits as mean something."""
WORDS = {
    "due": "requests due",
    "lost": "requests lost",
    "not_sent": "requests not sent",
    "requests": "requests recorded",
    "samples": "samples",
    "blind_s": "time without data",
    "from": "window from",
    "to": "window to",
    "after": "after the fault",
    "uncertainty": "uncertainty ±",
    "count": "restarts",
    "open_end": "still down at the end",
    "running": "running again after",
    "ready": "ready again after",
    "ended": "ended after",
    "final": "ended for good",
    "killed": "killed by the kubelet for",
    "served": "was among the endpoints",
    "out": "out of the endpoints after",
    "back": "back after",
    "tolerated": "tolerated for",
    "start": "start",
    "span": "in all",
    "seconds": "lasted",
    "predicted_s": "at least",
    "latest_s": "at most",
}
MOST_ROWS = 12


def word(key: str) -> str:
    return WORDS.get(key, key.removesuffix("_s").replace("_", " "))


def value(key: str, found: Any, unit: str = "") -> str:  # noqa: ANN401 - JSON of any shape
    """One value of evidence, as text with its unit."""
    if found is None:
        return "not seen"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, int | float):
        return f"{found:.3f} s" if key in MOMENTS else units.show(float(found), _unit(key, unit))
    if isinstance(found, Mapping):
        return wording.one_line(", ".join(f"{WORDS.get(k, k)} {value(k, v)}" for k, v in found.items())) or "–"
    if isinstance(found, Sequence) and not isinstance(found, str):
        return _listed(key, found)
    return wording.one_line(str(found)) or "–"


def _listed(key: str, found: Sequence[Any]) -> str:
    if key in SPANS and len(found) == 2:
        return " to ".join(value(key, end) for end in found)
    return wording.one_line("; ".join(map(str, found))) or "none"


def _unit(key: str, given: str) -> str:
    return "s" if key in SPANS or key.endswith("_s") else given


def is_table(found: Any) -> bool:  # noqa: ANN401 - JSON of any shape
    return isinstance(found, Sequence) and bool(found) and all(isinstance(row, Mapping) for row in found)


def lines(evidence: Evidence) -> list[str]:
    """The evidence in short, as lines of text: tables cut after some rows, points counted."""
    said = []
    for key, found in evidence.data.items():
        if not is_table(found):
            said.append(f"{word(key)}: {value(key, found)}")
            continue
        said += [f"{word(key)}: {_row(row)}" for row in found[:MOST_ROWS]]
        if len(found) > MOST_ROWS:
            said.append(f"{word(key)}: and {len(found) - MOST_ROWS} more")
    return said


def _row(row: Mapping[str, Any]) -> str:
    unit = unit_of(row)
    return ", ".join(f"{word(key)} {value(key, found, unit)}" for key, found in row.items() if key != "points")


def unit_of(row: Mapping[str, Any]) -> str:
    """The unit of a row's value: that of the condition which stands in the row."""
    return conditions.unit_of(row.get("condition"))
