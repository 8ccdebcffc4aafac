"""The rows that travel from round to round: a uniform sample, the same for a seed; and the share learnt again."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.replay import drawn, sampled


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 100), st.floats(0.05, 0.9), st.integers(0, 2**31 - 1))
def test_the_share_is_kept_and_no_row_comes_twice_more_often_than_another(
    earlier: int, new: int, share: float, seed: int
) -> None:
    chosen = drawn(range(earlier), new, share, seed)
    assert chosen == drawn(range(earlier), new, share, seed)
    assert abs(len(chosen) / (len(chosen) + new) - share) <= 1 / new
    counts = Counter(chosen)
    assert max(counts.values()) - min(counts[row] for row in range(earlier)) <= 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 2**31 - 1))
def test_the_sample_is_of_the_rows_so_far_and_as_large_as_it_may_be(
    rounds: list[int], size: int, seed: int
) -> None:
    kept: list[int] = []
    seen = 0
    for new in rounds:
        kept = sampled(kept, seen, range(seen, seen + new), size, Random(seed))
        seen += new
        assert len(kept) == len(set(kept)) == min(size, seen)
        assert all(0 <= row < seen for row in kept)


def test_every_row_is_kept_with_the_same_chance_over_three_rounds() -> None:
    counts: Counter[int] = Counter()
    for seed in range(2000):
        rng, kept = Random(seed), []
        for start in (0, 20, 40):
            kept = sampled(kept, start, range(start, start + 20), 12, rng)
        counts.update(kept)
    # Each of 60 is kept with chance 0.2: 400 of 2000, with a deviation of 18.
    assert counts.total() == 12 * 2000 and all(310 < counts[row] < 490 for row in range(60))


def test_a_sample_that_was_smaller_than_its_rows_does_not_grow() -> None:
    assert len(sampled(range(5), 100, range(100, 200), 50, Random(1))) == 5


def test_no_share_draws_nothing() -> None:
    assert drawn([], 10, 0, 1) == []
    assert len(drawn([1, 2], 1, 0.01, 1)) == pytest.approx(1)
