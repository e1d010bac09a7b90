"""Whether two groups of numbers, or a row of them, differ by more than runs differ by themselves. Pure.

No shape of the numbers is assumed: recovery times and outages are skewed, and there are few of them. Sources:
Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd edition, 2014 (HWC); Agresti, Categorical Data
Analysis, 3rd edition, 2013.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

LEVEL = 0.05
"""Of differences that are chance alone, so many are taken for more."""
MOST_EXACT = 60
"""Numbers in all up to which the distribution of ranks is counted out; beyond, the normal curve is close enough."""
MOST_EXACT_TREND = 40
_EQUAL = 1e-9
"""Probabilities that differ by so little, relatively, are the same one."""


def mann_whitney(before: Sequence[float], after: Sequence[float]) -> float:
    """The two-sided p of the rank-sum test (HWC 4.1), twice the smaller tail: exact given the ties, which get the mean
    of their ranks. Neither may be empty. With one number on a side it says how rarely a new one falls so far out."""
    ranks = _doubled_ranks([*before, *after])
    observed, size = sum(ranks[: len(before)]), len(before)
    if len(ranks) > MOST_EXACT:
        return _normal_rank_sum(ranks, size, observed - size * (len(ranks) + 1))
    ways = _ways(ranks, size)
    below = sum(n for total, n in ways.items() if total <= observed)
    above = sum(n for total, n in ways.items() if total >= observed)
    return min(1.0, 2 * min(below, above) / math.comb(len(ranks), size))


def least_p(before: int, after: int) -> float:
    """The smallest p that the rank-sum test can give for groups of these sizes: with few runs nothing can be shown."""
    return min(1.0, 2 / math.comb(before + after, before))


def _doubled_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mean rank of each: whole numbers also for ties."""
    ordered = sorted(values)
    first = {value: at for at, value in reversed(list(enumerate(ordered)))}
    last = {value: at for at, value in enumerate(ordered)}
    return [first[value] + last[value] + 2 for value in values]


def _ways(ranks: Sequence[int], size: int) -> dict[int, int]:
    """How many choices of `size` ranks have each sum."""
    sums: list[dict[int, int]] = [defaultdict(int) for _ in range(size + 1)]
    sums[0][0] = 1
    for rank in ranks:
        for chosen in range(size, 0, -1):
            for total, ways in sums[chosen - 1].items():
                sums[chosen][total + rank] += ways
    return sums[size]


def _normal_rank_sum(ranks: Sequence[int], size: int, away: float) -> float:
    """HWC 4.1, large samples: the variance of a sum drawn without replacement, which allows for ties by itself."""
    number = len(ranks)
    variance = size * (number - size) / (number - 1) * statistics.pvariance(ranks)
    return _two_sided(max(0.0, abs(away) - 1) / math.sqrt(variance)) if variance else 1.0


def _two_sided(z: float) -> float:
    return math.erfc(z / math.sqrt(2))


def shift(before: Sequence[float], after: Sequence[float]) -> float:
    """How much further up `after` lies: the median of all differences between the two (Hodges and Lehmann; HWC 4.2)."""
    return statistics.median(b - a for a in before for b in after)


def fisher(held_before: int, runs_before: int, held_after: int, runs_after: int) -> float:
    """The two-sided p that it held as often before as after: Fisher's exact test (Agresti 3.5), which adds up what is
    no likelier than what was seen."""
    held, runs = held_before + held_after, runs_before + runs_after

    def chance(first: int) -> float:
        return math.comb(runs_before, first) * math.comb(runs_after, held - first) / math.comb(runs, held)

    possible = range(max(0, held - runs_after), min(held, runs_before) + 1)
    return min(1.0, sum(chance(k) for k in possible if chance(k) <= chance(held_before) * (1 + _EQUAL)))


def holm(chances: Sequence[float]) -> list[float]:
    """The same p, corrected for being several: who looks at twenty finds one below 5 % by chance (Holm 1979)."""
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    corrected, so_far = [0.0] * len(chances), 0.0
    for place, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(chances) - place) * chances[i]))
        corrected[i] = so_far
    return corrected


def mann_kendall(values: Sequence[float]) -> float:
    """The two-sided p that a row in order of time goes neither up nor down (Mann 1945; HWC 8.1): exact without ties up
    to `MOST_EXACT_TREND` numbers, else by the normal curve with the variance that ties leave."""
    score = sum(_sign(b - a) for i, a in enumerate(values) for b in values[i + 1 :])
    number = len(values)
    if number <= MOST_EXACT_TREND and len(set(values)) == number:
        pairs = number * (number - 1) // 2
        far = sum(ways for k, ways in enumerate(_inversions(number)) if abs(pairs - 2 * k) >= abs(score))
        return far / math.factorial(number)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in map(list(values).count, set(values)))
    variance = (number * (number - 1) * (2 * number + 5) - ties) / 18
    return _two_sided(max(0, abs(score) - 1) / math.sqrt(variance)) if variance > 0 else 1.0


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _inversions(number: int) -> list[int]:
    """How many orders of `number` things have k pairs the wrong way round, for each k."""
    ways = [1]
    for size in range(2, number + 1):
        longer = [0] * (len(ways) + size - 1)
        for k, n in enumerate(ways):
            for more in range(size):
                longer[k + more] += n
        ways = longer
    return ways


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much the value goes up a second: the median over all pairs (Theil and Sen; HWC 9.3)."""
    slopes = [(b - a) / (t - s) for i, (s, a) in enumerate(points) for t, b in points[i + 1 :] if t != s]
    return statistics.median(slopes) if slopes else 0.0
