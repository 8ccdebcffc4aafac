"""Texts that say nearly the same, found among many: MinHash signatures in a table of bands.

Broder, "On the resemblance and containment of documents" (1997); banding as in Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", chapter 3. Candidates are compared by their exact Jaccard similarity, so a text that
is reported is as similar as it is said to be; of pairs at 0.8 the bands miss about one in 1,500.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt

SIMILAR = 0.8
"""Jaccard similarity of two texts' shingles from which on they are near duplicates."""
SHINGLE = 3
"""Characters."""
_BANDS, _ROWS = 24, 6
_LONGEST = 20_000
_MARGIN = 0.15
"""More than four standard deviations of a similarity estimated from a signature."""

Shingles = npt.NDArray[np.uint64]
Signature = npt.NDArray[np.uint32]


def folded(text: str) -> str:
    """`text` without case, width, white space and punctuation; all of it where nothing else is there."""
    plain = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return "".join(char for char in plain if char.isalnum()) or "".join(plain.split())


def shingles(text: str) -> Shingles:
    """The hashes, sorted, of every three characters of the folded text; of the whole where it is shorter."""
    codes = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(
        np.uint64
    )
    length = max(1, min(SHINGLE, len(codes)))
    whole = np.zeros(max(1, len(codes) - length + 1), dtype=np.uint64)
    for at in range(min(length, len(codes))):
        whole = whole * np.uint64(0x110001) + codes[at : at + len(whole)]
    return np.unique(whole)


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard: shared shingles over all of the two."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


class NearTexts:
    """An index of texts, numbered as they were added."""

    def __init__(self, similar: float = SIMILAR) -> None:
        """`similar`: Jaccard similarity, above 0.6, from which on texts are near duplicates."""
        drawn = np.random.default_rng(20_260_101).integers(
            1, 2**63, size=(2, _BANDS * _ROWS), dtype=np.uint64
        )
        self._factors = (drawn[0] | np.uint64(1))[:, None]
        self._offsets = drawn[1][:, None]
        self._similar = similar
        self._bands: tuple[dict[bytes, list[int]], ...] = tuple({} for _ in range(_BANDS))
        self._texts: list[Shingles] = []
        self._signatures = np.zeros((1024, _BANDS * _ROWS), dtype=np.uint32)

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, text: str) -> int:
        """Put `text` into the index; its number."""
        own = shingles(text)
        return self._put(own, self._signature(own))

    def find(self, text: str) -> int | None:
        """The number of the earliest text that is near `text`."""
        own = shingles(text)
        return self._near(own, self._signature(own))

    def is_new(self, text: str) -> bool:
        """Whether nothing near `text` is there yet; then it is added."""
        own = shingles(text)
        signature = self._signature(own)
        if self._near(own, signature) is not None:
            return False
        self._put(own, signature)
        return True

    def _put(self, own: Shingles, signature: Signature) -> int:
        number = len(self._texts)
        if number == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[number] = signature
        self._texts.append(own)
        for band, key in zip(self._bands, _keys(signature), strict=True):
            band.setdefault(key, []).append(number)
        return number

    def _near(self, own: Shingles, signature: Signature) -> int | None:
        found = {
            number
            for band, key in zip(self._bands, _keys(signature), strict=True)
            for number in band.get(key, ())
        }
        if not found:
            return None
        numbers = np.fromiter(found, dtype=np.int64, count=len(found))
        numbers.sort()
        # The share of equal places estimates the similarity: most candidates are ruled out without a look at them.
        agreed = (self._signatures[numbers] == signature).mean(axis=1)
        for number in numbers[agreed >= self._similar - _MARGIN].tolist():
            if similarity(own, self._texts[number]) >= self._similar:
                return int(number)
        return None

    def _signature(self, own: Shingles) -> Signature:
        # Multiply-shift hashing: the upper half of (a·x + b) mod 2^64, a odd.
        hashes = (self._factors * own[None, :] + self._offsets) >> np.uint64(32)
        lowest: Signature = hashes.min(axis=1).astype(np.uint32)
        return lowest


def _keys(signature: Signature) -> list[bytes]:
    return [band.tobytes() for band in signature.reshape(_BANDS, _ROWS)]
