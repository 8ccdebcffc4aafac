"""A fact as values: whose, which attribute, how much of what, under which condition, from where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guardrails.knowledge.extract import plain_heading
from guardrails.knowledge.fact import FAQ, TABLE, Fact, Source
from guardrails.values import Value, parse_values

_TEXT = "text"


@dataclass(frozen=True, slots=True)
class TypedFact:
    """`value` is None where the fact says something that is no number, date or code; `text` then says it."""

    product: str
    subject: str
    attribute: str
    value: Value | None
    text: str
    condition: str
    source: Source

    @property
    def unit(self) -> str:
        """What the number counts: a currency, a period, `ratio`, a counter; with "per", as `CNY/year`."""
        if self.value is None:
            return _TEXT
        unit = self.value.unit or self.value.kind
        return f"{unit}/{self.value.per}" if self.value.per else unit


def typed_facts(fact: Fact) -> Iterator[TypedFact]:
    """One for each value that a fact states; one without value where it states none."""
    subject = fact.row if fact.kind == TABLE else ""
    attribute = fact.column or (fact.attribute if fact.kind == FAQ else plain_heading(fact.source.section))
    # A column head may hold the unit or what the value is counted per: "Fee (USD)", "日利率".
    values = parse_values(fact.value)
    product = fact.product or fact.source.title
    if not values:
        yield TypedFact(product, subject, attribute, None, fact.value, fact.condition, fact.source)
    for value in values:
        yield TypedFact(product, subject, attribute, value, fact.value, fact.condition, fact.source)
