"""Everyday words of business texts, Chinese and English side by side, read from the tables beside this module."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and what they stand for: Chinese by first character, the longest first; English by stem."""

    chinese: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]
    english: Mapping[str, tuple[str, ...]]
    phrases: Mapping[tuple[str, str], tuple[str, ...]]


def stem(word: str) -> str:
    """A rough English stem: plural and verb endings off."""
    for ending in ("'s", "ies", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending) + ("y" if ending == "ies" else "")
            if ending in {"ing", "ed"} and len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word.removesuffix("e") if len(word) > 4 else word


@cache
def notions() -> Vocabulary:
    """Words that mean the same, under `@name`."""
    return _vocabulary((f"@{name}", words) for name, words in _rows("notions.txt"))


@cache
def opposites() -> Vocabulary:
    """Words that exclude one another, under `~name:side`."""
    found = []
    for name, *sides in _columns("opposites.txt"):
        found += [(f"~{name}:{index}", side.split()) for index, side in enumerate(sides)]
    return _vocabulary(found)


@cache
def affirmations() -> Vocabulary:
    """Words that say what others deny, under `&name`."""
    return _vocabulary((f"&{name}", says.split()) for name, says, _ in _columns("denials.txt"))


@cache
def denials() -> Vocabulary:
    """Words that deny `&name`."""
    return _vocabulary((f"&{name}", denies.split()) for name, _, denies in _columns("denials.txt"))


def _rows(name: str) -> Iterator[tuple[str, list[str]]]:
    for head, *words in _columns(name):
        yield head, " ".join(words).split()


def _columns(name: str) -> Iterator[list[str]]:
    for line in files("guardrails.fact_check").joinpath(name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield [part.strip() for part in line.split("|")]


def _vocabulary(rows: Iterator[tuple[str, list[str]]] | list[tuple[str, list[str]]]) -> Vocabulary:
    chinese: dict[str, list[str]] = {}
    english: dict[str, list[str]] = {}
    phrases: dict[tuple[str, str], list[str]] = {}
    for name, words in rows:
        for word in words:
            if _HAN.match(word):
                names = chinese.setdefault(word, [])
            elif "_" in word:
                first, _, second = word.partition("_")
                names = phrases.setdefault((stem(first), stem(second.replace("_", " "))), [])
            else:
                names = english.setdefault(stem(word), [])
            if name not in names:
                names.append(name)
    buckets: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for word in sorted(chinese, key=len, reverse=True):
        buckets.setdefault(word[0], []).append((word, tuple(chinese[word])))
    return Vocabulary(
        {first: tuple(found) for first, found in buckets.items()},
        {word: tuple(names) for word, names in english.items()},
        {pair: tuple(names) for pair, names in phrases.items()},
    )


def chinese_words(run: str, vocabulary: Vocabulary) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Start, length and names of the words in a run of Chinese; the longest word wins."""
    at = 0
    while at < len(run):
        for word, names in vocabulary.chinese.get(run[at], ()):
            if run.startswith(word, at):
                yield at, len(word), names
                at += len(word)
                break
        else:
            at += 1


def all_words(vocabulary: Vocabulary) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every word of a vocabulary and its names."""
    for bucket in vocabulary.chinese.values():
        yield from bucket
    yield from vocabulary.english.items()
    for (first, second), names in vocabulary.phrases.items():
        yield f"{first} {second}", names
