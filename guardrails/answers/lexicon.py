"""The words a knowledge base is written in: its names, how rare a word is, what a mistyped one meant."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import yaml
from pypinyin import lazy_pinyin

from guardrails.answers.folding import fold
from guardrails.knowledge.extract import split_names
from guardrails.knowledge.fact import Fact

_HAN = re.compile(r"[\u3400-\u9fff]+")
_ALIAS = re.compile(
    r"([\u3400-\u9fffA-Za-z0-9]{2,12}?)(?:\s*[(（])?(?:以下简称|简称|俗称|又称|也称|也叫|又叫|亦称)(?:为)?[“\"「『]([^”\"」』]{2,12})[”\"」』]"
)
_PARENTHESIS = re.compile(r"[(（]([^()（）]{2,16})[)）]")
_LETTERS = re.compile(r"[a-z]{2,}")
UNHEARD = 4.0
"""Rarity of a word that no fact has: as much as of one that is in a few of a thousand."""
MAX_QUESTION = 400
"""Characters of a question that are looked at."""
QUESTION_WORDS = (
    "多少",
    "多久",
    "怎么",
    "什么",
    "几天",
    "可以",
    "最高",
    "最低",
    "最长",
    "多少钱",
    "如何",
    "哪里",
    "时间",
)


@dataclass(frozen=True)
class Lexicon:
    """Folded texts of the facts, and the words found in them."""

    texts: tuple[str, ...]
    names: frozenset[str]
    grams: Mapping[str, int]
    pinyin: Mapping[str, str]
    synonyms: Mapping[str, tuple[str, ...]]
    asking: frozenset[str]
    """Those of the synonyms that only say which kind of value is asked for."""

    @cached_property
    def longest(self) -> int:
        """Length of the longest known word."""
        return max((len(word) for word in (*self.names, *self.synonyms)), default=0)

    def rarity(self, word: str) -> float:
        """Inverse document frequency of a word, natural logarithm; a word no fact has is the rarest."""
        count = self._count(word)
        if not count:
            return UNHEARD
        return math.log(1 + len(self.texts) / (1 + count))

    def _count(self, word: str) -> int:
        if len(word) == 2:
            return self.grams.get(word, 0)
        return sum(word in text for text in self.texts)


def build_lexicon(facts: Sequence[Fact], glossary: Iterable[Sequence[str]] = ()) -> Lexicon:
    """Read the words of `facts`. `glossary`: groups of words that mean the same, in this company's documents."""
    texts = tuple(fold(fact_text(fact)) for fact in facts)
    names: set[str] = set()
    for fact in facts:
        for label in (fact.row, fact.column):
            # A row head of several columns is several names; a name in parentheses is one, too.
            for part in (*label.split(), *_PARENTHESIS.findall(label)):
                names.update(fold(name) for name in split_names(part))
    names = {name for name in names if 2 <= len(name) <= 16 and not re.fullmatch(r"[\d.,%]+", name)}
    grams: Counter[str] = Counter()
    for text in texts:
        grams.update({text[at : at + 2] for at in range(len(text) - 1)})
    aliases = [
        tuple(fold(name) for name in pair) for fact in facts for pair in _ALIAS.findall(fact.statement)
    ]
    general = yaml.safe_load(
        files("guardrails.answers").joinpath("synonyms.yaml").read_text(encoding="utf-8")
    )
    groups = [*general["zh"], *aliases, *glossary]
    asking = {fold(word) for word in general["asking"]}
    return Lexicon(
        texts, frozenset(names), dict(grams), _by_sound(texts, names), _synonyms(groups), frozenset(asking)
    )


def fact_text(fact: Fact) -> str:
    """Everything of a fact that a question may name."""
    asked = fact.attribute if fact.kind == "faq" else ""
    return " ".join((fact.source.title, fact.source.section, asked, fact.statement))


def _synonyms(groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for group in groups:
        words = [fold(str(word)) for word in group]
        for word in words:
            found.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in found.items()}


def _by_sound(texts: Sequence[str], names: Iterable[str]) -> dict[str, str]:
    """Toneless pinyin of every name and frequent pair of characters → the most frequent of those that sound so."""
    counts: Counter[str] = Counter()
    for text in texts:
        for run in _HAN.findall(text):
            for size in (2, 3):
                counts.update(run[at : at + size] for at in range(len(run) - size + 1))
    for word in (*names, *QUESTION_WORDS):
        if _HAN.fullmatch(word):
            counts[word] += 50
    found: dict[str, str] = {}
    for word, _ in counts.most_common(20_000):
        found.setdefault("".join(lazy_pinyin(word)), word)
    return found


def spell_out(question: str, lexicon: Lexicon) -> str:
    """A folded question with pinyin written out: a run of letters that divides into sounds of known words."""
    if _HAN.search(question) or not question.isascii():
        return _LETTERS.sub(lambda run: _spelled(run[0], lexicon) or run[0], question[:MAX_QUESTION])
    return question[:MAX_QUESTION]


def repair(question: str, lexicon: Lexicon) -> str:
    """The question with misheard characters put right where that makes a known word of three or more."""
    out = question
    for at in range(len(question) - 1):
        meant = sounds_like(question[at : at + 2], lexicon)
        if meant:
            tried = out[:at] + meant + out[at + 2 :]
            if any(at - 2 <= tried.find(word, max(0, at - 2)) <= at for word in _around(tried, at, lexicon)):
                out = tried
    return out


def _around(text: str, at: int, lexicon: Lexicon) -> list[str]:
    """The known words of three to eight characters that cover both characters at `at`."""
    found = []
    for start in range(max(0, at - 6), at + 1):
        for end in range(max(at + 2, start + 3), min(len(text), start + 8) + 1):
            if text[start:end] in lexicon.names or text[start:end] in lexicon.synonyms:
                found.append(text[start:end])
    return found


def sounds_like(pair: str, lexicon: Lexicon) -> str:
    """Two characters that facts have, one of them the same, that sound like these two which no fact has."""
    if not _HAN.fullmatch(pair) or pair in lexicon.grams or any(pair in word for word in lexicon.synonyms):
        return ""
    meant = lexicon.pinyin.get("".join(lazy_pinyin(pair)), "")
    return meant if len(meant) == 2 and _same_in_one(meant, pair) and lexicon.grams.get(meant, 0) >= 2 else ""


def _same_in_one(first: str, second: str) -> bool:
    return first[0] == second[0] or first[1] == second[1]


def _spelled(run: str, lexicon: Lexicon) -> str:
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
