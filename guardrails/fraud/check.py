"""The fraud rules over a question and what was said before it."""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.fraud.rule import Rule, RuleSet
from guardrails.patterns.folding import fold, original_spans
from guardrails.patterns.table import PatternTable
from guardrails.verdict import Decision, Verdict

CHECK = "fraud"
HEAD, TAIL = 3000, 1000
"""What is read of a longer text: nobody tells of a fraud in the middle of forty thousand characters."""
_EARLIER = 3


class FraudCheck:
    """Unchangeable; pickles as its patterns and rules."""

    def __init__(self, table: PatternTable, rules: RuleSet) -> None:
        self._table = table
        self._rules = rules

    @property
    def rules(self) -> tuple[Rule, ...]:
        """In the order in which they are tried."""
        return self._rules.rules

    def check(self, text: str, history: Sequence[str] = (), lang: str = "zh") -> Verdict:
        """WARN, BLOCK or HANDOFF with the rule's kind as reason and its id as evidence, else ALLOW.

        `history`: the user's earlier texts, oldest first; the last three may complete a rule that allows it. Each
        text is read in its first 3,000 and last 1,000 characters. Both languages are always looked for.
        """
        pieces = (
            [(0, text)] if len(text) <= HEAD + TAIL else [(0, text[:HEAD]), (len(text) - TAIL, text[-TAIL:])]
        )
        for offset, piece in pieces:
            folded = fold(piece)
            signals = self._signals(folded)
            applying = self._rules.applies(signals) or self._spread(folded, history)
            if applying:
                return self._verdict(applying[0], piece, folded, offset)
        return Verdict(CHECK, Decision.ALLOW)

    def _signals(self, folded: str) -> frozenset[str]:
        """What of the text could matter to a rule."""
        possible = self._rules.possible(self._table.hinted(folded))
        return (
            self._table.found(folded, self._rules.names(rule.id for rule in possible))
            if possible
            else frozenset()
        )

    def _spread(self, folded: str, history: Sequence[str]) -> list[Rule]:
        """Rules that hold once the user's earlier texts are added to what the last one says itself."""
        anchors = {name for rule in self._rules.rules for name in rule.spread} if history else set()
        if not anchors:
            return []
        last = self._table.found(folded, anchors)
        open_rules = {rule.id for rule in self._rules.rules if rule.spread and last.issuperset(rule.spread)}
        if not open_rules:
            return []
        wanted = self._rules.names(open_rules)
        texts = [folded, *(fold(text[:HEAD]) for text in history[-_EARLIER:])]
        signals = frozenset[str]().union(*(self._table.found(text, wanted) for text in texts))
        return [rule for rule in self._rules.applies(signals) if rule.id in open_rules]

    def _verdict(self, rule: Rule, text: str, folded: str, offset: int) -> Verdict:
        spans = [span for name in rule.when.wanted() for span in self._table.spans(name, folded)]
        places = original_spans(text, folded, spans)
        return Verdict(
            CHECK, rule.decision, rule.kind, tuple(span.shifted(offset) for span in places), (rule.id,)
        )
