"""Sentences of Chinese and English text, found while the text is still being written."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A full stop ends a sentence when a blank follows it that is not within an abbreviation or a list number.
_STOP = r"(?<![.\d])\.(?=[\s\"')])[\"')]*|(?<=\d)\.(?=\s)"
_FULL = rf"[。！？!?…]+[”’」』）)\"']*|\n+|{_STOP}"
_FULL_END = re.compile(_FULL)
_END = re.compile(rf"；|{_FULL}")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|no|st|vs|etc|inc|ltd|co|e\.g|i\.e|approx|max|min|fig|sec|art|p|a\.m|p\.m|u\.s|us\$"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|[a-z])$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,3}$")
_LOOK_BACK = 12


def ends(text: str, start: int = 0, *, last: bool = True) -> Iterator[int]:
    """Where the parts of `text[start:]` end that can be checked alone; without `last`, only ends that no later
    text can move."""
    return _ends(_END, text, start, last=last)


def full_sentences(text: str) -> Iterator[str]:
    """The sentences of a whole text, a semicolon being part of one; joined they are the text again."""
    start = 0
    for end in _ends(_FULL_END, text, 0, last=True):
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _ends(pattern: re.Pattern[str], text: str, start: int, *, last: bool) -> Iterator[int]:
    position = start
    while (match := pattern.search(text, position)) is not None:
        position = match.end()
        if not last and match.end() >= len(text):
            return
        if match[0][0] == ".":
            before = text[max(start, match.start() - _LOOK_BACK) : match.start()]
            if _ABBREVIATION.search(before) or _LIST_NUMBER.search(before):
                continue
        yield match.end()
