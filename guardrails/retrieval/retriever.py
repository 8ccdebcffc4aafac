"""The passages a question is about: those near in meaning, and in the same language those with its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.knowledge.embedding import Vectors
from guardrails.retrieval.index import Found, PassageIndex
from guardrails.retrieval.terms import terms_of

DEPTH = 100
"""Passages of either search that are fused."""
RANK_CONSTANT = 60
"""Of reciprocal rank fusion, as in Cormack, Clarke and Büttcher (2009)."""
_LOOKED_AT = 10
"""Passages nearest in meaning that tell in which language the answer is written."""


@dataclass(frozen=True, slots=True)
class Hit:
    """`score` only orders; `cosine` is how near passage and question are in meaning."""

    position: int
    score: float
    cosine: float


class Retriever:
    """Searches one set of passages. `langs`: the language of each."""

    def __init__(self, index: PassageIndex, langs: Sequence[str]) -> None:
        if len(index) != len(langs):
            raise ValueError(f"{len(langs)} languages for {len(index)} passages")
        self.index = index
        self._langs = tuple(langs)

    def __len__(self) -> int:
        return len(self._langs)

    def search(
        self, question: str, lang: str, vector: Vectors, count: int = 10, translated: str = ""
    ) -> list[Hit]:
        """The best passages, best first; the same question always gives the same order.

        `translated`: what a glossary knows of the question in the passages' language, for when that is another.
        """
        near = self.index.nearest(vector, max(DEPTH, count))
        words = question if self.speaks(lang, near) else translated
        if not words:
            return [Hit(one.position, one.score, one.score) for one in near[:count]]
        alike = self.index.matching(terms_of(words), max(DEPTH, count))
        fused = fuse([near, alike])[:count]
        known = {one.position: one.score for one in near}
        unknown = [one.position for one in fused if one.position not in known]
        known.update(zip(unknown, self.index.cosines(vector, unknown), strict=True))
        return [Hit(one.position, one.score, known[one.position]) for one in fused]

    def speaks(self, lang: str, near: Sequence[Found]) -> bool:
        """Whether the passages that are meant are all written in this language.

        In another one, shared words are names and numbers at best, and pull the wrong passages up.
        """
        return all(self._langs[one.position] == lang for one in near[:_LOOKED_AT])


def fuse(rankings: Sequence[Sequence[Found]]) -> list[Found]:
    """Reciprocal rank fusion: the sum of 1 / (60 + rank) over the rankings; equal sums by position."""
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, 1):
            total[one.position] = total.get(one.position, 0.0) + 1 / (RANK_CONSTANT + rank)
    return [Found(*pair) for pair in sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))]
