"""The right value put in place of a wrong one, in the sentence's own language."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from guardrails.fact_check.judgement import Finding, Label
from guardrails.language import detect
from guardrails.values import value
from guardrails.values.value import Value

_UNITS = {
    ("second", "zh"): ((86_400, "天"), (3600, "小时"), (60, "分钟"), (1, "秒")),
    ("second", "en"): ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds")),
    ("month", "zh"): ((12, "年"), (1, "个月")),
    ("month", "en"): ((12, "years"), (1, "months")),
    ("workday", "zh"): ((1, "个工作日"),),
    ("workday", "en"): ((1, "business days"),),
}


def corrected(sentence: str, findings: Sequence[Finding]) -> str:
    """The sentence with every wrong value replaced; empty where that would be a guess."""
    wrong = [one for one in findings if one.label is Label.CONTRADICTED]
    if not wrong or any(one.label is Label.NOT_FOUND for one in findings):
        return ""
    lang = detect(sentence)
    edits: list[tuple[int, int, str]] = []
    for finding in wrong:
        claimed, right = finding.claimed, finding.right
        if (
            claimed is None
            or right is None
            or finding.reason in {"per", "bound", "case", "outside"}
            or value.FREE in {claimed.kind, right.kind}
        ):
            return ""
        written = (
            right.text
            if detect(right.text) == lang or (right.text.isascii() and lang == "en")
            else render(right, lang)
        )
        if not written:
            return ""
        edits.append((claimed.start, claimed.end, written))
    for start, end, written in sorted(edits, reverse=True):
        sentence = sentence[:start] + written + sentence[end:]
    return sentence


def render(one: Value, lang: str) -> str:
    """The value as `lang` writes it; empty for kinds that are not simply a number and a unit."""
    if one.upper is not None:
        return ""
    number = plain(one.number)
    if one.kind == value.AMOUNT:
        return f"{number}元" if lang == "zh" and one.unit == "CNY" else _money(one, lang)
    if one.kind == value.RATE and one.unit == "ratio":
        return f"{plain(one.number * 100)}%"
    if one.kind == value.PERIOD:
        for size, name in _UNITS[one.unit, lang]:
            if one.number % size == 0:
                return f"{plain(one.number / size)}{'' if lang == 'zh' else ' '}{name}"
    if one.kind in {value.CLOCK, value.PHONE, value.NUMBER, value.CODE}:
        return one.text if one.text.isascii() else ""
    return ""


def _money(one: Value, lang: str) -> str:
    amount = f"{one.number:,f}".rstrip("0").rstrip(".") if "." in f"{one.number:f}" else f"{one.number:,f}"
    if lang == "en":
        return f"{'RMB' if one.unit == 'CNY' else one.unit} {amount}"
    return f"{plain(one.number)}美元" if one.unit == "USD" else f"{plain(one.number)} {one.unit}"


def plain(number: Decimal) -> str:
    """No exponent and no trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
