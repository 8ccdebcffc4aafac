"""The search for many patterns at once: one small port, two engines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Protocol

import ahocorasick
import daachorse


class Engine(Protocol):
    """Finds patterns in skeletons. Unchangeable and pickled as built."""

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Every match, also overlapping: start, end in characters, number of the pattern; by end."""

    def opening(self, text: str, start: int) -> int:
        """First place from `start` on at which `text` ends in the beginning of a pattern; its length if none does."""

    def __len__(self) -> int:
        """Characters of the longest pattern."""


def open_engine(name: str, patterns: Sequence[str]) -> Engine:
    """`patterns`: distinct, none empty; a match names one by its place."""
    return _ENGINES[name](patterns)


class PyAhoCorasick:
    """pyahocorasick over UTF-8 bytes: with one node a byte the root has at most 256 children, not thousands."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        self._longest = max(map(len, patterns), default=0)
        for number, pattern in enumerate(patterns):
            form = _bytes(pattern)
            self._automaton.add_word(form, (len(form), number))
        if patterns:
            self._automaton.make_automaton()

    def __len__(self) -> int:
        return self._longest

    def find(self, text: str) -> list[tuple[int, int, int]]:
        if not self._longest:
            return []
        form = _bytes(text)
        found = list(self._automaton.iter(form))
        if not found:
            return []
        if len(form) == len(text):
            return [(end + 1 - size, end + 1, number) for end, (size, number) in found]
        at = _places(form)
        return [(at[end + 1 - size], at[end + 1], number) for end, (size, number) in found]

    def opening(self, text: str, start: int) -> int:
        starts_pattern = self._automaton.match
        for at in range(start, len(text)):
            if self._longest and starts_pattern(_bytes(text[at:])):
                return at
        return len(text)


class Daachorse:
    """daachorse by characters; it has no question for prefixes, so the sorted patterns answer that."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._sorted = sorted(patterns)
        self._longest = max(map(len, patterns), default=0)
        self._automaton: Any = daachorse.CharwiseDoubleArrayAhoCorasick(list(patterns)) if patterns else None

    def __len__(self) -> int:
        return self._longest

    def __getstate__(self) -> tuple[list[str], int, bytes]:
        return self._sorted, self._longest, self._automaton.serialize() if self._automaton else b""

    def __setstate__(self, state: tuple[list[str], int, bytes]) -> None:
        self._sorted, self._longest, content = state
        self._automaton = daachorse.CharwiseDoubleArrayAhoCorasick.deserialize(content) if content else None

    def find(self, text: str) -> list[tuple[int, int, int]]:
        if self._automaton is None:
            return []
        return [(start, end, number) for start, end, number in self._automaton.find_overlapping(text)]

    def opening(self, text: str, start: int) -> int:
        patterns = self._sorted
        for at in range(start, len(text)):
            tail = text[at:]
            place = bisect_left(patterns, tail)
            if place < len(patterns) and patterns[place].startswith(tail):
                return at
        return len(text)


_ENGINES: dict[str, type[PyAhoCorasick] | type[Daachorse]] = {
    "pyahocorasick": PyAhoCorasick,
    "daachorse": Daachorse,
}


def _bytes(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8").decode("latin-1")


def _places(form: str) -> list[int]:
    """Byte → the character it belongs to; one more for the end."""
    places, at = [], -1
    for char in form:
        at += not "\x80" <= char < "\xc0"
        places.append(at)
    return [*places, at + 1]
