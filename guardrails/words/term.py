"""One denied term as its list states it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How far an author may go to have written the term.

    low: as it stands, folded. medium: also taken apart, in leet or with a character swapped, where that reads as the
    term rather than as ordinary words. high: whenever its characters follow each other, whatever separates them.
    """

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Action(StrEnum):
    """What follows from a match."""

    BLOCK = "block"
    LOG = "log"


class Boundary(StrEnum):
    """Whether a Chinese term may stand across other words: 大麻 in 大麻烦.

    auto: not where ordinary words explain the text clearly better (level high: everywhere). word: not even where they
    do so slightly. any: everywhere. Alphabetic terms are whole words always.
    """

    AUTO = "auto"
    WORD = "word"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Term:
    """A denied term. `tag` is the reason code of a match, `id` names the term where its text must not stand."""

    text: str
    id: str
    tag: str = "denied"
    level: Level = Level.MEDIUM
    action: Action = Action.BLOCK
    boundary: Boundary = Boundary.AUTO
