"""The words a knowledge base is written in: its names, how rare a word is, what may stand for it."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files

import yaml

from guardrails.answers.dictionary import Dictionary, build_dictionary
from guardrails.answers.folding import HAN, fold, matchable
from guardrails.answers.glossary import Glossary
from guardrails.answers.sound import by_sound
from guardrails.knowledge.extract import plain_heading
from guardrails.knowledge.fact import Fact
from guardrails.knowledge.table import PLAIN_HEADS, split_names

_ALIAS = re.compile(
    r"([\u3400-\u9fffA-Za-z0-9]{2,12}?)(?:\s*[(（])?(?:以下简称|简称|俗称|又称|也称|也叫|又叫|亦称)(?:为)?[“\"「『]([^”\"」』]{2,12})[”\"」』]"
)
_PARENTHESIS = re.compile(r"[(（]([^()（）]{2,16})[)）]")
UNHEARD = 4.0
"""Rarity of a word that no fact has: as much as of one that is in a few of a thousand."""
SAME = 1.0
SYNONYM = 0.85
ALIKE = 0.7
"""What a word counts that the customer used, that the glossary or the dictionary puts in its place."""
MAX_WORDS = 16
"""Ways to write one word that are looked for."""


@dataclass(frozen=True)
class Lexicon:
    """Words of the facts, folded. `siblings`: a name → the names that stand beside it in a table's head."""

    texts: tuple[str, ...]
    names: frozenset[str]
    siblings: Mapping[str, frozenset[str]]
    grams: Mapping[str, int]
    pinyin: Mapping[str, str]
    synonyms: Mapping[str, tuple[str, ...]]
    asking: frozenset[str]
    """Those of the synonyms that only say which kind of value is asked for."""
    english: Mapping[str, tuple[str, ...]]
    """Stemmed English terms → what documents call them."""
    dictionary: Dictionary = field(default_factory=Dictionary)

    @cached_property
    def words(self) -> frozenset[str]:
        """Chinese words that are looked for whole, not by pairs of characters."""
        return self.names.union(self.synonyms, self.dictionary.alike, self.dictionary.english)

    @cached_property
    def longest(self) -> int:
        """Length of the longest known word."""
        return max(map(len, self.words), default=0)

    @cached_property
    def _counts(self) -> dict[str, int]:
        return {}

    def rarity(self, word: str) -> float:
        """Inverse document frequency of a word, natural logarithm; a word no fact has is the rarest."""
        count = self.count(word)
        return math.log(1 + len(self.texts) / (1 + count)) if count else UNHEARD

    def count(self, word: str) -> int:
        """How many facts have the word."""
        if len(word) == 2:
            return self.grams.get(word, 0)
        known = self._counts.get(word)
        if known is None:
            known = sum(word in text for text in self.texts)
            if len(self._counts) < 50_000:
                self._counts[word] = known
        return known

    def ways(self, word: str) -> tuple[tuple[str, float], ...]:
        """A Chinese word and what may stand for it in the documents, with how much that counts."""
        found = {word: SAME}
        for other in self.synonyms.get(word, ()):
            found.setdefault(other, SYNONYM)
        for other in self.dictionary.alike.get(word, ()):
            found.setdefault(other, ALIKE)
        for term in self.dictionary.english.get(word, ()):
            found.setdefault(f" {term} ", SYNONYM)
        return tuple(found.items())[:MAX_WORDS]


def build_lexicon(facts: Sequence[Fact], glossary: Glossary) -> Lexicon:
    """Read the words of `facts`."""
    texts = tuple(matchable(fold(fact_text(fact))) for fact in facts)
    names, siblings = table_names(facts)
    names |= {name for fact in facts if (name := heading_name(fact))}
    grams: Counter[str] = Counter()
    for text in texts:
        grams.update({text[at : at + 2] for at in range(len(text) - 1)})
    aliases = [
        tuple(fold(name) for name in pair) for fact in facts for pair in _ALIAS.findall(fact.statement)
    ]
    general = yaml.safe_load(
        files("guardrails.answers").joinpath("synonyms.yaml").read_text(encoding="utf-8")
    )
    groups = [*general["zh"], *aliases, *glossary.synonyms]
    return Lexicon(
        texts,
        names,
        siblings,
        dict(grams),
        by_sound(texts, names),
        _synonyms(groups),
        frozenset(fold(word) for word in general["asking"]),
        glossary.english,
        build_dictionary(texts),
    )


def table_names(facts: Iterable[Fact]) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    """The names in rows' and columns' heads, and which of them stand beside one another."""
    axes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in facts:
        for axis, label in (("row", fact.row), ("column", fact.column)):
            axes[fact.table, axis].update(label_names(label))
    siblings: dict[str, set[str]] = defaultdict(set)
    for beside in axes.values():
        for name in beside:
            siblings[name] |= beside
    return frozenset(siblings), {name: frozenset(beside - {name}) for name, beside in siblings.items()}


def label_names(label: str) -> frozenset[str]:
    """The names in a row or column head, those in parentheses too, folded."""
    parts = (label, *label.split(), *_PARENTHESIS.findall(label))
    found = {fold(name) for part in parts for name in split_names(part)}
    return frozenset(
        name
        for name in found
        if 2 <= len(name) <= 16 and name not in PLAIN_HEADS and not re.fullmatch(r"[\d.,%]+", name)
    )


def heading_name(fact: Fact) -> str:
    """What the section a fact stands in is about, if its heading is a name; else nothing."""
    heading = fold(plain_heading(fact.source.section.rsplit(" ", 1)[-1]))
    return heading if 2 <= len(heading) <= 10 and HAN.fullmatch(heading) else ""


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
