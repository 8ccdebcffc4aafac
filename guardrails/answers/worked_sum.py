"""A sum done for the customer, with the fact it rests on, and what its kinds have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardrails.answers.amounts import plain
from guardrails.answers.question import Question
from guardrails.knowledge.fact import Fact

RowOf = Callable[[Fact], Sequence[Fact]]
AboutOf = Callable[[Fact], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Calculation:
    """`name` ＝ `terms` ＝ `result`, in `unit`; `basis` is the fact the rate comes from."""

    name: str
    terms: str
    result: Decimal
    basis: Fact
    note: str = ""
    unit: str = "元"

    def text(self, lang: str) -> str:
        """The sum as a line of an answer."""
        amount = plain(self.result)
        if lang == "en":
            known = {
                "元": f"RMB {Decimal(amount):,}",
                "里程": f"{amount} miles",
                "分": f"{amount} points",
                "%": f"{amount}%",
            }
            result = known.get(self.unit, f"{self.unit}{amount}")
            return f"Calculation: {self.terms} = {result}{' (' + self.note + ')' if self.note else ''}"
        result = f"{self.unit}{amount}" if self.unit in {"€", "£", "$"} else f"{amount}{self.unit}"
        return f"{self.name}：{self.terms}＝{result}{'（' + self.note + '）' if self.note else ''}"


def of_another(fact: Fact, question: Question, about: AboutOf, candidates: Sequence[Fact]) -> bool:
    """Whether another candidate's document knows more of the products and services that the question names."""
    names = {name for name in question.names if not re.search(r"\d", name)}
    return len(names & about(fact)) < max((len(names & about(other)) for other in candidates), default=0)


def yuan(found: re.Match[str]) -> Decimal:
    return Decimal(found[1]) * (10_000 if found[2] else 1)
