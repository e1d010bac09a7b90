"""What is wrong with a PromQL query before it is run: it does not parse, or its answer could not mean what it says.

The queries are those of experiment files, with `$window`, `$namespace` and `$service` in them. Pure.
"""

from __future__ import annotations

import math
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
SAME_VALUES = ("max_over_time", "min_over_time", "last_over_time", "label_replace", "label_join", "sort", "sort_desc")
"""Functions whose answers are values of their first argument."""
COUNTS = ("count", "group", "count_values")
KEEP_POSITIVE = ("sum", "avg", "min", "max", "topk", "bottomk", "quantile")
ONE_OF = ("max", "min", "topk", "bottomk")
"""Aggregations whose answers are values that they were given."""
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


@dataclass(frozen=True, slots=True)
class Quantile:
    """A value that is a quantile of histograms, times `scale`. `series` select their buckets."""

    series: tuple[str, ...]
    scale: float = 1.0


def concerns(query: str) -> list[Concern]:
    """Everything that can be told without a Prometheus."""
    try:
        tree = parse(query)
    except ValueError as error:
        return [Concern(f"this is no PromQL: {error}", refused=True)]
    return [*_short_ranges(tree), *_sums_before_rates(tree), *_divisions(tree), *_of_quantiles(tree)]


def parse(query: str) -> Node:
    """ValueError says what is wrong."""
    return promql.parse(string.Template(query).safe_substitute(KNOWN).strip())


def shortest_range_s(query: str) -> float | None:
    """The shortest range, written as a number, that a rate is taken over; None if there is none."""
    return min((seconds for _, seconds in _ranges(parse(query))), default=None)


def quantile(query: str) -> Quantile | None:
    """What the query's value is a quantile of; None if it is none, or is calculated from one."""
    try:
        return _quantile(parse(query))
    except ValueError:
        return None


def instant_series(query: str) -> tuple[str, ...]:
    """The series whose present values the query takes: neither ranges of them, nor what they were at another time."""
    try:
        return tuple(dict.fromkeys(str(s).removesuffix("{}") for s in _instant(parse(query))))
    except ValueError:
        return ()


def _instant(node: Node) -> Iterator[Node]:
    if isinstance(node, promql.VectorSelector) and node.offset is None and node.at is None:
        yield node
    if not isinstance(node, promql.MatrixSelector | promql.SubqueryExpr | promql.VectorSelector):
        for below in _children(node):
            yield from _instant(below)


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
                ranged = isinstance(argument, promql.MatrixSelector | promql.SubqueryExpr)
                if ranged and argument.range.total_seconds() != WINDOW_S:
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
                if isinstance(below, promql.BinaryExpr) and str(below.op) == "+" and not _with_number(below):
                    yield Concern(
                        f"{node.func.name} of a sum: a counter that starts anew is hidden in it; "
                        f"write {node.func.name}(…[$window]) + {node.func.name}(…[$window])",
                        refused=True,
                    )


def _with_number(node: Node) -> bool:
    return any(isinstance(side, promql.NumberLiteral) for side in (node.lhs, node.rhs))


def _divisions(tree: Node) -> Iterator[Concern]:
    for node in nodes(tree):
        if isinstance(node, promql.BinaryExpr) and str(node.op) == "/" and not _never_zero(node.rhs):
            yield Concern(
                f"division by {_shortened(node.rhs)}, which can be zero: the answer is then NaN or infinite, and "
                "nothing is decided; write / (… > 0), and or vector(0) behind it if that is to mean zero",
                refused=False,
            )


def _of_quantiles(tree: Node) -> Iterator[Concern]:
    if _quantile(tree) is None and any(_is_call(node, "histogram_quantile") for node in nodes(tree)):
        yield Concern(
            "calculated from a quantile, which is known only to its bucket: how far the answer is off cannot be told; "
            "compare the quantile itself",
            refused=False,
        )


def _quantile(node: Node) -> Quantile | None:
    """Through all that leaves a value as it is, or only multiplies it."""
    if _is_call(node, "histogram_quantile"):
        selectors = (below for below in nodes(node.args[1]) if isinstance(below, promql.VectorSelector))
        return Quantile(tuple(dict.fromkeys(str(s).removesuffix("{}") for s in selectors)))
    if isinstance(node, promql.Call) and node.func.name in SAME_VALUES:
        return _quantile(node.args[0])
    if isinstance(node, promql.ParenExpr | promql.SubqueryExpr):
        return _quantile(node.expr)
    if isinstance(node, promql.AggregateExpr):
        return _quantile(node.expr) if str(node.op) in ONE_OF else None
    return _quantile_of_two(node) if isinstance(node, promql.BinaryExpr) else None


def _quantile_of_two(node: Node) -> Quantile | None:
    left, right, op = _quantile(node.lhs), _quantile(node.rhs), str(node.op)
    if op in ("and", "unless") or (op in (*GUARDS, "==") and not str(node.modifier).startswith("bool")):
        return left
    if op == "or":
        scales = {q.scale for q in (left, right) if q}
        series = (*(left.series if left else ()), *(right.series if right else ()))
        return Quantile(tuple(dict.fromkeys(series)), scales.pop()) if len(scales) == 1 else None
    if op in ("*", "/") and left and (factor := _positive(node.rhs)):
        return Quantile(left.series, left.scale * factor if op == "*" else left.scale / factor)
    if op == "*" and right and (factor := _positive(node.lhs)):
        return Quantile(right.series, right.scale * factor)
    return None


def _positive(node: Node) -> float:
    """The number written there; 0 for anything else."""
    return float(node.val) if isinstance(node, promql.NumberLiteral) and 0 < node.val < math.inf else 0.0


def _is_call(node: Node, function: str) -> bool:
    return isinstance(node, promql.Call) and node.func.name == function


def _never_zero(node: Node) -> bool:
    if isinstance(node, promql.ParenExpr):
        return _never_zero(node.expr)
    if isinstance(node, promql.NumberLiteral):
        return bool(node.val != 0)
    if _is_call(node, "clamp_min"):
        return _positive(node.args[1]) > 0
    if isinstance(node, promql.AggregateExpr):  # Of nothing, these give nothing.
        return str(node.op) in COUNTS or (str(node.op) in KEEP_POSITIVE and _never_zero(node.expr))
    return isinstance(node, promql.BinaryExpr) and _leaves_no_zero(node)


def _leaves_no_zero(node: Node) -> bool:
    """Whether a comparison lets only numbers through that are not zero."""
    if str(node.modifier).startswith("bool") or not isinstance(node.rhs, promql.NumberLiteral):
        return False
    limit = node.rhs.val
    return {">": limit >= 0, ">=": limit > 0, "!=": limit == 0, "<": limit <= 0, "<=": limit < 0}.get(
        str(node.op), False
    )


def _shortened(node: Node) -> str:
    text = " ".join(str(node).replace(WRITTEN_WINDOW, "$window").split())
    return text if len(text) <= 60 else f"{text[:57]}…"
