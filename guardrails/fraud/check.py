"""The fraud rules over a question and what was said before it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from guardrails.fraud.rule import Rule, RuleSet
from guardrails.patterns.folding import fold, original_spans
from guardrails.patterns.table import PatternTable
from guardrails.verdict import Decision, Verdict

CHECK = "fraud"
HEAD, TAIL = 3000, 1000
"""What is read of a longer text: nobody tells of a fraud in the middle of forty thousand characters."""
_EARLIER = 3
CHUNK = 160
"""Characters of a text whose sentences are looked at together."""
_SENTENCE_ENDS = re.compile(r"[。!?\n]|\. ")


def chunks(folded: str) -> list[str]:
    """A long text in parts of some sentences each: what belongs to one signal is seldom said further apart."""
    if len(folded) <= CHUNK:
        return [folded]
    out, start = [], 0
    for end in _SENTENCE_ENDS.finditer(folded):
        if end.end() - start >= CHUNK // 2:
            out.append(folded[start : end.end()])
            start = end.end()
    return [*out, folded[start:]] if start < len(folded) else out


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
        """What could matter to a rule: what is quickly said first, the rest where a rule may still hold.

        What a rule needs must meet in one chunk, or have been found before it.
        """
        scan = self._table.scan(folded)
        # Of most texts this is all that has to be done: no rule can hold, whatever the patterns say.
        open_ = self._wanted(scan.hinted)
        if not open_:
            return frozenset()
        found: set[str] = set()
        for look in scan.parts(chunks(folded), open_):
            wanted = self._wanted(look.hinted | found) if look.hinted else frozenset[str]()
            if wanted:
                plain = wanted & self._table.plain & look.hinted
                found |= look.found(plain)
                found |= look.found(self._wanted((look.hinted - plain) | found) - plain)
        return frozenset(found)

    def _wanted(self, hinted: frozenset[str]) -> frozenset[str]:
        """The signals of the rules that may hold if these do."""
        return self._rules.names(rule.id for rule in self._rules.possible(hinted))

    def _spread(self, folded: str, history: Sequence[str]) -> list[Rule]:
        """Rules that hold once the user's earlier texts are added to what the last one says itself."""
        anchors = {name for rule in self._rules.rules for name in rule.spread} if history else set()
        if not anchors:
            return []
        last = self._found(folded, anchors)
        open_rules = {rule.id for rule in self._rules.rules if rule.spread and last.issuperset(rule.spread)}
        if not open_rules:
            return []
        wanted = self._rules.names(open_rules)
        texts = [folded, *(fold(text[:HEAD]) for text in history[-_EARLIER:])]
        signals = frozenset[str]().union(*(self._found(text, wanted) for text in texts))
        return [rule for rule in self._rules.applies(signals) if rule.id in open_rules]

    def _found(self, folded: str, wanted: Collection[str]) -> frozenset[str]:
        return frozenset[str]().union(*(self._table.look(chunk).found(wanted) for chunk in chunks(folded)))

    def _verdict(self, rule: Rule, text: str, folded: str, offset: int) -> Verdict:
        spans, start = [], 0
        for chunk in chunks(folded):
            for name in rule.when.wanted():
                spans += [(start + first, start + last) for first, last in self._table.spans(name, chunk)]
            start += len(chunk)
        places = original_spans(text, folded, spans)
        return Verdict(
            CHECK, rule.decision, rule.kind, tuple(span.shifted(offset) for span in places), (rule.id,)
        )
