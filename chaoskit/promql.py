"""What is wrong with a PromQL query before it is run: it does not parse, or its answer could not mean what it says.

The queries are those of experiment files, with `$window`, `$namespace` and `$service` in them. Pure.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import promql_parser as promql

FEWEST_SCRAPES = 4
"""A rate needs at least two samples in its window; four keep it defined when a scrape is late and another lost."""
FASTEST_SCRAPE_S = 1.0
USUAL_SCRAPE_S = 15.0
RATES = ("rate", "irate", "increase", "delta", "idelta", "deriv")
COUNTER_RATES = ("rate", "irate", "increase")
GUARDS = (">", ">=", "!=", "<", "<=")
WINDOW_S = 86_399.0
"""Stands for $window, which follows the scrape interval by itself."""
WRITTEN_WINDOW = "23h59m59s"
"""The same, as the parser writes it."""
KNOWN = {"window": f"{WINDOW_S:.0f}s", "namespace": "namespace", "service": "service"}
Node: TypeAlias = Any
"""A node of the parser's tree; it declares no types."""


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that is wrong; `refused` if no answer could be right, else it is a warning."""

    what: str
    refused: bool


def concerns(query: str) -> list[Concern]:
    """Everything that can be told without a Prometheus."""
    try:
        tree = parse(query)
    except ValueError as error:
        return [Concern(f"this is no PromQL: {error}", refused=True)]
    return [*_short_ranges(tree), *_sums_before_rates(tree), *_divisions(tree)]


def parse(query: str) -> Node:
    """ValueError says what is wrong."""
    return promql.parse(string.Template(query).safe_substitute(KNOWN).strip())


def shortest_range_s(query: str) -> float | None:
    """The shortest range, written as a number, that a rate is taken over; None if there is none."""
    return min((seconds for _, seconds in _ranges(parse(query))), default=None)


def quantile_buckets(query: str) -> str:
    """The series whose buckets bound what the query can tell apart, if it is a histogram's quantile; else empty."""
    for node in nodes(parse(query)):
        if isinstance(node, promql.Call) and node.func.name == "histogram_quantile":
            selectors = (n for n in nodes(node) if isinstance(n, promql.VectorSelector))
            return next((str(s.name) for s in selectors if str(s.name).endswith("_bucket")), "")
    return ""


def nodes(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for below in _children(node):
        yield from nodes(below)


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, promql.Call):
        yield from node.args
    for name in ("expr", "param", "lhs", "rhs", "vector_selector"):
        below = getattr(node, name, None)
        if below is not None:
            yield below


def _ranges(tree: Node) -> Iterator[tuple[str, float]]:
    """(function, seconds) of each rate over a range that is written as a number."""
    for node in nodes(tree):
        if isinstance(node, promql.Call) and node.func.name in RATES:
            for argument in node.args:
                if isinstance(argument, promql.MatrixSelector) and argument.range.total_seconds() != WINDOW_S:
                    yield node.func.name, argument.range.total_seconds()


def _short_ranges(tree: Node) -> Iterator[Concern]:
    for function, seconds in _ranges(tree):
        if seconds < FEWEST_SCRAPES * USUAL_SCRAPE_S:
            refused = seconds < FEWEST_SCRAPES * FASTEST_SCRAPE_S
            scrape = FASTEST_SCRAPE_S if refused else USUAL_SCRAPE_S
            yield Concern(
                f"{function} over {seconds:g} s: fewer than {FEWEST_SCRAPES} scrapes even of {scrape:g} s; "
                "write [$window], which follows the scrape interval",
                refused,
            )


def _sums_before_rates(tree: Node) -> Iterator[Concern]:
    for node in nodes(tree):
        if isinstance(node, promql.Call) and node.func.name in COUNTER_RATES:
            for below in nodes(node.args[0]):
                if isinstance(below, promql.AggregateExpr):
                    yield Concern(
                        f"{node.func.name} of {below.op}: a counter that starts anew is hidden in the {below.op}; "
                        f"write {below.op}({node.func.name}(…[$window]))",
                        refused=True,
                    )


def _divisions(tree: Node) -> Iterator[Concern]:
    for node in nodes(tree):
        if isinstance(node, promql.BinaryExpr) and str(node.op) == "/" and not _never_zero(node.rhs):
            yield Concern(
                f"division by {_shortened(node.rhs)}, which can be zero: the answer is then NaN or infinite, and "
                "nothing is decided; write / (… > 0), and or vector(0) behind it if that is to mean zero",
                refused=False,
            )


def _never_zero(node: Node) -> bool:
    if isinstance(node, promql.ParenExpr):
        return _never_zero(node.expr)
    if isinstance(node, promql.NumberLiteral):
        return bool(node.val != 0)
    if isinstance(node, promql.Call):
        return node.func.name == "clamp_min" and _never_zero(node.args[1])
    if isinstance(node, promql.AggregateExpr):
        return str(node.op) in ("count", "group") or _never_zero(node.expr)  # Of nothing, these give nothing.
    compared = isinstance(node, promql.BinaryExpr) and str(node.op) in GUARDS
    return compared and not str(node.modifier).startswith("bool")


def _shortened(node: Node) -> str:
    text = " ".join(str(node).replace(WRITTEN_WINDOW, "$window").split())
    return text if len(text) <= 60 else f"{text[:57]}…"
