"""What a policy learns from its answers' rewards, beside plain loops; when it stops, and what it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.advantages import (
    Floats,
    Mask,
    generalised_advantages,
    leave_one_out,
    token_rewards,
    whitened,
)
from adapters.training.parting import Evaluation, kept, parted
from adapters.training.penalties import Penalties, repeated_share

NUMBER = st.floats(-50, 50)
SHARE = st.floats(0, 1)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[list[float]], list[list[float]], Mask]:
    """Rewards and values of some answers by token, and the mask they have when they are padded."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    lists = [draw(st.lists(NUMBER, min_size=size, max_size=size)) for size in (*lengths, *lengths)]
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return lists[: len(lengths)], lists[len(lengths) :], mask


def padded(rows: list[list[float]], mask: Mask, filler: float) -> Floats:
    whole = np.full(mask.shape, float(filler))
    for row, values in enumerate(rows):
        whole[row, : len(values)] = values
    return whole


@settings(deadline=None)
@given(answers(), SHARE, SHARE, NUMBER)
def test_advantages_are_discounted_sums_of_surprises(
    drawn: tuple[list[list[float]], list[list[float]], Mask],
    discount: float,
    gae_lambda: float,
    filler: float,
) -> None:
    rewards, values, mask = drawn
    found = generalised_advantages(
        np.where(mask, padded(rewards, mask, 0), 0.0),
        padded(values, mask, filler),
        mask,
        discount,
        gae_lambda,
    )
    for row, (reward, value) in enumerate(zip(rewards, values, strict=True)):
        following = [*value[1:], 0.0]
        surprises = [r + discount * n - v for r, n, v in zip(reward, following, value, strict=True)]
        for token in range(len(reward)):
            expected = sum(
                (discount * gae_lambda) ** later * surprise
                for later, surprise in enumerate(surprises[token:])
            )
            assert found[row, token] == pytest.approx(expected, abs=1e-8)
        assert not found[row, len(reward) :].any()  # whatever the padding holds


@settings(deadline=None)
@given(answers(), SHARE)
def test_what_tokens_earn(drawn: tuple[list[list[float]], list[list[float]], Mask], kl_weight: float) -> None:
    ratios, more, mask = drawn
    scores = np.array([row[0] for row in more])
    found = token_rewards(scores, padded(ratios, mask, 7.0), mask, kl_weight)
    for row, ratio in enumerate(ratios):
        assert found[row].sum() == pytest.approx(scores[row] - kl_weight * sum(ratio), abs=1e-8)
        assert found[row, : len(ratio) - 1] == pytest.approx([-kl_weight * one for one in ratio[:-1]])
        assert not found[row, len(ratio) :].any()


@settings(deadline=None)
@given(answers())
def test_whitening(drawn: tuple[list[list[float]], list[list[float]], Mask]) -> None:
    rows, _, mask = drawn
    found = whitened(padded(rows, mask, 1e6), mask)
    flat = [value for row in rows for value in row]
    mean = sum(flat) / len(flat)
    deviation = (sum((value - mean) ** 2 for value in flat) / len(flat)) ** 0.5
    assert not found[~mask].any()
    if deviation > 1e-5:
        assert list(found[mask]) == pytest.approx([(value - mean) / deviation for value in flat], abs=1e-6)
    else:
        assert np.abs(found).max() <= len(flat)


@settings(deadline=None)
@given(st.integers(2, 5).flatmap(lambda k: st.lists(st.lists(NUMBER, min_size=k, max_size=k), min_size=1)))
def test_an_answer_is_compared_with_the_others_to_its_prompt(rewards: list[list[float]]) -> None:
    samples = len(rewards[0])
    found = leave_one_out(np.array(rewards).reshape(-1), samples).reshape(-1, samples)
    for prompt, of_prompt in enumerate(rewards):
        for place, reward in enumerate(of_prompt):
            others = of_prompt[:place] + of_prompt[place + 1 :]
            assert found[prompt, place] == pytest.approx(reward - sum(others) / len(others), abs=1e-8)
        assert found[prompt].sum() == pytest.approx(0, abs=1e-8)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30), st.integers(0, 10))
def test_penalties(answer: list[int], free: int) -> None:
    runs = [tuple(answer[at : at + 4]) for at in range(len(answer) - 3)]
    repeated = sum(run in runs[:at] for at, run in enumerate(runs))
    assert repeated_share(answer) == pytest.approx(repeated / len(runs) if runs else 0)
    penalties = Penalties(0.5, free, 2.0, 3.0)
    loss = penalties.of(answer, finished=True)
    assert loss == pytest.approx(0.5 * max(0, len(answer) - free) + 2 * repeated_share(answer))
    assert penalties.of(answer, finished=False) == loss + 3
    assert Penalties().of(answer, finished=False) == 0


def evaluation(step: int, proxy: float, gold: float, kl: float = 0.0, loss: float = 1.0) -> Evaluation:
    return Evaluation(step, proxy, gold, kl, 10.0, 0.0, loss)


HISTORY = st.lists(st.tuples(NUMBER, NUMBER, st.floats(0, 10), st.floats(0, 3)), min_size=1, max_size=8).map(
    lambda drawn: [evaluation(step, *one) for step, one in enumerate(drawn)]
)


def test_a_hacked_reward_parts_from_gold() -> None:
    rising = [evaluation(step, step, min(step, 4 - step)) for step in range(6)]  # gold is best at step 2
    assert [parted(rising[:count], 2, 0.5) for count in range(1, 7)] == [False] * 4 + [True, True]
    assert not parted(rising[:5], 2, 1.0)  # step 3 has lost no more than that
    assert kept(rising, 10, None).step == 2
    both_fall = [evaluation(step, -step, -step) for step in range(6)]
    assert not parted(both_fall, 2, 0.5)  # nothing is gained: no hacking


@settings(deadline=None)
@given(HISTORY, st.integers(1, 4), st.floats(0, 5))
def test_parting_needs_every_one_of_the_last(history: list[Evaluation], count: int, tolerance: float) -> None:
    best = max(history, key=lambda one: one.gold)
    since = history[max(0, len(history) - count) :]
    every = len(since) == count and all(
        one.proxy > best.proxy and best.gold - one.gold > tolerance and one.step > best.step for one in since
    )
    assert parted(history, count, tolerance) == every


@settings(deadline=None)
@given(HISTORY, st.floats(0.1, 10), st.none() | st.floats(0, 2))
def test_what_is_kept_is_within_the_bounds(
    history: list[Evaluation], ceiling: float, rise: float | None
) -> None:
    chosen = kept(history, ceiling, rise)
    for one in history[1:]:
        within = one.kl <= ceiling and (rise is None or one.loss - history[0].loss <= rise)
        assert not within or one.gold <= chosen.gold
        if one is chosen:
            assert within
    # What was kept stays so until something better comes: its weights are the only ones held.
    shorter = [kept(history[:count], ceiling, rise) for count in range(1, len(history) + 1)]
    for before, after, new in zip(shorter, shorter[1:], history[1:], strict=False):
        assert after is before or after is new
