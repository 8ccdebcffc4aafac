"""Ordinary words of both languages: how probable a stretch of text is without any denied term in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LONGEST = 4
"""Characters of the longest Chinese word in the table."""
UNKNOWN = 36
"""Cost of a Chinese character the table has not got. Costs are twice the negative natural log of a word's share."""
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
    words = chinese_words()
    best = [0]
    for end in range(1, len(text) + 1):
        char = text[end - 1]
        least = best[end - 1] + words.get(char, UNKNOWN if is_han(char) else _OTHER)
        for start in range(max(0, end - LONGEST), end - 1):
            found = words.get(text[start:end])
            if found is not None and best[start] + found < least:
                least = best[start] + found
        best.append(least)
    return best[-1]
