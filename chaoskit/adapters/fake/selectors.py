"""Label selectors: as text (`app=front,tier in (web,api),!canary`) and as in a workload's spec. Pure.

The grammar is that of k8s.io/apimachinery/pkg/labels; an empty selector selects everything, as there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_COMMA = re.compile(r",(?![^(]*\))")
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)")
_KEY = re.compile(r"(!?)\s*([^=!\s]+)")


def parse(selector: str) -> Test:
    """The test that a text stands for. ValueError if it is no selector."""
    tests = [_parse_one(part.strip()) for part in _COMMA.split(selector) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _parse_one(text: str) -> Test:
    if match := _SET.fullmatch(text):
        values = tuple(value.strip() for value in match[3].split(","))
        return _one(match[1], "In" if match[2] == "in" else "NotIn", values)
    if match := _EQUAL.fullmatch(text):
        return _one(match[1], "NotIn" if match[2] == "!=" else "In", (match[3],))
    if match := _KEY.fullmatch(text):
        return _one(match[2], "DoesNotExist" if match[1] else "Exists", ())
    raise ValueError(f"{text!r} is no label selector; write as in app=front, tier in (web,api) or !canary")


def _one(key: str, operator: str, values: tuple[str, ...]) -> Test:
    """One requirement, by the operators' names in a spec; NotIn also holds where the key is absent."""
    tests: dict[str, Test] = {
        "In": lambda labels: key in labels and labels[key] in values,
        "NotIn": lambda labels: labels.get(key) not in values,
        "Exists": lambda labels: key in labels,
        "DoesNotExist": lambda labels: key not in labels,
    }
    return tests[operator]


def matches(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a LabelSelector (`matchLabels`, `matchExpressions`) selects; a missing one selects nothing."""
    if selector is None:
        return False
    equal = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return equal and all(
        _one(e["key"], e["operator"], tuple(e.get("values") or ()))(labels)
        for e in selector.get("matchExpressions") or ()
    )
