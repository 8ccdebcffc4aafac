"""What of a fact is searched."""

from __future__ import annotations

from guardrails.knowledge.fact import FAQ, Fact


def passage_text(fact: Fact) -> str:
    """The statement with the question it answers; its headings are in it where it is a table's cell."""
    return f"{fact.attribute}\n{fact.statement}" if fact.kind == FAQ else fact.statement
