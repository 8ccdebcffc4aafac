"""The randomness of private training: the right distributions, the same again from the same key, none without it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.secret_noise import SecretNoise, keep_key

KEY = SecretNoise(bytes(range(32)))
keys = st.binary(min_size=32, max_size=32).map(SecretNoise)
steps = st.integers(0, 2**32 - 1)


def test_numbers_are_normal() -> None:
    drawn = np.sort(KEY.gaussian(3, 1, 200_001))
    assert len(drawn) == 200_001
    exact = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in drawn])
    # Kolmogorov and Smirnov: 1.95 / √n is passed by chance once in a thousand keys, and this key is fixed.
    assert np.abs(exact - np.arange(len(drawn)) / len(drawn)).max() < 1.95 / math.sqrt(len(drawn))
    assert np.abs(drawn).max() > 4.0


@settings(max_examples=30, deadline=None)
@given(key=keys, other=keys, step=steps, part=st.integers(0, 2**24 - 1))
def test_key_step_and_tensor_choose_the_numbers(
    key: SecretNoise, other: SecretNoise, step: int, part: int
) -> None:
    numbers = key.gaussian(step, part, 33)
    assert np.array_equal(numbers, key.gaussian(step, part, 33)) and np.isfinite(numbers).all()
    elsewhere = [key.gaussian(step ^ 1, part, 33), key.gaussian(step, part ^ 1, 33)]
    if other.key != key.key:
        elsewhere.append(other.gaussian(step, part, 33))
    for one in elsewhere:
        assert not np.isin(numbers, one).any()


@settings(max_examples=30, deadline=None)
@given(key=keys, step=steps, rows=st.integers(1, 500))
def test_every_row_has_its_own_chance(key: SecretNoise, step: int, rows: int) -> None:
    assert key.drawn(step, rows, 1.0) == list(range(rows))
    half, tenth = key.drawn(step, rows, 0.5), key.drawn(step, rows, 0.1)
    assert half == sorted(set(half)) and set(tenth) <= set(half) <= set(range(rows))
    # Whether a row is drawn does not hang on how many others there are.
    assert key.drawn(step, rows + 7, 0.5)[: len(half)] == half


def test_rows_are_drawn_at_the_rate() -> None:
    counts = [len(KEY.drawn(step, 1000, 0.05)) for step in range(2000)]
    # Binomial: mean 50, variance 47.5, as no draw of a fixed size would have.
    assert abs(np.mean(counts) - 50) < 4 * math.sqrt(47.5 / 2000)
    assert 42 < np.var(counts) < 54


def test_a_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    first = keep_key(tmp_path / "a/noise.key")
    assert keep_key(tmp_path / "a/noise.key") == first
    assert (tmp_path / "a/noise.key").stat().st_mode & 0o777 == 0o600
    assert keep_key(tmp_path / "b/noise.key").key != first.key
    assert first.key.hex() not in repr(first) and str(first.key) not in repr(first)
    (tmp_path / "a/noise.key").write_bytes(b"short")
    with pytest.raises(OSError, match="begin again"):
        keep_key(tmp_path / "a/noise.key")
