"""Chinese terms with one character written otherwise: in pinyin, as its parts, by another of the same sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from guardrails.words.ordinary import TERM, chinese_words, cost, is_han
from guardrails.words.pattern import Pattern

_PINYIN, _PARTS, _SOUND, _SOUND_OF_TWO = 2, 4, 8, 12
"""Costs of a swap, in the unit of `ordinary.cost`; a term of two characters has little left to be known by."""
_MOST_ALIKE = 60
"""Characters of the same sound that are searched, the most common ones."""
_SPELLED_OUT = 3
"""Characters from which on a term is searched in pinyin alone: shorter ones are words of other languages."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """Of each character its pinyin without the tone, and those that sound alike."""

    pinyin: Mapping[str, str]
    alike: Mapping[str, str]


def swapped(term: Pattern) -> Iterator[Pattern]:
    """Every way to write a Chinese term with one character swapped."""
    letters = term.letters
    han = sum(map(is_han, letters))
    if han < 2:
        return
    sounds, parts = _sounds(), _parts()
    likely = min(TERM, cost(letters))
    for at, letter in enumerate(letters):
        ways = [(sounds.pinyin.get(letter, ""), _PINYIN), *((part, _PARTS) for part in parts.get(letter, ()))]
        ways += [(other, _SOUND if han > 2 else _SOUND_OF_TWO) for other in sounds.alike.get(letter, "")]
        for other, extra in ways:
            if other:
                yield Pattern(term.term, letters[:at] + other + letters[at + 1 :], cost=likely + extra)
    if han == len(letters) >= _SPELLED_OUT and all(letter in sounds.pinyin for letter in letters):
        yield _spelled(term, [sounds.pinyin[letter] for letter in letters], likely + _PINYIN)


def _spelled(term: Pattern, syllables: list[str], likely: int) -> Pattern:
    breaks, at = set(), 0
    for syllable in syllables[:-1]:
        at += len(syllable)
        breaks.add(at)
    return Pattern(term.term, "".join(syllables), frozenset(breaks), likely)


@cache
def _sounds() -> Sounds:
    pinyin: dict[str, str] = {}
    tones: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for line in _rows("syllables.txt"):
        reading, _, characters = line.partition(" ")
        for char in characters.partition("|")[0]:
            pinyin[char], tones[char] = reading[:-1], reading[-1]
            groups.setdefault(reading[:-1], []).append(char)
    words = chinese_words()
    alike = {}
    for group in groups.values():
        common = sorted((char for char in group if char in words), key=words.__getitem__)
        for char in group:
            others = [other for other in common if other != char]
            same = [other for other in others if tones[other] == tones[char]]
            alike[char] = "".join(dict.fromkeys(same + others))[:_MOST_ALIKE]
    return Sounds(pinyin, alike)


@cache
def _parts() -> Mapping[str, tuple[str, ...]]:
    rows = (line.split(" ") for line in _rows("parts.txt"))
    return {row[0]: tuple(row[1:]) for row in rows}


def _rows(name: str) -> list[str]:
    text = files("guardrails.tables").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("#")]
