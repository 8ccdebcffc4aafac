"""Okapi BM25 over terms, with every weight reckoned when the index is built."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75


class Bm25:
    """Robertson and Zaragoza (2009), eq. 3.15, with idf = ln(1 + (n - df + 0.5) / (df + 0.5)), never negative."""

    def __init__(self, passages: Sequence[Sequence[str]]) -> None:
        self.count = len(passages)
        lengths = np.array([len(terms) for terms in passages], dtype=np.float64)
        average = float(lengths.mean()) if self.count and lengths.any() else 1.0
        postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for position, terms in enumerate(passages):
            for term, times in Counter(terms).items():
                postings[term].append((position, times))
        self._postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float64]]] = {}
        for term, found in postings.items():
            positions = np.array([position for position, _ in found], dtype=np.int32)
            often = np.array([times for _, times in found], dtype=np.float64)
            idf = np.log(1 + (self.count - len(found) + 0.5) / (len(found) + 0.5))
            norm = K1 * (1 - B + B * lengths[positions] / average)
            self._postings[term] = positions, idf * often * (K1 + 1) / (often + norm)

    def scores(self, terms: Iterable[str]) -> NDArray[np.float64]:
        """One score a passage; a term that comes twice in the question counts once."""
        total = np.zeros(self.count)
        for term in dict.fromkeys(terms):
            if (found := self._postings.get(term)) is not None:
                positions, weights = found
                total[positions] += weights
        return total
