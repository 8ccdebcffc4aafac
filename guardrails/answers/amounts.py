"""Amounts and rates in questions and facts, as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

_MONEY = re.compile(
    r"(\d+(?:\.\d+)?)\s*(万|千)?\s*(?:元|块|美元|yuan|dollars?)|(\d+(?:\.\d+)?)\s*(万|千)(?!分(?!\d))|(?:rmb|cny|¥|￥)\s*(\d[\d,]*(?:\.\d+)?)"
    r"|(?<![\d.-])(\d[\d,]{3,}(?:\.\d+)?)(?![\d.])(?!\s*(?:年|天|日|期|个|gb|mb|积分|分(?!\d)|month|day|year)|\.?\d)"
)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|per cent)")
_TEN_THOUSANDTH = re.compile(r"万分之([一二三四五六七八九\d.]+)")
_NUMERALS = dict(zip("一二三四五六七八九", range(1, 10), strict=True))
_CENT = Decimal("0.01")


def plain(number: Decimal) -> str:
    """Two decimals at most, no zeros at the end."""
    text = f"{number.quantize(_CENT, ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount_in(text: str) -> Decimal | None:
    """The first sum of money in a folded text, in yuan."""
    return next(amounts_in(text), None)


def amounts_in(text: str) -> Iterator[Decimal]:
    """Every sum of money in a folded text, in yuan. A bare number of one to three digits only after a verb of paying."""
    for found in re.finditer(
        rf"{_MONEY.pattern}|(?:还了|还|只有|剩)\s*(\d+)(?![\d.]|\s*(?:万|千|元|块|年|天|日|期|个|次|笔))",
        text,
    ):
        number = next(group for group in (found[1], found[3], found[5], found[6], found[7]) if group)
        scale = {"万": 10_000, "千": 1000}.get(found[2] or found[4] or "", 1)
        yield Decimal(number.replace(",", "")) * scale


def rate_in(text: str) -> Decimal | None:
    """The first rate of a text as a fraction."""
    if found := _PERCENT.search(text):
        return Decimal(found[1]) / 100
    if found := _TEN_THOUSANDTH.search(text):
        number = _NUMERALS.get(found[1])
        return (Decimal(number) if number else Decimal(found[1])) / 10_000
    return None


def percent(rate: Decimal) -> str:
    """A fraction as it is written: 0.05%."""
    return f"{(rate * 100).normalize():f}%"


def in_range(label: str, money: Decimal) -> bool | None:
    """Whether a row like 柜面（2000元以上至5000元） is for a sum; None when its label states no range."""
    found = re.search(
        r"(?:(\d+(?:\.\d+)?)(万)?元以上)?至?(?:(\d+(?:\.\d+)?)(万)?元(?:及以下|以下|以内)?)?$", _inside(label)
    )
    if not found or not (found[1] or found[3]):
        return None
    low = Decimal(found[1]) * (10_000 if found[2] else 1) if found[1] else None
    high = Decimal(found[3]) * (10_000 if found[4] else 1) if found[3] else None
    return (low is None or money > low) and (high is None or money <= high)


def _inside(label: str) -> str:
    found = re.search(r"[(（]([^()（）]*)[)）]\s*$", label)
    return found[1] if found else ""
