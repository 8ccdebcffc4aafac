"""The denied and allowed terms of a policy, made ready for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.words.engine import Engine, open_engine
from guardrails.words.pattern import Pattern, pattern_of
from guardrails.words.skeleton import skeleton
from guardrails.words.swaps import swapped
from guardrails.words.term import Level, Term

SWAPPED_TERMS = 2_000
"""Up to so many terms, those of level medium too are searched with a character swapped; beyond, only level high."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """An allowed phrase around a pattern: the skeletons of what it has before and after."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Dictionary:
    """`patterns[n]`, `allowed[n]`: the ways of writing terms, and the allowed phrases, of the engine's pattern n."""

    terms: tuple[Term, ...]
    engine: Engine
    patterns: tuple[tuple[Pattern, ...], ...]
    allowed: dict[int, tuple[Allowed, ...]]


def make_dictionary(deny: Sequence[Term], allow: Sequence[str], engine: str) -> Dictionary:
    """Terms without a letter or digit must not be among them."""
    by_skeleton: dict[str, list[Pattern]] = {}
    plain = [pattern_of(term.text, number) for number, term in enumerate(deny)]
    for pattern in plain:
        by_skeleton.setdefault(pattern.skeleton, []).append(pattern)
    for pattern in plain:
        level = deny[pattern.term].level
        if level is Level.HIGH or (level is Level.MEDIUM and len(deny) <= SWAPPED_TERMS):
            _add_swapped(by_skeleton, pattern)
    found = open_engine(engine, tuple(by_skeleton))
    return Dictionary(tuple(deny), found, tuple(map(tuple, by_skeleton.values())), _allowed(allow, found))


def _add_swapped(by_skeleton: dict[str, list[Pattern]], term: Pattern) -> None:
    own = term.skeleton
    for pattern in swapped(term):
        if pattern.skeleton != own:
            by_skeleton.setdefault(pattern.skeleton, []).append(pattern)


def _allowed(phrases: Sequence[str], engine: Engine) -> dict[int, tuple[Allowed, ...]]:
    found: dict[int, set[tuple[str, str]]] = {}
    for phrase in phrases:
        form = skeleton(phrase)
        for start, end, number in engine.find(form):
            found.setdefault(number, set()).add((form[:start], form[end:]))
    return {number: tuple(Allowed(*one) for one in sorted(those)) for number, those in found.items()}
