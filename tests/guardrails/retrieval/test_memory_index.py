"""Search in memory: nothing missed, the order fixed, BM25 as the formula says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.retrieval.bm25 import K1, B, Bm25
from guardrails.retrieval.index import Found, MemoryIndex, best
from guardrails.retrieval.terms import terms_of

TERMS = st.lists(st.sampled_from("abcdefgh"), max_size=12).map(tuple)
PASSAGES = st.lists(TERMS, min_size=1, max_size=12)


def plain_bm25(passages: Sequence[Sequence[str]], question: Sequence[str]) -> list[float]:
    """The formula, term by term, as it stands in the book."""
    count = len(passages)
    average = sum(map(len, passages)) / count or 1.0
    scores = []
    for terms in passages:
        score = 0.0
        for term in set(question):
            having = sum(term in other for other in passages)
            idf = math.log(1 + (count - having + 0.5) / (having + 0.5))
            times = terms.count(term)
            score += idf * times * (K1 + 1) / (times + K1 * (1 - B + B * len(terms) / average))
        scores.append(score)
    return scores


@settings(max_examples=150, deadline=None)
@given(PASSAGES, TERMS)
def test_bm25_is_what_the_formula_says(passages: list[tuple[str, ...]], question: tuple[str, ...]) -> None:
    assert Bm25(passages).scores(question) == pytest.approx(plain_bm25(passages, question))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=30), st.integers(0, 35))
def test_the_best_are_those_of_a_full_sort(scores: list[float], count: int) -> None:
    wanted = sorted(
        (Found(at, score) for at, score in enumerate(scores)), key=lambda one: (-one.score, one.position)
    )
    assert best(np.array(scores), count) == wanted[:count]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_nearest_are_those_of_the_largest_products(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = MemoryIndex(vectors, [()] * count)
    found = index.nearest(vectors[0], count)
    assert found[0].position == 0 and found[0].score == pytest.approx(1.0, abs=1e-5)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert sorted(one.position for one in found) == list(range(count))
    assert index.cosines(vectors[0], [one.position for one in found]) == pytest.approx(
        [one.score for one in found], abs=1e-5
    )


def test_passages_without_a_word_of_the_question_do_not_match() -> None:
    index = MemoryIndex(np.eye(3, 8, dtype=np.float32), [("a",), ("b",), ("a", "b")])
    assert [one.position for one in index.matching(("a",), 5)] == [0, 2]
    assert index.matching(("z",), 5) == [] and index.matching((), 5) == []


def test_an_index_without_passages_finds_nothing() -> None:
    index = MemoryIndex(np.zeros((0, 8), dtype=np.float32), [])
    vector = np.ones(8, dtype=np.float32)
    assert len(index) == 0 and index.nearest(vector, 5) == [] and index.matching(("a",), 5) == []


def test_vectors_and_passages_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 vectors for 1 passages"):
        MemoryIndex(np.zeros((2, 8), dtype=np.float32), [()])


def test_terms_are_characters_pairs_and_words() -> None:
    assert terms_of("年费VIP Fees") == ("年", "费", "年费", "vip", "fee")
    assert terms_of("１,000元") == ("1,000", "元")
    assert terms_of("轉帳") == terms_of("转帐")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_terms_that_say_the_same_again(text: str) -> None:
    found = terms_of(text)
    assert found == terms_of(text)
    assert all(found) and len(found) <= 40 * len(text) + 1
