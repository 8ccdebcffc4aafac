"""Sentences of Chinese and English text, found while the text is still being written."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A full stop ends a sentence when a blank follows it that is not within an abbreviation or a list number.
_END = re.compile(r"[。！？!?…]+[”’」』）)\"']*|；|\n+|(?<![.\d])\.(?=[\s\"')])[\"')]*|(?<=\d)\.(?=\s)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|no|st|vs|etc|inc|ltd|co|e\.g|i\.e|approx|max|min|fig|sec|art|p|a\.m|p\.m|u\.s|us\$|jan|feb|mar|apr"
    r"|jun|jul|aug|sept?|oct|nov|dec|[a-z])$",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,3}$")
_LOOK_BACK = 12


def ends(text: str, start: int = 0, *, last: bool = True) -> Iterator[int]:
    """Where the sentences of `text[start:]` end; without `last`, only ends that no later text can move."""
    position = start
    while (match := _END.search(text, position)) is not None:
        position = match.end()
        if not last and match.end() >= len(text):
            return
        if match[0][0] == ".":
            before = text[max(start, match.start() - _LOOK_BACK) : match.start()]
            if _ABBREVIATION.search(before) or _LIST_NUMBER.search(before):
                continue
        yield match.end()


def sentences(text: str) -> Iterator[str]:
    """The sentences of a whole text; joined they are the text again."""
    start = 0
    for end in ends(text):
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
