"""Judgements: every bad line is found, raters come onto one scale, and rank correlation is what it says."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.training.conversation import BadRows
from adapters.training.encoding import Encoded
from adapters.training.figures import rank_correlation, reward_figures
from adapters.training.judgements import (
    EncodedJudgement,
    Judgement,
    judgements_digest,
    rater_scales,
    read_judgements,
)
from tests.adapters.training.runs import write_rows

PROMPT = (("user", "q"),)
ANSWER = Encoded((1, 2), (-100, 2))
RATED = st.tuples(st.sampled_from("abc"), st.integers(0, 5).map(float))


def scored(line: int, value: float, rater: str) -> Judgement:
    return Judgement(line, PROMPT, (f"answer {line}",), value, rater)


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": "q", "chosen": "b", "rejected": "a"},
        {"prompt": "q", "response": "a", "score": 3, "rater": "x"},
        {"prompt": "q", "response": "a", "score": 3, "rater": "y"},
        {"prompt": "q", "response": "a", "score": 4, "rater": "x"},
        {"prompt": "q", "response": "a", "score": 6, "rater": "x"},
        {"prompt": "q", "response": "a"},
    ]
    with pytest.raises(BadRows) as refused:
        read_judgements(write_rows(tmp_path / "judged.jsonl", rows))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "5", "6", "7"]
    assert "prefers what line 1 rejects" in lines[0]
    assert "rater x gave this answer 3 in line 3" in lines[1]
    assert "it goes from 0 to 5" in lines[2] and "neither scores" in lines[3]


@settings(deadline=None)
@given(st.lists(RATED, min_size=2, max_size=30))
def test_each_rater_comes_onto_one_scale(given: list[tuple[str, float]]) -> None:
    rows = [scored(line, value, rater) for line, (rater, value) in enumerate(given, 1)]
    values = [value for _, value in given]
    if len(set(values)) == 1:
        with pytest.raises(BadRows, match="every score is"):
            rater_scales(rows, "judged.jsonl")
        return
    scales = rater_scales(rows, "judged.jsonl")
    assert scales[None].mean == pytest.approx(statistics.fmean(values))
    for rater in "abc":
        own = [value for name, value in given if name == rater]
        enough = len(own) >= 4 and len(set(own)) > 1
        assert (rater in scales) == enough
        if enough:
            on_scale = [(value - scales[rater].mean) / scales[rater].deviation for value in own]
            assert statistics.fmean(on_scale) == pytest.approx(0, abs=1e-9)
            assert statistics.pstdev(on_scale) == pytest.approx(1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=20))
def test_rank_correlation(points: list[tuple[int, int]]) -> None:
    first, second = zip(*points, strict=True)
    value = rank_correlation(first, second)
    assert -1 - 1e-9 <= value <= 1 + 1e-9
    assert value == pytest.approx(rank_correlation([one**3 for one in first], second))  # ranks alone count
    assert value == pytest.approx(-rank_correlation([-one for one in first], second))
    if len(set(first)) == len(first) and len(set(second)) == len(second):
        ranks = [
            sum(sorted(first).index(a) == r and sorted(second).index(b) == s for _ in "x") and (r - s) ** 2
            for a, b in points
            for r, s in [(sorted(first).index(a), sorted(second).index(b))]
        ]
        size = len(points)  # Spearman's formula without ties
        assert value == pytest.approx(1 - 6 * sum(ranks) / (size * (size**2 - 1)))


def test_figures_of_an_ensemble() -> None:
    pair, low, high = (
        EncodedJudgement((ANSWER, ANSWER)),
        EncodedJudgement((ANSWER,), -1.0),
        EncodedJudgement((ANSWER,), 1.0),
    )
    # The first member is wrong about the pair, the second more surely right.
    figures = reward_figures([pair, low, high], [[0.0, 1.0, 0.0, 1.0], [3.0, 0.0, 0.0, 2.0]])
    assert figures["preference_accuracy"] == 1 and figures["rank_correlation"] == pytest.approx(1)
    assert figures["disagreement"] == pytest.approx((1.5 + 0.5 + 0 + 0.5) / 4)
    assert "disagreement" not in reward_figures([pair], [[1.0, 1.0]])
    assert reward_figures([pair], [[1.0, 1.0]])["preference_accuracy"] == 0


def test_the_digest_tells_judgements_apart() -> None:
    rows = [scored(1, 3, "a"), scored(1, 4, "a"), scored(1, 3, "b"), Judgement(1, PROMPT, ("x", "y"))]
    assert len({judgements_digest([row]) for row in rows}) == 4
