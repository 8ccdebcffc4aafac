"""The documents' own words with their vectors: what a word that no document has comes closest to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rjieba

from guardrails.answers.folding import HAN
from guardrails.knowledge.embedding import Embedder, Vectors, embed_passages

NEAR = 0.5
"""Cosine, after the mean is taken off, from which a word is taken for another: 岁数 and 年龄 have 0.65."""
MAX_NEAR = 3
MAX_WORDS = 4000
KEPT = 4096
_STEM = re.compile(r"[a-z]{3,}")


class Vocabulary:
    """Words and their centred unit vectors, shape (words, dimensions)."""

    def __init__(self, words: Sequence[str], vectors: Vectors) -> None:
        self.words = tuple(words)
        self._mean = vectors.mean(axis=0) if len(words) else np.zeros(vectors.shape[1], np.float32)
        self._vectors = _unit(vectors - self._mean)
        self._known: dict[str, tuple[tuple[str, float], ...]] = {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_known": {}}

    def nearest(self, words: Sequence[str], embedder: Embedder) -> dict[str, tuple[tuple[str, float], ...]]:
        """For each word the documents' words closest to it, with the cosine."""
        if not self.words:
            return {}
        fresh = [word for word in dict.fromkeys(words) if word not in self._known]
        if fresh:
            if len(self._known) > KEPT:
                self._known.clear()
            cosines = _unit(embedder.queries(fresh) - self._mean) @ self._vectors.T
            for word, row in zip(fresh, cosines, strict=True):
                best = np.argsort(-row)[:MAX_NEAR]
                self._known[word] = tuple((self.words[at], float(row[at])) for at in best if row[at] >= NEAR)
        return {word: self._known.get(word, ()) for word in words}


def build_vocabulary(texts: Sequence[str], embedder: Embedder, cache: Path | None) -> Vocabulary:
    """The words of folded texts, the most frequent MAX_WORDS. About 5 ms a word that the cache does not know."""
    counts: dict[str, int] = {}
    for text in texts:
        found = {word for run in HAN.findall(text) for word in rjieba.cut(run) if len(word) > 1}
        found.update(_STEM.findall(text))
        for word in found:
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))[:MAX_WORDS]
    file = cache.with_name(f"{cache.stem}-words.npz") if cache else None
    return Vocabulary(words, embed_passages(_Asked(embedder), words, file))


class _Asked:
    """Words are compared as questions are with questions, so they are embedded as such."""

    def __init__(self, embedder: Embedder) -> None:
        self.queries = embedder.queries
        self.passages = embedder.queries


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-9), dtype=np.float32)
