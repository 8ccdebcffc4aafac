"""The coarsest form of a text, in which terms are searched: letters alone, leet and numerals as one.

What meets a term here is a candidate; `reading` then compares letter by letter.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from guardrails.normalise import characters

_LEET = dict(zip("01l3457892", "oiieastbgz", strict=True))
_NUMERALS = {
    "〇": "0", "零": "0", "一": "1", "壹": "1", "弌": "1", "二": "2", "贰": "2", "弍": "2", "三": "3", "叁": "3",
    "四": "4", "肆": "4", "五": "5", "伍": "5", "六": "6", "陆": "6", "七": "7", "柒": "7", "八": "8", "捌": "8",
    "九": "9", "玖": "9", "拾": "十", "佰": "百", "仟": "千",
}  # fmt: skip
_LAST = 0x110000
_SHORT = 96
_CACHED = 50_000


class _Table(dict[int, str]):
    """Code point → skeleton; fills itself."""

    def __missing__(self, code: int) -> str:
        value = "".join(map(_coarse, plain(chr(code))))
        if len(self) < _CACHED:
            self[code] = value
        return value


def plain(char: str) -> str:
    """The letters one character reads as, digits and leet kept apart; "" for what is no letter."""
    known = characters()
    if not known.letter[ord(char)]:
        return ""
    folded = known.folded.get(ord(char), char)
    return char if folded == char else "".join(filter(str.isalnum, folded))


def _coarse(char: str) -> str:
    char = _NUMERALS.get(char, char)
    return _LEET.get(char, char)


def digit_of(letter: str) -> str:
    """The digit a letter is, in whatever script, else ""."""
    digit = _NUMERALS.get(letter, letter)
    return digit if digit.isascii() and digit.isdigit() else ""


def same_numeral(one: str, other: str) -> bool:
    """Whether two letters are the same numeral in two forms: 三 3, 拾 十."""
    return _NUMERALS.get(one, one) == _NUMERALS.get(other, other)


@cache
def _table() -> _Table:
    return _Table()


@cache
def _codes() -> NDArray[np.uint32]:
    """Code point → its skeleton where that is one character, 0 for none, `_LAST` where it is several."""
    known, table = characters(), _table()
    codes = np.arange(_LAST, dtype=np.uint32)
    codes[~known.letter] = 0
    for code in known.folded.keys() | set(map(ord, [*_NUMERALS, *_LEET])):
        value = table[code]
        codes[code] = ord(value) if len(value) == 1 else _LAST if value else 0
    return codes


def skeleton(text: str) -> str:
    """The letters of `text` in coarse form."""
    if len(text) <= _SHORT:
        return text.translate(_table())
    found = _codes()[_points(text)]
    if found.max(initial=0) >= _LAST:
        return text.translate(_table())
    return str(found[found != 0].tobytes(), "utf-32-le")


def origins(text: str) -> list[int]:
    """For every character of `skeleton(text)` the place in `text` it comes from."""
    found = _codes()[_points(text)]
    counts = (found != 0).astype(np.intp)
    for at in np.flatnonzero(found >= _LAST):
        counts[at] = len(_table()[ord(text[at])])
    places: list[int] = np.repeat(np.arange(len(text)), counts).tolist()
    return places


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
