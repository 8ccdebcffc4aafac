"""How far apart signals may stand in a text and still be told of one thing.

A question closes its subject: who asks about fees and then about a lost card tells of two things. A story is told in
statements, up to a length in which people still speak of the same. Lengths are bytes of UTF-8, since three Latin
letters say about as much as one Chinese character.
"""

from __future__ import annotations

import re

SHORT = 180
"""A text this short is one subject, whatever it asks."""
FOLLOWING = 60
"""Neighbouring questions this short together are one subject: "He wants a code? Do I give it?"."""
STORY = 160
"""Characters of a longer subject that are looked at together."""
_UNIT = 40
_SENTENCE = re.compile(r"[。!?\n;]+|\.(?= |$)")
_CLAUSE = re.compile(r"[。!?\n;,]+|\.(?= |$)")
# Between Chinese characters a blank often stands for the mark. Folding takes it away, so it is asked for before.
_BLANK = re.compile(r"(?<=[\u3400-\u9fff])[ \t\r\n\u3000](?=[ \t\r\n\u3000]*\S)")
_ASKING = re.compile(
    r"(?:吗|呢|么|嘛|没有|不|多少|几[^,。]{0,4}|哪[^,。]{0,5}|什么[^,。]{0,6}|啥[^,。]{0,4}|怎么[^,。]{0,6}|咋[^,。]{0,4}|"
    r"如何[^,。]{0,6}|多[久长少大][^,。]{0,5})$"
)
_LONGEST_ASKING = 8


def ask(text: str) -> str:
    """`text` with a question mark for the blank behind a question that has none, as long as before."""
    return _BLANK.sub(_marked, text) if len(text.encode("utf-8", "surrogatepass")) > SHORT else text


def scopes(folded: str) -> list[tuple[int, int]]:
    """Stretches, in order, overlapping: signals count together where one of these holds them all.

    What counts as one subject is there in its parts too: a question about fraud in general excuses no other.
    """
    if _size(folded, 0, len(folded)) <= SHORT:
        parts = _subjects(folded)
        return [(0, len(folded)), *(parts if len(parts) > 1 else ())]
    subjects: list[tuple[int, int]] = []
    for start, end in _subjects(folded):
        subjects += [(start, end)] if end - start <= STORY else _runs(_units(folded, start, end))
    return _joined(folded, subjects)


def _subjects(folded: str) -> list[tuple[int, int]]:
    """Statements up to and with the question that closes them."""
    out, start, last = [], 0, 0
    for mark in _SENTENCE.finditer(folded):
        tail = folded[max(last, mark.start() - _LONGEST_ASKING) : mark.start()]
        last = mark.end()
        if "?" in mark[0] or _ASKING.search(tail):
            out.append((start, last))
            start = last
    return [*out, (start, len(folded))] if start < len(folded) else out


def _units(folded: str, start: int, end: int) -> list[tuple[int, int]]:
    """Sentences and clauses of a stretch; what has no marks is cut anywhere."""
    out = []
    for mark in [*(found.end() for found in _CLAUSE.finditer(folded, start, end)), end]:
        while mark - start > 2 * _UNIT:
            out.append((start, start + _UNIT))
            start += _UNIT
        if mark > start:
            out.append((start, mark))
            start = mark
    return out


def _runs(units: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every longest run of neighbouring units of at most STORY characters."""
    out: list[tuple[int, int]] = []
    last = 0
    for first, (start, _) in enumerate(units):
        last = max(last, first)
        while last + 1 < len(units) and units[last + 1][1] - start <= STORY:
            last += 1
        if not out or units[last][1] > out[-1][1]:
            out.append((start, units[last][1]))
    return out


def _joined(folded: str, subjects: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """These, and before each that has short neighbours behind it all of them as one."""
    out: list[tuple[int, int]] = []
    furthest = 0
    for at, (start, end) in enumerate(subjects):
        last = end
        for _, further in subjects[at + 1 :]:
            if further - start > FOLLOWING or _size(folded, start, further) > FOLLOWING:
                break
            last = further
        if last > max(end, furthest):
            out.append((start, last))
            furthest = last
        out.append((start, end))
    return out


def _size(folded: str, start: int, end: int) -> int:
    return len(folded[start:end].encode())


def _marked(blank: re.Match[str]) -> str:
    asked = _ASKING.search(blank.string[max(0, blank.start() - _LONGEST_ASKING) : blank.start()])
    return blank[0] if asked is None else "?"
