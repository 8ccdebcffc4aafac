"""The statistics against enumeration of every outcome, and against published values."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.evaluation.statistics import Z, mcnemar, paired_difference, quantile, score

SMALL = st.integers(0, 9)


@settings(deadline=None, max_examples=40)
@given(SMALL, SMALL)
def test_mcnemar_is_the_share_of_coin_tosses_at_least_as_uneven(first: int, second: int) -> None:
    differ = min(first + second, 12)
    first = min(first, differ)
    second = differ - first
    uneven = sum(
        abs(2 * sum(tosses) - differ) >= abs(first - second) for tosses in product((0, 1), repeat=differ)
    )
    assert mcnemar(first, second) == pytest.approx(float(Fraction(uneven, 2**differ)), rel=1e-12)


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(deadline=None, max_examples=25)
def test_mcnemar_is_a_probability_the_same_both_ways(first: int, second: int) -> None:
    p = mcnemar(first, second)
    assert 0 <= p <= 1 and p == mcnemar(second, first)
    assert first == second or mcnemar(first, second) <= mcnemar(min(first, second), min(first, second))


def test_mcnemar_of_known_tables() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 5) == pytest.approx(0.0625)
    assert mcnemar(0, 6) == pytest.approx(0.03125)
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int]:
    pairs = draw(st.integers(1, 400))
    first = draw(st.integers(0, pairs))
    return first, draw(st.integers(0, pairs - first)), pairs


@settings(deadline=None, max_examples=150)
@given(tables())
def test_the_interval_of_a_difference(table: tuple[int, int, int]) -> None:
    first, second, pairs = table
    low, high = paired_difference(first, second, pairs)
    seen = (second - first) / pairs
    assert -1 <= low <= seen + 1e-9 and seen - 1e-9 <= high <= 1
    # Turned round it is the same interval, turned round.
    back = paired_difference(second, first, pairs)
    assert (-back[1], -back[0]) == pytest.approx((low, high), abs=1e-9)
    # Its ends are the differences that the test just does not refuse.
    for end, expected in ((low, Z), (high, -Z)):
        if abs(end) < 1 - 1e-6:
            assert score(first, second, pairs, end) == pytest.approx(expected, abs=1e-3)
    assert (low > -1 and high < 1) or pairs < 4 or pairs in {first, second}


def test_twice_the_questions_narrow_the_difference() -> None:
    low, high = paired_difference(6, 14, 100)
    closer, nearer = paired_difference(12, 28, 200)
    assert low < closer < 0.08 < nearer < high


@pytest.mark.parametrize(("only_first", "only_second"), [(0.1, 0.1), (0.05, 0.25), (0.02, 0.02), (0.3, 0.1)])
def test_the_difference_is_covered(only_first: float, only_second: float) -> None:
    """Every outcome of 40 questions, weighed by its probability: the interval holds the truth about 95 % of it."""
    pairs, truth, covered = 40, only_second - only_first, 0.0
    for first in range(pairs + 1):
        for second in range(pairs - first + 1):
            rest = pairs - first - second
            weight = (
                comb(pairs, first)
                * comb(pairs - first, second)
                * only_first**first
                * only_second**second
                * (1 - only_first - only_second) ** rest
            )
            if weight > 1e-9:
                low, high = paired_difference(first, second, pairs)
                covered += weight * (low <= truth <= high)
    assert 0.93 < covered < 0.995


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.sampled_from([0.5, 0.95, 0.9]))
def test_a_quantile_is_covered(count: int, share: float) -> None:
    """Of 1..count, uniform: the chance that the interval's ranks hold the true quantile, summed exactly."""
    found = quantile([float(value) for value in range(1, count + 1)], share)
    assert found is not None
    low = int(found.low or 0)
    high = int(found.high or count + 1)
    held = sum(comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(low, high))
    assert held >= 0.95 - 1e-9
    assert low <= found.value <= high
    at_or_below = sum(value <= found.value for value in range(1, count + 1)) / count
    assert at_or_below >= share - 1e-9 and at_or_below - 1 / count < share


def test_known_quantiles() -> None:
    assert quantile([], 0.5) is None
    ten = quantile([float(value) for value in range(1, 11)], 0.5)
    # 2nd and 9th of ten: 97.9 %, the usual table of the sign test.
    assert ten is not None and (ten.value, ten.low, ten.high) == (5, 2, 9)
    few = quantile([1.0, 2.0, 3.0], 0.95)
    assert few is not None and few.value == 3 and few.high is None
