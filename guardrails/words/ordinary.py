"""Ordinary words of both languages: how probable a stretch of text is without any denied term in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LONGEST = 4
"""Characters of the longest Chinese word in the table."""
UNKNOWN = 36
"""Cost of a Chinese character the table has not got. Costs are twice the negative natural log of a word's share."""
TERM = 28
"""Cost of a denied term where it is no ordinary word: as a word that stands once in a million."""
IMPOSSIBLE = 1 << 20
"""Cost of what cannot be read so."""
_OTHER = 14


def is_han(char: str) -> bool:
    """Whether a character is a Chinese one."""
    return "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U0003ffff"


def is_alphabetic(char: str) -> bool:
    """Whether a character belongs to a script that puts spaces between its words."""
    return (
        char.isalpha()
        and not is_han(char)
        and not "\u3040" <= char <= "\u30ff"
        and not "\u0e00" <= char <= "\u0eff"
    )


@cache
def chinese_words() -> Mapping[str, int]:
    """Word → cost. The first call takes some 50 ms."""
    costs: dict[str, int] = {}
    text = files("guardrails.tables").joinpath("chinese_words.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        cost, length, words = line.split(" ")
        size = int(length)
        costs |= dict.fromkeys((words[at : at + size] for at in range(0, len(words), size)), int(cost))
    return costs


@cache
def english_words() -> frozenset[str]:
    """Common English words, in small letters."""
    text = files("guardrails.tables").joinpath("english_words.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def cost(text: str) -> int:
    """Cost of the most probable way to read a short stretch of letters as words."""
    return _costs(text, ())[0]


def crossing_cost(text: str, *edges: int) -> int:
    """Likewise, of the ways in which a word stands across one of these places; `IMPOSSIBLE` where there is none."""
    return _costs(text, edges)[1]


def _costs(text: str, edges: tuple[int, ...]) -> tuple[int, int]:
    """(cost of the best way, cost of the best way across an edge)."""
    words = chinese_words()
    best, across = [0], [IMPOSSIBLE]
    for end in range(1, len(text) + 1):
        char = text[end - 1]
        alone = words.get(char, UNKNOWN if is_han(char) else _OTHER)
        least, least_across = best[end - 1] + alone, across[end - 1] + alone
        for start in range(max(0, end - LONGEST), end - 1):
            found = words.get(text[start:end])
            if found is None:
                continue
            least = min(least, best[start] + found)
            crosses = any(start < edge < end for edge in edges)
            least_across = min(least_across, (best if crosses else across)[start] + found)
        best.append(least)
        across.append(least_across)
    return best[-1], min(across[-1], IMPOSSIBLE)
