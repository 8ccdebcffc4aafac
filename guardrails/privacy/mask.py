"""What stands in the place of a find."""

from __future__ import annotations

from guardrails.privacy.email_address import SHOWN
from guardrails.privacy.find import Find
from guardrails.privacy.rules import KindRule, Style

# Digits shown at both ends of a number. Together fewer than half, and never enough for another kind.
_ENDS = {
    "id": (3, 4),
    "card": (4, 4),
    "mobile": (3, 4),
    "landline": (0, 4),
    "account": (0, 4),
    "passport": (0, 3),
}
_LEAST_HIDDEN = 4
_EMAIL_REST = "***@***"


def shown_before(rule: KindRule) -> int:
    """Characters of a mail box's name that its mask shows."""
    return SHOWN if rule.style is Style.PARTIAL else 0


def masked(find: Find, rule: KindRule) -> str:
    """The mask of a find. One that does not stand alone shows none of its digits."""
    if rule.style is Style.LABEL or (rule.style is Style.PARTIAL and find.open_ended):
        return rule.label
    if rule.style is Style.PARTIAL and find.kind == "email":
        return _EMAIL_REST
    length = len(find.value)
    head, tail = _ENDS.get(find.kind, (0, 0)) if rule.style is Style.PARTIAL and find.alone else (0, 0)
    hidden = length - head - tail
    if find.open_ended or hidden < _LEAST_HIDDEN:
        return "*" * min(max(length, _LEAST_HIDDEN), 12)
    return find.value[:head] + "*" * hidden + find.value[length - tail :]
