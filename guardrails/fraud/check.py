"""The fraud rules over a question and what was said before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guardrails.fraud.rule import Rule, RuleSet
from guardrails.fraud.scope import ask, scopes
from guardrails.patterns.folding import fold, original_spans
from guardrails.patterns.table import Look, PatternTable
from guardrails.verdict import Decision, Verdict

CHECK = "fraud"
HEAD, TAIL = 3000, 1000
"""What is read of a longer text: nobody tells of a fraud in the middle of forty thousand characters."""
_EARLIER = 3


@dataclass(frozen=True, slots=True)
class _Needs:
    """A rule in bits of signals. `clauses`: of each, one must be there, the rarest first. `speaking_for`: those not
    under a `not`."""

    rarest: int
    clauses: tuple[int, ...]
    speaking_for: int
    every: int


class FraudCheck:
    """Unchangeable; pickles as its patterns and rules."""

    def __init__(self, table: PatternTable, rules: RuleSet) -> None:
        self._table = table
        self._rules = rules
        self._needs = tuple(_needs(rule, table) for rule in rules.rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In the order in which they are tried."""
        return self._rules.rules

    def check(self, text: str, history: Sequence[str] = (), lang: str = "zh") -> Verdict:
        """WARN, BLOCK or HANDOFF with the rule's kind as reason and its id as evidence, else ALLOW.

        A rule holds where one scope of the text has its signals (see `scopes`); the first rule that holds anywhere
        decides. `history`: the user's earlier texts, oldest first; the last three may complete a rule that allows
        it. Each text is read in its first 3,000 and last 1,000 characters. Both languages are always looked for.
        """
        pieces = (
            [(0, text)] if len(text) <= HEAD + TAIL else [(0, text[:HEAD]), (len(text) - TAIL, text[-TAIL:])]
        )
        for offset, piece in pieces:
            asked = ask(piece)
            folded = fold(asked)
            held = self._first(folded) or (self._spread(folded, history) if history else None)
            if held is not None:
                rule, start, end = held
                look = self._table.look(folded[start:end])
                spans = look.spans(self._table.mask(rule.when.wanted()))
                places = original_spans(asked, folded, [(start + a, start + b) for a, b in spans])
                return Verdict(
                    CHECK,
                    rule.decision,
                    rule.kind,
                    tuple(span.shifted(offset) for span in places),
                    (rule.id,),
                )
        return Verdict(CHECK, Decision.ALLOW)

    def _first(self, folded: str) -> tuple[Rule, int, int] | None:
        """The first rule that holds in a scope, and that scope."""
        scan = self._table.scan(folded)
        best: tuple[int, int, int] | None = None
        for start, end in scopes(folded):
            look = scan.look(start, end)
            # Of most scopes this is all that has to be done: no rule can hold, whatever the patterns say.
            possible = _possible(self._needs, look.hinted)
            number = self._applying(look, possible) if possible else None
            if number is not None and (best is None or number < best[0]):
                best = (number, start, end)
        return None if best is None else (self._rules.rules[best[0]], *best[1:])

    def _applying(self, look: Look, possible: Sequence[_Needs]) -> int | None:
        """The number of the first rule that holds, of the `possible` ones: what is quickly said is looked for first,
        and what speaks against a rule only where the rest holds."""
        plain, hinted = self._table.plain, look.hinted
        found = look.found(_union(one.speaking_for for one in possible) & plain & hinted)
        possible = _possible(possible, found | hinted & ~plain)
        found |= look.found(_union(one.speaking_for for one in possible) & ~plain & hinted)
        possible = _possible(possible, found)
        if not possible:
            return None
        found |= look.found(_union(one.every & ~one.speaking_for for one in possible) & hinted & ~found)
        holding = self._rules.applies(self._table.names(found))
        return self._rules.rules.index(holding[0]) if holding else None

    def _spread(self, folded: str, history: Sequence[str]) -> tuple[Rule, int, int] | None:
        """A rule that holds once the user's earlier texts are added to what the last one says itself."""
        spread = [
            (rule, self._table.mask(rule.spread), one.every)
            for rule, one in zip(self._rules.rules, self._needs, strict=True)
            if rule.spread
        ]
        scan = self._table.scan(folded)
        hinted = scan.look(0, len(folded)).hinted
        if not any(anchors & hinted == anchors for _, anchors, _ in spread):
            return None
        texts = [fold(ask(text[:HEAD])) for text in history[-_EARLIER:]]
        earlier = [look for text in texts for look in self._looks(text)]
        for start, end in scopes(folded):
            look = scan.look(start, end)
            last = look.found(_union(anchors for _, anchors, _ in spread) & look.hinted)
            open_ = [(rule, every) for rule, anchors, every in spread if last & anchors == anchors]
            wanted = _union(every for _, every in open_)
            found = _union(one.found(wanted & one.hinted) for one in (look, *earlier)) if open_ else 0
            ids = {rule.id for rule, _ in open_}
            holding = [rule for rule in self._rules.applies(self._table.names(found)) if rule.id in ids]
            if holding:
                return holding[0], start, end
        return None

    def _looks(self, folded: str) -> list[Look]:
        scan = self._table.scan(folded)
        return [scan.look(start, end) for start, end in scopes(folded)]


def _needs(rule: Rule, table: PatternTable) -> _Needs:
    clauses = tuple(sorted((table.mask(clause) for clause in rule.when.clauses()), key=table.frequency))
    return _Needs(clauses[0], clauses, table.mask(rule.when.wanted()), table.mask(rule.when.names()))


def _possible(needs: Sequence[_Needs], signals: int) -> list[_Needs]:
    """Those that hold for some part of these signals."""
    near = [one for one in needs if one.rarest & signals] if signals else []
    return [one for one in near if all(clause & signals for clause in one.clauses)]


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union
