"""The port of passage search, and the search in memory behind it: exact, for up to some ten thousand passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from guardrails.knowledge.embedding import Vectors
from guardrails.retrieval.bm25 import Bm25

IN_MEMORY = 20_000
"""Passages up to which the search in memory is the better one: about a millisecond, with no server to keep."""


class Found(NamedTuple):
    """`position`: of the passage in the order it was indexed. A higher score is better."""

    position: int
    score: float


class PassageIndex(Protocol):
    """Passages by their place; equal scores in the order of the places."""

    def __len__(self) -> int: ...

    def nearest(self, vector: Vectors, count: int) -> list[Found]:
        """The passages whose unit vectors are nearest; the score is the cosine."""

    def matching(self, terms: Sequence[str], count: int) -> list[Found]:
        """The passages with the most telling terms in common; the score is BM25's, above 0."""

    def cosines(self, vector: Vectors, positions: Sequence[int]) -> list[float]:
        """How near certain passages are."""


class MemoryIndex:
    """Every vector is compared, so that nothing is missed."""

    def __init__(self, vectors: Vectors, passages: Sequence[Sequence[str]]) -> None:
        if len(vectors) != len(passages):
            raise ValueError(f"{len(vectors)} vectors for {len(passages)} passages")
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._bm25 = Bm25(passages)

    def __len__(self) -> int:
        return len(self._vectors)

    def nearest(self, vector: Vectors, count: int) -> list[Found]:
        """The passages whose unit vectors are nearest."""
        return best(self._vectors @ vector, count) if len(self) else []

    def matching(self, terms: Sequence[str], count: int) -> list[Found]:
        """The best by BM25."""
        return [one for one in best(self._bm25.scores(terms), count) if one.score > 0]

    def cosines(self, vector: Vectors, positions: Sequence[int]) -> list[float]:
        """How near certain passages are."""
        return [float(one) for one in self._vectors[list(positions)] @ vector] if len(positions) else []


def best(scores: NDArray[np.floating], count: int) -> list[Found]:
    """The highest scores, equal ones by position."""
    if count <= 0 or not len(scores):
        return []
    if count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        positions = np.flatnonzero(scores >= least)
    else:
        positions = np.arange(len(scores))
    order = np.lexsort((positions, -scores[positions]))[:count]
    return [Found(int(positions[at]), float(scores[positions[at]])) for at in order]
