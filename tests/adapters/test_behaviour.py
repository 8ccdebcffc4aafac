"""The verdict on a fingerprint, as a pure function; against a real engine: tests/adapters/agent."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from adapters.behaviour import CLOSER, NO_EFFECT, TOLERANCE, Passage, judge, parse, to_json

LOGPROBS = st.lists(st.floats(-30, 0), min_size=1, max_size=40)
ROWS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*(st.lists(st.floats(-30, 0), min_size=n, max_size=n) for _ in range(3)))
)


def gap(a: list[float], b: list[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


@given(ROWS)
def test_the_verdict_is_what_the_two_demands_say(rows: tuple[list[float], list[float], list[float]]) -> None:
    recorded, measured, base = rows
    effect = max(abs(x - y) for x, y in zip(measured, base, strict=True))
    close, base_gap = gap(recorded, measured), gap(base, measured)
    assume(abs(close - TOLERANCE) > 1e-9 and abs(close - CLOSER * base_gap) > 1e-9)
    verdict = judge(recorded, measured, base)
    assert verdict.ok == (effect > NO_EFFECT and close < TOLERANCE and close < CLOSER * base_gap)
    assert verdict.ok == (verdict.reason == "")


@given(LOGPROBS, st.floats(0.1, 20))
def test_the_recorded_behaviour_itself_passes(recorded: list[float], effect: float) -> None:
    base = [value - effect for value in recorded]
    verdict = judge(recorded, recorded, base)
    assert verdict.ok
    assert verdict.distance == 0


@given(LOGPROBS, st.floats(0, 20))
def test_an_ignored_adapter_never_passes(recorded: list[float], effect: float) -> None:
    """The engine answers as its base model does, whatever the adapter would have changed."""
    base = [value - effect for value in recorded]
    assert not judge(recorded, base, base).ok


@given(LOGPROBS, st.floats(0, 1e-4))
def test_an_adapter_without_effect_never_passes(recorded: list[float], noise: float) -> None:
    assert "no effect" in judge(recorded, recorded, [value - noise for value in recorded]).reason


@given(ROWS, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 2), st.integers(0, 29))
def test_one_value_that_is_not_finite_fails(
    rows: tuple[list[float], list[float], list[float]], bad: float, row: int, place: int
) -> None:
    rows[row][place % len(rows[row])] = bad
    verdict = judge(*rows, tolerance=math.inf)
    assert not verdict.ok
    assert "finite" in verdict.reason


@given(LOGPROBS)
def test_a_small_effect_must_still_be_reproduced(recorded: list[float]) -> None:
    """Well within the tolerance, but on the base model's side."""
    base = [value - TOLERANCE / 2 for value in recorded]
    measured = [value - TOLERANCE * 0.4 for value in recorded]
    assert "base model" in judge(recorded, measured, base).reason


def test_missing_tokens_fail() -> None:
    assert not judge([-1.0, -1.0], [-1.0], [-2.0]).ok
    assert not judge([], [], []).ok


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2**31 - 1), st.floats(-50, 0)), min_size=1).map(
            lambda pairs: Passage("p", tuple(t for t, _ in pairs), tuple(p for _, p in pairs))
        ),
        min_size=1,
    )
)
def test_json_round_trip(passages: list[Passage]) -> None:
    assert parse(json.loads(to_json(passages))) == tuple(passages)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [1],
        [{"prompt": "a"}],
        [{"prompt": "a", "tokens": [], "logprobs": []}],
        [{"prompt": "a", "tokens": [1, 2], "logprobs": [-1.0]}],
        [{"prompt": "a", "tokens": [1], "logprobs": [float("nan")]}],
        [{"prompt": "a", "tokens": ["x"], "logprobs": [-1.0]}],
    ],
)
def test_malformed_fingerprints_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="behaviour"):
        parse(value)
