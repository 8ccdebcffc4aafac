"""Text as people really type it: slips, missing marks, traditional characters, pinyin. What a text is about stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from adapters.training.data.wordings import homophones
from guardrails.tables import simplified

SLIPS, BARE, TRADITIONAL, PINYIN = 0.22, 0.12, 0.03, 0.02
"""Shares of questions with a slip, without marks, in traditional characters, in pinyin."""
_MARKS = re.compile(r"[，。？！,?!]+")
_END = re.compile(r"[。？！.?!]+$")


def noisy(text: str, kept: Sequence[str], lang: str, rng: Random) -> str:
    """`text` with some noise, or none. The texts in `kept`, and all digits, stay as they are up to the script."""
    draw = rng.random()
    if lang == "zh":
        if draw < PINYIN:
            return _pinyin(text)
        if draw < PINYIN + TRADITIONAL:
            return text.translate(_traditional())
        draw -= PINYIN + TRADITIONAL
    if draw < SLIPS:
        return slipped(text, kept, rng)
    if draw < SLIPS + BARE:
        return _MARKS.sub(" ", text).strip() if lang == "zh" else _END.sub("", text.lower())
    return text


def slipped(text: str, kept: Sequence[str], rng: Random) -> str:
    """One slip of the fingers outside `kept`: a letter lost, doubled or swapped, or another of the same sound."""
    free = _free(text, kept)
    if not free:
        return text
    at = free[rng.randrange(len(free))]
    alike = homophones().get(text[at])
    if alike:
        return text[:at] + rng.choice(alike) + text[at + 1 :]
    kind = rng.randrange(3)
    if kind == 0 and len(free) > 4:
        return text[:at] + text[at + 1 :]
    if kind == 1 and at + 1 in free:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at] + text[at:]


def _free(text: str, kept: Sequence[str]) -> list[int]:
    """Places of letters that are in none of the `kept` texts."""
    taken: set[int] = set()
    for part in kept:
        start = text.find(part) if part else -1
        while start >= 0:
            taken.update(range(start, start + len(part)))
            start = text.find(part, start + 1)
    return [at for at, char in enumerate(text) if char.isalpha() and at not in taken]


def _pinyin(text: str) -> str:
    from pypinyin import lazy_pinyin  # noqa: PLC0415 - its tables take a second to load

    return " ".join(part.strip() for part in lazy_pinyin(text) if part.strip())


@cache
def _traditional() -> dict[int, str]:
    """Simplified character → the first traditional one for it."""
    found: dict[int, str] = {}
    for old, new in simplified().items():
        found.setdefault(ord(new), chr(old))
    return found
