"""Numbers with units as people write them: `30s`, `0.1%`, `200/s`, `10ms`, `64Mi`. Parsing, and writing them back.

Nothing here guesses: a number without its unit is an error that says which units there are.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*s")
_NUMBER = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*(%|/s|us|ms|s|m|h|d|[KMGT]i?B?|B)?")
_BYTES = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_LONGEST_S = 30 * 86400.0
_FASTEST = 1e9
FEWEST_DIGITS, MOST_DIGITS = 3, 7
"""Significant digits of a measured value that has no uncertainty: what people take in, and what may be needed."""
LONGEST_FRACTION = 6
"""A value that begins after more zeros than these is written with an exponent."""
_SHOWN = 60
"""So many characters of a wrong text are repeated in a message."""


def duration(text: object) -> float:
    """Seconds in `1m30s`, `250ms`, `0s`; also compound. ValueError says what would be right."""
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f"write a duration with its unit, as in 30s or 250ms, not {shown(text)}")
    compact = text.strip()
    position, total = 0, 0.0
    while match := _PART.match(compact, position):
        total += float(match[1]) * SECONDS[match[2]]
        position = match.end()
    if position != len(compact) or not compact:
        raise ValueError(
            f"{shown(text)} is no duration; write it as in 30s, 250ms or 1m30s (units: us, ms, s, m, h, d)"
        )
    if total > _LONGEST_S:
        raise ValueError(f"{shown(text)} is longer than 30 days")
    return total


def share(text: object) -> float:
    """The fraction that `50%` means: 0 to 1."""
    if isinstance(text, str) and (match := _SHARE.fullmatch(text.strip())):
        value = float(match[1]) / 100
        if value <= 1:
            return value
        raise ValueError(f"{shown(text)} is more than all; at most 100%")
    raise ValueError(f"write a share with a percent sign, as in 50%, not {shown(text)}")


def rate(text: object) -> float:
    """Requests a second in `200/s`."""
    if isinstance(text, str) and (match := _RATE.fullmatch(text.strip())):
        value = float(match[1])
        if value <= _FASTEST:
            return value
        raise ValueError(f"{shown(text)} is more than a billion a second")
    raise ValueError(f"write a rate per second, as in 200/s, not {shown(text)}")


def quantity(text: str) -> tuple[float, str]:
    """A number and the unit it is reported in: `0.1%` is (0.001, '%'), `300ms` (0.3, 's'), `64Mi` (67108864, 'B')."""
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{shown(text)} is no number with a unit; write 5, 0.1%, 300ms, 200/s or 64Mi")
    value, base = _in_base_unit(float(match[1]), match[2] or "")
    if not math.isfinite(value):
        raise ValueError(f"{shown(text)} is too large")
    return value, base


def _in_base_unit(value: float, unit: str) -> tuple[float, str]:
    if unit == "%":
        return value / 100, "%"
    if unit in SECONDS:
        return value * SECONDS[unit], "s"
    if unit == "/s":
        return value, "/s"
    prefix = unit.removesuffix("B")
    return value * _BYTES[prefix], "B" if unit else ""


def write_duration(seconds: float) -> str:
    """The text that `duration` reads back as exactly `seconds`, in the largest unit that makes it a whole number."""
    micros = round(seconds * 1e6)
    for unit, size in (("s", 10**6), ("ms", 10**3), ("us", 1)):
        text = f"{micros // size}{unit}"
        if duration(text) == seconds:
            return text
    return f"{_digits(seconds)}s"


def write_share(fraction: float) -> str:
    """The text that `share` reads back as exactly `fraction`; the shortest of those near it."""
    percent = fraction * 100
    # Reading divides by 100, which may round: the number to write is the product or one of its neighbours.
    for value in (float(f"{percent:.12g}"), percent, math.nextafter(percent, 0), math.nextafter(percent, 101)):
        if value / 100 == fraction:
            return f"{_digits(value)}%"
    return f"{Decimal(fraction) * 100:f}%"


def write_rate(per_second: float) -> str:
    return f"{_digits(per_second)}/s"


def _digits(value: float) -> str:
    """The shortest decimal digits that mean exactly this number, without an exponent."""
    text = f"{Decimal(repr(value)):f}"
    return text.removesuffix(".0")


def shown(value: object) -> str:
    """A wrong value as a message repeats it: never longer than a line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def show(value: float | None, unit: str, uncertainty: float | None = None, *, apart: float | None = None) -> str:
    """A measured value for people, with no more digits than mean something: `1.24 s ± 10 ms`, `0.03 %`, `212/s`.

    Without an uncertainty three digits are enough, or as many as it takes to see a distance `apart` from a limit."""
    if value is None:
        return "–"
    if not uncertainty:
        return _show(value, unit, apart or 0.0)
    value, uncertainty = rounded(value, uncertainty)
    return f"{exact(value, unit)} ± {exact(uncertainty, unit)}"


def exact(value: float, unit: str) -> str:
    """A value that somebody chose, such as a limit, with all of its digits: `1.234 s`, `12.5 %`."""
    if not math.isfinite(value):
        return _show(value, unit, 0.0)
    factor, suffix = _scale(value, unit)
    return _worded(_digits(float(f"{value * factor:.12g}")), suffix)


def rounded(value: float, uncertainty: float) -> tuple[float, float]:
    """Both to the last digit that means something, by the Particle Data Group's rule (Review of Particle Physics,
    Introduction, 5.3): two digits of an uncertainty up to 35, one beyond it."""
    if not (math.isfinite(value) and math.isfinite(uncertainty)):
        return value, uncertainty
    size = math.floor(math.log10(uncertainty))
    decimals = 1 - size if uncertainty / 10 ** (size - 1) < 35.5 else -size
    return round(value, decimals), round(uncertainty, decimals)


def count(number: int, word: str) -> str:
    """`1 pod`, `2 pods`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _show(value: float, unit: str, apart: float) -> str:
    if math.isnan(value):
        return "NaN"
    factor, suffix = _scale(value, unit)
    return _worded(_significant(value * factor, abs(apart * factor)), suffix)


def _worded(number: str, suffix: str) -> str:
    """`1 request`, `2 requests`: a unit that is a word is written in its singular after a 1."""
    is_word = suffix.strip().isalpha() and len(suffix) > len(" ms")
    return number + (suffix.removesuffix("s") if number == "1" and is_word else suffix)


def _significant(value: float, apart: float) -> str:
    if not math.isfinite(value):
        return str(value)
    text = ""
    for digits in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        text = _to_digits(value, digits)
        if not apart or abs(float(text) - value) < apart / 2:
            break
    return text


def _to_digits(value: float, digits: int) -> str:
    """So many significant digits, but never less than the whole part."""
    size = math.floor(math.log10(abs(value))) if value else 0
    if size < -LONGEST_FRACTION:
        return f"{value:.{digits}g}"
    text = f"{value:.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scale(value: float, unit: str) -> tuple[float, str]:
    """(factor, suffix) in which a value of a base unit reads best."""
    if unit == "%":
        return 100.0, " %"
    if unit == "s":
        return (1000.0, " ms") if 0 < abs(value) < 0.1 else (1.0, " s")
    if unit == "B":
        prefix = next((p for p in ("Ti", "Gi", "Mi", "Ki") if abs(value) >= _BYTES[p]), "")
        return 1.0 / _BYTES[prefix], f" {prefix}B"
    return 1.0, unit if unit.startswith("/") or not unit else f" {unit}"
