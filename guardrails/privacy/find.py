"""A stretch of text that is private, and the text that recognisers look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

# How much of what was written before a recogniser may read; a stream keeps so much of it.
BEFORE = 96


@dataclass(frozen=True, slots=True)
class Find:
    """`start` to `end`, end exclusive, is private. `value`: what it says, without its spelling.

    `alone`: nothing beside it could be read together with a part of it. `open_ended`: characters of this class that
    follow belong to it too, however many.
    """

    kind: str
    start: int
    end: int
    value: str
    alone: bool = True
    open_ended: str = ""
    national: str = ""
    """A telephone without its country's code."""

    @property
    def name(self) -> str:
        """What it says, the same however it is written."""
        return self.national or self.value


@dataclass(frozen=True)
class Piece:
    """Folded text; `breaks`: places with something invisible before them. Nothing before `low` may become a find."""

    text: str
    low: int
    breaks: frozenset[int] = frozenset()

    @cached_property
    def lower(self) -> str:
        """The text in lower case, to see whether it has some word at all."""
        return self.text.lower()

    def before(self, at: int, length: int = BEFORE) -> str:
        """What stands before `at`."""
        return self.text[max(0, at - length) : at]


class Recogniser(Protocol):
    """Finds one family of private data."""

    def search(self, piece: Piece, start: int) -> Find | None:
        """The first find from `start` on, given that what follows the text decides nothing before `held`."""

    def held(self, piece: Piece) -> int:
        """The place, `low` or later, from which more text may make or lengthen a find; the text's end if none."""


def partial(literals: Iterable[str]) -> str:
    """A pattern of every beginning of the literals, the whole ones excepted, longest first."""
    found = {literal[:length] for literal in literals for length in range(1, len(literal))}
    return "|".join(sorted(map(_escaped, found), key=len, reverse=True))


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in r".^$*+?{}[]\|()-" else char for char in text)
