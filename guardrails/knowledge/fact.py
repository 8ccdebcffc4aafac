"""One statement of the documents, small enough to answer a question and whole enough to be quoted."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.problem import PolicyProblem

TABLE = "table"
CLAUSE = "clause"
NOTE = "note"
EXAMPLE = "example"
FAQ = "faq"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact stands. Dates are ISO 8601 or None: no bound."""

    doc_id: str
    title: str
    section: str
    clause: str
    effective_from: str | None
    effective_to: str | None
    path: str

    @property
    def label(self) -> str:
        """The citation a reader can look up."""
        return " ".join(part for part in (self.title, self.section, self.clause) if part)

    def holds_on(self, today: str) -> bool:
        """Whether it applies on a day written as ISO 8601."""
        return (self.effective_from or "") <= today <= (self.effective_to or "9999-12-31")


@dataclass(frozen=True, slots=True)
class Fact:
    """One atomic statement. `statement` is self-contained and in the document's words."""

    id: str
    subjects: tuple[str, ...]
    attribute: str
    value: str
    condition: str
    statement: str
    lang: str
    kind: str
    source: Source
    table: str = ""
    """Facts of one table share this id; empty outside tables."""
    row: str = ""
    column: str = ""
    topic: str = ""
    """Headings above it: section and product."""
    product: str = ""
    """What the document, or the FAQ entry, says it is about."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What holds today, and apart from it what does not."""

    facts: tuple[Fact, ...] = ()
    superseded: tuple[Fact, ...] = ()
    titles: tuple[str, ...] = ()
    problems: tuple[PolicyProblem, ...] = ()
    """Files that could not be read: where, and why."""
