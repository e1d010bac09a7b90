"""Numbers with units as people write them: `30s`, `0.1%`, `200/s`, `10ms`, `64Mi`. Parsing, and writing them back.

Nothing here guesses: a number without its unit is an error that says which units there are.
"""

from __future__ import annotations

import math
import re

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%|/s|us|ms|s|m|h|d|[KMGT]i?B?|B)?")
_BYTES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LONGEST_S = 30 * 86400.0


def duration(text: object) -> float:
    """Seconds in `1m30s`, `250ms`, `0s`; also compound. ValueError says what would be right."""
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f"write a duration with its unit, as in 30s or 250ms, not {text!r}")
    compact = text.strip()
    position, total = 0, 0.0
    while match := _PART.match(compact, position):
        total += float(match[1]) * SECONDS[match[2]]
        position = match.end()
    if position != len(compact) or not compact:
        raise ValueError(f"{text!r} is no duration; write it as in 30s, 250ms or 1m30s (units: us, ms, s, m, h, d)")
    if total > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than 30 days")
    return total


def share(text: object) -> float:
    """The fraction that `50%` means: 0 to 1."""
    if isinstance(text, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())):
        value = float(match[1]) / 100
        if value <= 1:
            return value
        raise ValueError(f"{text!r} is more than all; at most 100%")
    raise ValueError(f"write a share with a percent sign, as in 50%, not {text!r}")


def rate(text: object) -> float:
    """Requests a second in `200/s`."""
    if isinstance(text, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*s", text.strip())):
        return float(match[1])
    raise ValueError(f"write a rate per second, as in 200/s, not {text!r}")


def quantity(text: str) -> tuple[float, str]:
    """A number and the unit it is reported in: `0.1%` is (0.001, '%'), `300ms` (0.3, 's'), `64Mi` (67108864, 'B')."""
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is no number with a unit; write 5, 0.1%, 300ms, 200/s or 64Mi")
    value, unit = float(match[1]), match[2] or ""
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is too large")
    if unit == "%":
        return value / 100, "%"
    if unit in SECONDS:
        return value * SECONDS[unit], "s"
    if unit == "/s":
        return value, "/s"
    prefix = unit.removesuffix("B")
    return value * _BYTES[prefix], "B" if unit else ""


def write_duration(seconds: float) -> str:
    """The text that `duration` reads back as exactly `seconds` (whole microseconds)."""
    micros = round(seconds * 1e6)
    for unit, size in (("s", 10**6), ("ms", 10**3)):
        if micros % size == 0:
            return f"{micros // size}{unit}"
    return f"{micros}us"


def write_share(fraction: float) -> str:
    return f"{fraction * 100:.10g}%"


def write_rate(per_second: float) -> str:
    return f"{per_second:.10g}/s"


def show(value: float | None, unit: str, uncertainty: float | None = None) -> str:
    """A measured value for people: `1.24 s ± 0.01 s`, `0.03 %`, `212/s`."""
    if value is None:
        return "–"
    text = _show(value, unit)
    return f"{text} ± {_show(uncertainty, unit)}" if uncertainty else text


def _show(value: float, unit: str) -> str:
    if math.isnan(value):
        return "NaN"
    if unit == "%":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if 0 < abs(value) < 0.1 else f"{value:.4g} s"
    if unit == "B":
        return _show_bytes(value)
    if unit == "/s":
        return f"{value:.4g}/s"
    return f"{value:.6g} {unit}".strip()


def _show_bytes(value: float) -> str:
    for prefix in ("Ti", "Gi", "Mi", "Ki"):
        if abs(value) >= _BYTES[prefix]:
            return f"{value / _BYTES[prefix]:.4g} {prefix}B"
    return f"{value:.0f} B"
