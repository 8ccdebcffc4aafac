"""A document as blocks: headings, paragraphs, numbered items, tables; whatever format it came in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

HEADING = "heading"
PARAGRAPH = "paragraph"
ITEM = "item"
TABLE = "table"
FAQ = "faq"


@dataclass(frozen=True, slots=True)
class Block:
    """`rows` only for tables (the first is the head) and FAQ entries (question, answer). `line` counts from 1."""

    kind: str
    text: str = ""
    level: int = 0
    number: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the knowledge folder."""

    id: str
    title: str
    product: str
    version: str
    effective_from: date | None
    effective_to: date | None
    path: str
    digest: str
    blocks: tuple[Block, ...]

    def holds_on(self, today: date) -> bool:
        """Whether its rules apply on that day."""
        return (self.effective_from is None or self.effective_from <= today) and (
            self.effective_to is None or today <= self.effective_to
        )
