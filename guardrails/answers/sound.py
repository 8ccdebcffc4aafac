"""What a mistyped word or one written in pinyin meant: a word of the documents that sounds so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pypinyin import lazy_pinyin

from guardrails.answers.folding import HAN

_LETTERS = re.compile(r"[a-z]{2,}")
MAX_QUESTION = 400
"""Characters of a question that are looked at."""
QUESTION_WORDS = "多少 多久 怎么 什么 几天 可以 最高 最低 最长 多少钱 如何 哪里 时间 一年 一个月 收费 能不能 是多少 几年 一次".split()


class Heard(Protocol):
    """What is known of the documents' words."""

    @property
    def pinyin(self) -> Mapping[str, str]:
        """Toneless pinyin → word."""

    @property
    def grams(self) -> Mapping[str, int]:
        """Pairs of characters and how many facts have them."""

    @property
    def names(self) -> frozenset[str]:
        """Names in tables."""

    @property
    def synonyms(self) -> Mapping[str, tuple[str, ...]]:
        """Words of the glossary."""


def by_sound(texts: Sequence[str], names: Iterable[str]) -> dict[str, str]:
    """Toneless pinyin of every name and frequent run of characters → the most frequent of those that sound so."""
    counts: Counter[str] = Counter()
    for text in texts:
        for run in HAN.findall(text):
            for size in (2, 3):
                counts.update(run[at : at + size] for at in range(len(run) - size + 1))
    for word in (*names, *QUESTION_WORDS):
        if HAN.fullmatch(word):
            counts[word] += 50
    found: dict[str, str] = {}
    for word, _ in counts.most_common(20_000):
        found.setdefault("".join(lazy_pinyin(word)), word)
    return found


def spell_out(question: str, lexicon: Heard) -> str:
    """A folded question with pinyin written out: a run of letters that divides into sounds of known words."""
    question = question[:MAX_QUESTION]
    return _LETTERS.sub(lambda run: _spelled(run[0], lexicon) or run[0], question)


def repair(question: str, lexicon: Heard) -> str:
    """The question with misheard characters put right where that makes a known word of three or more."""
    out = question
    for at in range(len(question) - 1):
        meant = sounds_like(question[at : at + 2], lexicon)
        if meant:
            tried = out[:at] + meant + out[at + 2 :]
            if any(at - 2 <= tried.find(word, max(0, at - 2)) <= at for word in _around(tried, at, lexicon)):
                out = tried
    return out


def _around(text: str, at: int, lexicon: Heard) -> list[str]:
    """The known words of three to eight characters that cover both characters at `at`."""
    found = []
    for start in range(max(0, at - 6), at + 1):
        for end in range(max(at + 2, start + 3), min(len(text), start + 8) + 1):
            if text[start:end] in lexicon.names or text[start:end] in lexicon.synonyms:
                found.append(text[start:end])
    return found


def sounds_like(pair: str, lexicon: Heard) -> str:
    """Two characters that facts have, one of them the same, that sound like these two which no fact has."""
    if not HAN.fullmatch(pair) or pair in lexicon.grams or any(pair in word for word in lexicon.synonyms):
        return ""
    meant = lexicon.pinyin.get("".join(lazy_pinyin(pair)), "")
    return meant if len(meant) == 2 and _same_in_one(meant, pair) and lexicon.grams.get(meant, 0) >= 2 else ""


def _same_in_one(first: str, second: str) -> bool:
    return first[0] == second[0] or first[1] == second[1]


def _spelled(run: str, lexicon: Heard) -> str:
    """The words a run of pinyin spells, or nothing when it does not divide without a rest."""
    best: list[str | None] = [""] + [None] * len(run)
    for end in range(2, len(run) + 1):
        for start in range(max(0, end - 24), end - 1):
            before = best[start]
            word = lexicon.pinyin.get(run[start:end])
            # Longest last word first, so that start ascends.
            if before is not None and word is not None:
                best[end] = before + word
                break
    return best[len(run)] or ""
