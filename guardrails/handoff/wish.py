"""Whether a user asks for a person, at the first ask and however tersely."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from guardrails.patterns.folding import fold, original_spans
from guardrails.patterns.source import build_table, read_patterns
from guardrails.patterns.table import PatternTable
from guardrails.policy.yaml_source import read_yaml
from guardrails.verdict import Decision, Verdict

CHECK = "handoff"
WISH = "wish"
# Signals of `wishes.yaml`: a text that is nothing else; a wish among other things; a question about people who serve.
_WHOLE, _WISH, _ABOUT = "whole", "wish", "about"
# A wish stands at the beginning or the end of what somebody says.
_HEAD, _TAIL = 600, 600


class HandoffCheck:
    """HANDOFF for a wish, else ALLOW. Unchangeable; pickles as its patterns."""

    def __init__(self, table: PatternTable) -> None:
        self._table = table

    def __call__(self, text: str) -> Verdict:
        """What is said of `text`. Reads its first and last 600 characters. Never raises."""
        offset = 0
        if len(text) > _HEAD + _TAIL:
            head = self(text[:_HEAD])
            if head.decision is not Decision.ALLOW:
                return head
            offset = len(text) - _TAIL
            text = text[offset:]
        folded = fold(text)
        found = self._table.found(folded)
        name = _WHOLE if _WHOLE in found else _WISH if _WISH in found and _ABOUT not in found else ""
        if not name:
            return Verdict(CHECK, Decision.ALLOW)
        spans = original_spans(text, folded, self._table.spans(name, folded))
        return Verdict(CHECK, Decision.HANDOFF, WISH, tuple(span.shifted(offset) for span in spans))


@cache
def load_handoff() -> HandoffCheck:
    """The check with the shipped patterns."""
    source = read_yaml(Path(__file__).with_name("wishes.yaml"))
    return HandoffCheck(build_table(read_patterns(source), source))
