"""Addresses of mail, also as `name [at] example.com`."""

from __future__ import annotations

import re

from guardrails.privacy.find import Find, Piece

KIND = "email"
# Characters of the local part that a partial mask shows, and a stream need not hold.
SHOWN = 2
_LOCAL = r"A-Za-z0-9._%+\-"
_MOST_LOCAL = 64
_AT = re.compile(r" ?(?:@|[\[(] ?[Aa][Tt] ?[\])]) ?")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9\-]{1,63}[.。]){1,6}[A-Za-z]{2,24}")
_NAME_BEFORE = re.compile(f"[{_LOCAL}]+$")
_OPEN = re.compile(
    rf"(?<![{_LOCAL}])[{_LOCAL}]+(?: | ?[\[(] ?(?:[Aa](?:[Tt] ?)?)?"
    r"| ?(?:@|[\[(] ?[Aa][Tt] ?[\])]) ?(?:[A-Za-z0-9\-]{1,63}[.。]?){0,7})?$"
)
_LONGEST = 600


class EmailAddresses:
    """Finds them. `shown`: how much of the name a mask leaves, so that a find begins behind that."""

    def __init__(self, shown: int) -> None:
        self._shown = shown

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first whose hidden part is not before `start`."""
        text = piece.text
        if "@" not in text and "]" not in text and ")" not in text:
            return None
        for at in _AT.finditer(text, start):
            name = _NAME_BEFORE.search(text, max(0, at.start() - _MOST_LOCAL - 1), at.start())
            if name is None or len(name[0]) > _MOST_LOCAL:
                continue
            domain = _DOMAIN.match(text, at.end())
            hidden = min(name.start() + self._shown, at.start())
            if domain is not None and hidden >= start:
                return Find(KIND, hidden, domain.end(), text[name.start() : domain.end()].lower())
        return None

    def held(self, piece: Piece) -> int:
        """The word at the end, but for what of it is shown anyway."""
        end = len(piece.text)
        if not piece.text or not (piece.text[-1].isascii() or piece.text[-1] == "。"):
            return end
        low = max(piece.low, end - _LONGEST)
        # From where the name may begin: some of it may have been shown.
        found = _OPEN.search(piece.text, max(0, low - self._shown))
        if found is None:
            return end
        name = _LOCALS.match(piece.text, found.start())
        if name is None or len(name[0]) > _MOST_LOCAL:
            return end
        return max(piece.low, min(found.start() + self._shown, name.end()))


_LOCALS = re.compile(f"[{_LOCAL}]+")
