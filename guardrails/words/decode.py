"""What a text says once the codes in it are undone: entities, tags, escapes, reversed order, signs for letters.

Reads from left to right and never takes back what it has read, so a text may come in pieces: what could still become
a code waits until it is one or cannot be.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

_LEET = {"@": "4", "$": "5", "€": "3", "!": "1", "|": "1", "+": "7"}
_BOTH_SIDES = frozenset("!|+")
_STARTS = re.compile(r"[&<%\\@$€!|+\u202e]")
_ASCII_WORD = re.compile(r"[0-9A-Za-z@$€!|+]")
_LONGEST_ESCAPE = 48
_REVERSED_END = "\u202c\u2069\n"
# Most signs stand alone; these may not. A piece's first and last character may have anything beside them.
_LIKELY = re.compile(
    r"&(?:[#A-Za-z]|\Z)|<(?:[!/A-Za-z]|\Z)|%(?:[0-9A-Fa-f]|\Z)|\\(?:u|\Z)|\u202e|\A[@$€!|+]|[@$€!|+]\Z"
    r"|[0-9A-Za-z@$€!|+][@$€]|[@$€][0-9A-Za-z@$€!|+]|[0-9A-Za-z@$€!|+][!|+][0-9A-Za-z@$€!|+]"
)
# Of each kind: a whole code, and the longest stretch that may still become one.
_WHOLE = {
    "&": re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,12});"),
    "<": re.compile(r"<!--[^<>]{0,200}-->|</?[A-Za-z][^<>]{0,200}>"),
    "%": re.compile(r"(?:%[0-9A-Fa-f]{2}){1,16}"),
    "\\": re.compile(r"\\u[0-9A-Fa-f]{4}"),
    "\u202e": re.compile(rf"\u202e[^{_REVERSED_END}]{{0,200}}[{_REVERSED_END}]"),
}
_PART = {
    "&": re.compile(r"&(?:#(?:[0-9]{0,7}|[xX][0-9a-fA-F]{0,6})|[A-Za-z]{0,12})"),
    "<": re.compile(r"<(?:!(?:-(?:-[^<>]{0,202})?)?|/?(?:[A-Za-z][^<>]{0,200})?)"),
    "%": re.compile(r"(?:%[0-9A-Fa-f]{2}){0,15}(?:%[0-9A-Fa-f]?)?"),
    "\\": re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?"),
    "\u202e": re.compile(rf"\u202e[^{_REVERSED_END}]{{0,200}}"),
}


END = 1 << 62
"""When something is known that only the end of the text decides."""


def has_code(text: str) -> bool:
    """Whether anything in a piece of a text may be, begin or end a code: else it says what it says."""
    return _STARTS.search(text) is not None and _LIKELY.search(text) is not None


@dataclass(slots=True)
class Decoded:
    """Characters that were read, and of each: where it stands, and how much text had to come to know it.

    `taken`: the place up to which the text was read, `certain` when the last code had come.
    """

    text: str = ""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    taken: int = 0
    certain: int = 0

    def add(self, characters: str, start: int, end: int, known: int) -> None:
        """Characters that stand together for `[start, end)`."""
        self.text += characters
        self.starts += [start] * len(characters)
        self.ends += [end] * len(characters)
        self.known += [known] * len(characters)
        self.taken, self.certain = end, known

    def add_plain(self, text: str, start: int, known: int) -> None:
        """Characters that stand for themselves; `known`: the least that had come."""
        end = start + len(text)
        self.text += text
        self.starts += range(start, end)
        self.ends += range(start + 1, end + 1)
        self.known += (
            range(start + 1, end + 1)
            if known <= start + 1
            else [max(known, at + 1) for at in range(start, end)]
        )
        self.taken = end


def decode(text: str, before: str, base: int, known: int, *, last: bool) -> Decoded:
    """What `text` says, as far as that is certain. It stands at `base` of the whole, after the character `before`.

    `known`: how much had come when what stands before was certain. With `last` nothing follows.
    """
    found = Decoded(taken=base)
    at = 0
    while at < len(text):
        start = _STARTS.search(text, at)
        if start is None:
            found.add_plain(text[at:], base + at, known)
            break
        place = start.start()
        if place > at:
            found.add_plain(text[at:place], base + at, known)
            before = text[place - 1]
        sign = text[place]
        if sign in _LEET:
            if place + 1 == len(text) and not last:
                break
            after = text[place + 1 : place + 2]
            known = max(known, base + place + 2) if after else END
            found.add(_letter(before, sign, after), base + place, base + place + 1, known)
            at = place + 1
        else:
            end, until = _code(text, place, last=last)
            if until is None:
                break
            known = max(known, base + until) if until <= len(text) else END
            found.add(_meaning(text[place:end]) if end > place + 1 else sign, base + place, base + end, known)
            at = end
        before = text[at - 1]
    return found


def _letter(before: str, sign: str, after: str) -> str:
    """A sign beside letters is one of them: $ex, sh!t."""
    left, right = _ASCII_WORD.match(before) is not None, _ASCII_WORD.match(after) is not None
    return _LEET[sign] if (left and right if sign in _BOTH_SIDES else left or right) else sign


def _code(text: str, place: int, *, last: bool) -> tuple[int, int | None]:
    """(end of the code at `place`, of its first character where it is none; how much text decides it, or None)."""
    sign = text[place]
    part = _PART[sign].match(text, place)
    open_ = part is not None and part.end() == len(text)
    whole = _WHOLE[sign].match(text, place)
    if open_ and not last and (whole is None or sign == "%"):
        # More may follow that belongs to it.
        return place + 1, None
    beyond = (part.end() if part is not None else place) + 1
    if whole is not None:
        longest = whole.end() - whole.start() == _LONGEST_ESCAPE
        return whole.end(), whole.end() if sign != "%" or longest else max(whole.end() + 1, beyond)
    if sign == "\u202e" and open_:
        return len(text), beyond
    return place + 1, beyond


def _meaning(code: str) -> str:
    sign = code[0]
    if sign == "&":
        return html.unescape(code)
    if sign == "<":
        return ""
    if sign == "%":
        return unquote_to_bytes(code).decode("utf-8", "replace")
    if sign == "\\":
        return chr(int(code[2:], 16))
    return code.rstrip(_REVERSED_END)[:0:-1]
