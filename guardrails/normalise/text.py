"""A text in its plain form: one width, case and script, no invisible characters, no accents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.normalise.characters import characters


@dataclass(frozen=True, slots=True)
class Normalised:
    """`origins[i]` is the place in the original of the character that `text[i]` came from."""

    text: str
    origins: Sequence[int]
    length: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where `text[start:end]` stood in the original, end exclusive; an empty stretch has no length."""
        if start >= end:
            place = self.origins[start] if start < len(self.origins) else self.length
            return place, place
        return self.origins[start], self.origins[end - 1] + 1


def normalise(text: str) -> Normalised:
    """Fold every character by itself, so `normalise(a + b)` is `normalise(a)` and `normalise(b)` in a row."""
    folded = characters().folded
    pieces = [folded.get(code, char) for char, code in zip(text, map(ord, text), strict=True)]
    origins = [at for at, piece in enumerate(pieces) for _ in piece]
    return Normalised("".join(pieces), origins, len(text))
