"""Meaning and words together where question and passages are in one language, meaning alone where they are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.knowledge.embedding import E5Embedder, Vectors, embed_passages
from guardrails.retrieval.index import Found, MemoryIndex
from guardrails.retrieval.retriever import RANK_CONSTANT, Retriever, fuse
from guardrails.retrieval.terms import terms_of

ZH = ("普卡年费为每年100元。", "挂失手续费为每张40元。", "客服热线24小时开通。", "积分有效期为两年。")
EN = ("The workshop is open on Saturdays.", "A water filter costs 15 euros.")
RANKING = st.lists(st.integers(0, 20), unique=True, max_size=15).map(
    lambda positions: [Found(position, 1.0 - rank / 100) for rank, position in enumerate(positions)]
)


@pytest.fixture(scope="module")
def embedder() -> E5Embedder:
    return E5Embedder()


def retriever(embedder: E5Embedder, passages: Sequence[str], langs: Sequence[str]) -> Retriever:
    vectors = embed_passages(embedder, passages)
    return Retriever(MemoryIndex(vectors, [terms_of(passage) for passage in passages]), langs)


class Words(MemoryIndex):
    """Counts how often words were searched for."""

    searched = 0

    def matching(self, terms: Sequence[str], count: int) -> list[Found]:
        self.searched += 1
        return super().matching(terms, count)


@pytest.mark.parametrize(
    ("question", "lang", "right"),
    [
        ("普卡一年收多少年费", "zh", 0),
        ("卡丢了，挂失要多少钱", "zh", 1),
        ("How much is the annual fee of a Classic card?", "en", 0),
        ("On which days is the workshop open?", "en", 4),
        ("What is the price of a water filter?", "en", 5),
    ],
)
def test_the_passage_meant_comes_first(embedder: E5Embedder, question: str, lang: str, right: int) -> None:
    found = retriever(embedder, (*ZH, *EN), ["zh"] * 4 + ["en"] * 2)
    hits = found.search(question, lang, embedder.queries([question])[0])
    assert hits[0].position == right
    assert hits == found.search(question, lang, embedder.queries([question])[0])


def test_words_count_only_in_the_language_of_the_passages(embedder: E5Embedder) -> None:
    index = Words(embed_passages(embedder, ZH), [terms_of(passage) for passage in ZH])
    found = Retriever(index, ["zh"] * 4)
    vector = embedder.queries(["annual fee 100"])[0]
    english = found.search("annual fee 100", "en", vector)
    assert index.searched == 0
    assert [(one.position, one.score) for one in english] == index.nearest(vector, 10)
    found.search("年费100元", "zh", embedder.queries(["年费100元"])[0])
    assert index.searched == 1


def vectors(count: int, seed: int) -> Vectors:
    made = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("年费卡ab ", max_size=6), min_size=1, max_size=20),
    st.text("年费卡ab ", max_size=8),
    st.integers(0, 99),
)
def test_every_hit_is_a_passage_once_and_in_one_order(passages: list[str], question: str, seed: int) -> None:
    made = vectors(len(passages), seed)
    index = MemoryIndex(made, [terms_of(passage) for passage in passages])
    hits = Retriever(index, ["zh"] * len(passages)).search(question, "zh", made[0], count=7)
    assert len({hit.position for hit in hits}) == len(hits) == min(7, len(passages))
    assert [(-hit.score, hit.position) for hit in hits] == sorted((-hit.score, hit.position) for hit in hits)
    for hit in hits:
        assert hit.cosine == pytest.approx(float(made[hit.position] @ made[0]), abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.lists(RANKING, max_size=3))
def test_fusion_adds_the_reciprocal_ranks(rankings: list[list[Found]]) -> None:
    wanted: dict[int, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, 1):
            wanted[one.position] = wanted.get(one.position, 0) + 1 / (RANK_CONSTANT + rank)
    fused = fuse(rankings)
    assert dict(fused) == wanted
    assert fused == sorted(fused, key=lambda one: (-one.score, one.position))


def test_languages_must_be_as_many_as_passages() -> None:
    with pytest.raises(ValueError, match="1 languages for 2 passages"):
        Retriever(MemoryIndex(vectors(2, 0), [(), ()]), ["zh"])
