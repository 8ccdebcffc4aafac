"""What each character reads as, whatever stands around it: so a text may be folded piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from guardrails.tables import simplified

_LAST = 0x110000
_BLANK = "\t\x1c\x1d\x1e\x1f\xa0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_LINE_ENDS = "\v\f\r\x85\u2028\u2029"
UNKNOWN = "\ufffd"
"""What a lone surrogate reads as: no letter, and it can be encoded."""


@dataclass(frozen=True, slots=True, eq=False)
class Characters:
    """`folded`: code point → what it reads as, only where it is not itself; "" where nothing is seen.

    `letter`: by code point, whether it is a letter or a digit of any script. Everything else that is seen separates.
    """

    folded: dict[int, str]
    letter: NDArray[np.bool_]

    def fold(self, char: str) -> str:
        """What one character reads as."""
        return self.folded.get(ord(char), char)

    def is_letter(self, char: str) -> bool:
        """Whether it is a letter or a digit."""
        return bool(self.letter[ord(char)])


@cache
def characters() -> Characters:
    """The table. The first call takes some 20 ms."""
    letter = np.zeros(_LAST, dtype=np.bool_)
    simple = simplified()
    folded: dict[int, str] = dict(simple)
    text = files("guardrails.tables").joinpath("characters.txt").read_text(encoding="ascii")
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "letters":
            for first, last in _ranges(rest):
                letter[first:last] = True
        elif kind == "unseen":
            for first, last in _ranges(rest):
                folded |= dict.fromkeys(range(first, last), "")
        elif kind == "fold":
            codes, _, sources = rest.partition(": ")
            target = "".join(chr(int(code, 16)) for code in codes.split()).translate(simple)
            for first, last in _ranges(sources):
                folded |= dict.fromkeys(range(first, last), target)
    folded |= dict.fromkeys(map(ord, _BLANK), " ")
    folded |= dict.fromkeys(map(ord, _LINE_ENDS), "\n")
    folded |= dict.fromkeys(range(0xD800, 0xE000), UNKNOWN)
    return Characters(folded, letter)


def _ranges(text: str) -> list[tuple[int, int]]:
    """`61-7a 41` as first and one past the last."""
    found = []
    for part in text.split():
        first, _, last = part.partition("-")
        found.append((int(first, 16), int(last or first, 16) + 1))
    return found
