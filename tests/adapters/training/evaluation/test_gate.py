"""Bars: reached or missed, by how much, and with the interval's worse end where a recipe asks for proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.training.evaluation.bars import Evaluate
from adapters.training.evaluation.comparison import Part, compare
from adapters.training.evaluation.gate import BASE, RESULT, Held, held
from adapters.training.evaluation.judging import Answer, Judge
from adapters.training.evaluation.question_file import QuestionFile

GOOD = "good"


def part(base: list[bool], result: list[bool]) -> Part:
    row = {"messages": [{"role": "user", "content": "?"}], "expect": "answer", "must_include": [[GOOD]]}
    rows: tuple[dict[str, Any], ...] = tuple(row | {"id": str(at)} for at in range(len(base)))
    answers = {
        name: [Answer(GOOD if right else "bad") for right in given]
        for name, given in ((BASE, base), (RESULT, result))
    }
    return compare(QuestionFile("q", rows, ""), answers, Judge(None), documents=False)


def asked(*, proven: bool = False, **bars: Any) -> Evaluate:
    whole = {"questions": "q.jsonl", "general": "g.jsonl", "policy": "p", "bars": bars, "proven": proven}
    return Evaluate.model_validate(whole)


def one(settings: Evaluate, questions: Part, general: Part | None = None) -> Held:
    (found,) = held(settings, questions, general)
    return found


BOTH = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50)


@settings(deadline=None, max_examples=60)
@given(BOTH, st.floats(0, 1))
def test_a_missed_bar_says_by_how_much_and_proof_asks_for_more(
    pairs: list[tuple[bool, bool]], bar: float
) -> None:
    found = part([base for base, _ in pairs], [result for _, result in pairs])
    seen = one(asked(accuracy=bar), found)
    rate = sum(result for _, result in pairs) / len(pairs)
    assert seen.passed == (rate >= bar) and seen.missed_by == pytest.approx(max(0.0, bar - rate))
    proved = one(asked(accuracy=bar, proven=True), found)
    assert proved.missed_by >= seen.missed_by and (seen.passed or not proved.passed)
    assert seen.low - 1e-4 <= rate <= seen.high + 1e-4
    forgot = one(asked(forgetting=bar), found, found)
    fell = sum(base for base, _ in pairs) / len(pairs) - rate
    assert forgot.value == pytest.approx(fell) and forgot.passed == (fell <= bar + 1e-12)
    assert one(asked(forgetting=bar, proven=True), found, found).missed_by >= forgot.missed_by


def test_the_words_name_bar_miss_and_interval() -> None:
    found = part([False] * 10, [True] * 8 + [False] * 2)
    text = one(asked(accuracy=0.9), found).text
    assert text == (
        "accuracy 80.0% (95 % interval 49.0% to 94.3%, 10 questions): 10.0 points below evaluate.bars.accuracy 90.0%"
    )
    assert "its lower end 41.0 points below" in one(asked(accuracy=0.9, proven=True), found).text
    assert "reaches evaluate.bars.accuracy 80.0%" in one(asked(accuracy=0.8), found).text


def test_better_is_proved_or_not() -> None:
    assert one(asked(better_than="base"), part([False] * 6, [True] * 6)).passed
    few = one(asked(better_than="base"), part([False] * 5, [True] * 5))
    assert not few.passed and "+100.0%" in few.text and "p = 0.062" in few.text
    assert not one(asked(better_than="base"), part([True] * 9, [False] * 9)).passed


def test_a_bar_that_cannot_be_measured_is_refused() -> None:
    for bars, words in (
        ({"forgetting": 0.1}, "evaluate.general"),
        ({"fact_failures": 0.1}, "evaluate.policy"),
    ):
        with pytest.raises(ValidationError, match=words):
            Evaluate.model_validate({"questions": Path("q"), "bars": bars})
    with pytest.raises(ValidationError):
        Evaluate.model_validate({"questions": "q", "bars": {"accuracy": 1.5}})
