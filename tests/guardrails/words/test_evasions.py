"""Both sides at once, with default settings: disguised terms found, texts that only come near left alone."""

from __future__ import annotations

from collections import Counter

import pytest

from guardrails.verdict import Decision
from guardrails.words import Term, WordCheck
from tests.guardrails.words.evasions import DATA, Parameters, disguised, read_parameters

SETS = ("working", "held_out")


def check_of(parameters: Parameters) -> WordCheck:
    terms = parameters.chinese + parameters.english
    return WordCheck([Term(term, f"t{at}") for at, term in enumerate(terms)])


def blocked(words: WordCheck, text: str) -> bool:
    return words.check(text).decision is Decision.BLOCK


@pytest.mark.parametrize("name", SETS)
def test_disguised_terms_are_found(name: str) -> None:
    parameters = read_parameters(name)
    words = check_of(parameters)
    tried, caught = Counter[str](), Counter[str]()
    for technique, _, text in disguised(parameters, per_term=1):
        tried[technique] += 1
        caught[technique] += blocked(words, text)
    assert caught.total() >= 0.98 * tried.total(), {one: (caught[one], tried[one]) for one in tried}


@pytest.mark.parametrize("name", SETS)
def test_what_only_comes_near_is_left_alone(name: str) -> None:
    parameters = read_parameters(name)
    words = check_of(parameters)
    english = (DATA / "english_harmless.txt").read_text(encoding="utf-8").splitlines()
    assert [text for text in (*parameters.chance, *english) if blocked(words, text)] == []
