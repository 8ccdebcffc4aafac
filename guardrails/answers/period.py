"""Days, months, years and instalments in a question, and how else documents write them."""

from __future__ import annotations

import re

from guardrails.answers.lexicon import SAME, SYNONYM

PERIOD = re.compile(r"(\d+)(年|个月|期|天|日)")
_ENGLISHPERIODS = (
    (re.compile(r"(\d+)[- ]?years?\b"), r" \1年 "),
    (re.compile(r"(\d+)[- ]?months?\b"), r" \1个月 "),
    (re.compile(r"(\d+)[- ]?days?\b"), r" \1天 "),
    (re.compile(r"(\d+)[- ]?(?:periods?|instal\w+)\b"), r" \1期 "),
    (re.compile(r"(?:rmb|cny)\s*(\d)"), r"\1"),
)
_ENGLISH_NUMBERS = {
    word: str(number)
    for number, word in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)
}


def is_period(word: str) -> bool:
    """Whether a unit's word is a number of days, months, years or instalments."""
    return bool(PERIOD.fullmatch(word))


def english_periods(folded: str) -> str:
    """English numbers and units of time as documents in Chinese write them."""
    words = [_ENGLISH_NUMBERS.get(word, word) for word in folded.split(" ")]
    folded = " ".join(words)
    for pattern, written in _ENGLISHPERIODS:
        folded = pattern.sub(written, folded)
    return folded


def period_ways(token: str) -> tuple[tuple[str, float], ...]:
    """A year is twelve months, and twelve instalments."""
    found = PERIOD.fullmatch(token)
    if not found:
        return ((token, SAME),)
    number, unit = int(found[1]), found[2]
    months = number * 12 if unit == "年" else number
    same = {token: SAME}
    if unit == "年":
        same |= {f"{months}个月": SYNONYM, f"{months}期": SYNONYM, f"{number} year": SYNONYM}
    elif unit in {"个月", "期"}:
        same |= {f"{months}个月": SYNONYM, f"{months}期": SYNONYM, f"{number} month": SYNONYM}
        if months % 12 == 0:
            same |= {f"{months // 12}年": SYNONYM}
    else:
        same |= {
            f"{number}天": SYNONYM,
            f"{number}日": SYNONYM,
            f"{number} day": SYNONYM,
            f"{number}个自然日": SYNONYM,
        }
    return tuple(same.items())
