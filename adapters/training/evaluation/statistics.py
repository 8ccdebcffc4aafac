"""How sure a comparison is: exact McNemar, the interval of a paired difference, the interval of a quantile.

The interval of a single share is `guardrails.evaluation.interval.wilson`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, sqrt

Z = 1.959964
"""Two-sided 95 %."""
_HALVINGS = 60


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value (McNemar 1947, in its binomial form) that two answerers of the same questions are
    equally good, from how many only one of them got right. 1 where they never differ.
    """
    differ = only_first + only_second
    ways = tail = 1  # in whole numbers, which do not round
    for count in range(min(only_first, only_second)):
        ways = ways * (differ - count) // (count + 1)
        tail += ways
    return min(1.0, float(2 * tail / (1 << differ)))


def paired_difference(only_first: int, only_second: int, pairs: int, z: float = Z) -> tuple[float, float]:
    """The score interval of (share right of the second) − (share right of the first), 95 % by default.

    Tango 1998 (Statistics in Medicine 17:891): the differences that the score test does not refuse. Unlike a
    bootstrap it has a width also where the two never differ. (-1, 1) without pairs.
    """
    if not pairs:
        return -1.0, 1.0
    return (
        _crossing(only_first, only_second, pairs, z),
        _crossing(only_first, only_second, pairs, -z),
    )


def _crossing(only_first: int, only_second: int, pairs: int, z: float) -> float:
    """Where the score, which falls as the difference grows, passes `z`."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if score(only_first, only_second, pairs, middle) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def score(only_first: int, only_second: int, pairs: int, difference: float) -> float:
    """Tango's statistic for a true `difference`; about normal when it is the true one."""
    above = only_second - only_first - pairs * difference
    whole = 2 * pairs
    linear = (whole - only_second + only_first) * difference - only_first - only_second
    constant = -only_first * difference * (1 - difference)
    # The likeliest share of pairs that only the first gets right, given the difference.
    share = (sqrt(max(0.0, linear * linear - 4 * whole * constant)) - linear) / (2 * whole)
    variance = pairs * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if above == 0 else float("inf") if above > 0 else float("-inf")
    return above / sqrt(variance)


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of what was measured, with its 95 % interval; an end that so few cannot give is None."""

    value: float
    low: float | None
    high: float | None


def quantile(values: Sequence[float], share: float, level: float = 0.95) -> Quantile | None:
    """The value that `share` of `values` do not exceed; None without values.

    The interval is of order statistics (Conover 1999, 3.2): it covers with at least `level` whatever the
    distribution.
    """
    if not values:
        return None
    ordered = sorted(values)
    count = len(ordered)
    rank = min(count, max(1, -int(-share * count // 1)))
    below, above = (1 - level) / 2, 1 - (1 - level) / 2
    low, high = 0, 0
    reached = 0.0
    for place in range(
        count
    ):  # `reached`: the chance that no more than `place` lie at or below the true value
        reached += _binomial(count, place, share)
        if reached <= below:
            low = place + 1
        if not high and reached >= above:
            high = place + 1
    return Quantile(ordered[rank - 1], ordered[low - 1] if low else None, ordered[high - 1] if high else None)


def _binomial(trials: int, successes: int, share: float) -> float:
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(share) + (trials - successes) * log(1 - share))
