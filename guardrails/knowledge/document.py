"""A document as blocks: headings, paragraphs, numbered items, tables; whatever format it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

MAX_DOCUMENT_BYTES = 20_000_000

HEADING = "heading"
PARAGRAPH = "paragraph"
ITEM = "item"
TABLE = "table"
FAQ = "faq"


@dataclass(frozen=True, slots=True)
class Block:
    """`rows` only for tables and FAQ entries (question, answer). `line` counts from 1; 0 where a format has none."""

    kind: str
    text: str = ""
    level: int = 0
    """Of a heading, or how deep an item is nested."""
    number: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    line: int = 0
    head: int = 1
    """How many rows of a table are column heads."""
    fields: tuple[tuple[str, str], ...] = ()
    """What else an FAQ entry says of itself: product, dates."""


@dataclass(frozen=True, slots=True)
class Validity:
    """When a document holds, and which others it ends or is ended by: ids, titles or file names as written."""

    effective_from: date | None = None
    effective_to: date | None = None
    supersedes: tuple[str, ...] = ()
    superseded_by: tuple[str, ...] = ()
    retired: bool = False
    """It says of itself that it no longer, or not yet, holds: a status, a mark in its title or file name."""

    def holds_on(self, today: date) -> bool:
        """Whether its rules apply on that day, as far as it says itself."""
        return (
            not self.retired
            and (self.effective_from is None or self.effective_from <= today)
            and (self.effective_to is None or today <= self.effective_to)
        )


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the knowledge folder."""

    id: str
    title: str
    product: str
    version: str
    path: str
    digest: str
    blocks: tuple[Block, ...]
    validity: Validity = field(default_factory=Validity)
