"""A rule, and many of them evaluated at once by the ZEN engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import zen

from guardrails.fraud.condition import Condition
from guardrails.verdict import Decision


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind`: what it is about, for reports. `spread`: signals that must stand in the last message so that earlier
    ones may bring the rest; none for a rule of one message."""

    id: str
    kind: str
    when: Condition
    decision: Decision
    spread: tuple[str, ...] = ()


class RuleSet:
    """Rules in their order: the first that applies wins. Pickles as its rules.

    The conditions are one compiled ZEN expression, not a ZEN decision graph: evaluating a graph costs 150 µs and more
    however small it is, this a few.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._conditions = _compiled(rule.when.expression() for rule in self.rules)

    def applies(self, signals: Iterable[str]) -> list[Rule]:
        """The rules that hold for these signals."""
        has = sorted(signals)
        if not has or not self.rules:
            return []
        holding = self._conditions.evaluate({"has": has})
        return [rule for rule, holds in zip(self.rules, holding, strict=True) if holds]

    def __reduce__(self) -> tuple[type[RuleSet], tuple[Sequence[Rule]]]:
        return RuleSet, (self.rules,)


def _compiled(conditions: Iterable[str]) -> Any:
    return zen.compile_expression(f"[{', '.join(conditions)}]")
