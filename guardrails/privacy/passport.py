"""Passports and travel permits: letters and digits behind a word that says so."""

from __future__ import annotations

import re

from guardrails.privacy.find import Find, Piece

KIND = "passport"
_SAID = r"(?:护照|通行证|passport)(?:号码|号| numbers?| no\.?)?(?: ?(?:是|为|:|is) ?| )?"
_FOUND = re.compile(rf"{_SAID}([A-Za-z]{{1,2}}\d{{7,9}})(?!\d)", re.IGNORECASE)
_OPEN = re.compile(rf"{_SAID}([A-Za-z]{{1,2}}\d{{0,9}})$", re.IGNORECASE)
_LONGEST = 48


class Passports:
    """Finds them."""

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first from `start` on."""
        text = piece.text
        if not _says(piece):
            return None
        for match in _FOUND.finditer(text, max(0, start - _LONGEST)):
            if match.start(1) >= start:
                return Find(KIND, match.start(1), match.end(1), match[1].upper())
        return None

    def held(self, piece: Piece) -> int:
        """A number that has not ended."""
        end = len(piece.text)
        if not _says(piece):
            return end
        found = _OPEN.search(piece.text, max(0, end - _LONGEST))
        return end if found is None else max(piece.low, found.start(1))


def _says(piece: Piece) -> bool:
    return "护照" in piece.text or "通行证" in piece.text or "passport" in piece.lower
