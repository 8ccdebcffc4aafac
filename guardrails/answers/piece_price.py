"""What is earned for a sum, or costs a piece, times what the question says: points, minutes, kilograms, cards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from guardrails.answers.amounts import plain
from guardrails.answers.folding import fold
from guardrails.answers.question import Question
from guardrails.answers.worked_sum import AboutOf, Calculation, of_another
from guardrails.knowledge.fact import Fact

_EARNED = re.compile(
    r"每(?:消费)?\s*(\d+)\s*(?:元|美元)(?:累计|积|换|得|可得)\s*(\d+(?:\.\d+)?)\s*(里程|分|积分|个积分)"
)
_REDEEMED = re.compile(r"(\d+)\s*(?:积分|分)(?:可以?)?(?:抵扣?|兑换?|换)\s*(?:话费)?\s*(\d+(?:\.\d+)?)\s*元")
_PER_UNIT = re.compile(
    r"(?P<before>€|£|\$|rmb )?\s*(?P<price>\d+(?:\.\d+)?)\s*(?P<after>元|euros?)?\s*(?:/|每|per |an? )\s*"
    r"(?P<unit>gb|mb|分钟|min(?:ute)?|kilogram|kg|月|个|台|张|份|次|笔|条|部|天|month|day)"
)
_PRICE = re.compile(r"(?P<before>€|£|\$|rmb )?\s*(?P<price>\d+(?:[.,]\d+)*)\s*(?P<after>元|euros?)?")
_UNIT_WORDS = {
    "minute": "分钟", "min": "分钟", "kilogram": "kg", "公斤": "kg", "千克": "kg", "kilo": "kg", "day": "天", "g": "gb",
    "个月": "月", "month": "月",
}  # fmt: skip
_FREE_FIRST = re.compile(
    r"(?:前(?P<free>\d+)|首)(?P<piece>笔|张|次|台|个)免费[，,；; ]*第\d+(?:笔|张|次|台|个)起(?P<price>\d+(?:\.\d+)?)元"
)
_COUNTED = re.compile(
    r"(\d+(?:\.\d+)?)\s*(gb|g|mb|分钟|minutes?|min|kg|kilograms?|公斤|千克|kilos?|个月|年|个|台|张|份|次|笔|条|部|天|days?|months?)"
)
_OF = re.compile(r"(\d+)\s*(?:个|台|张|份|部)([\u3400-\u9fff]{2})")


def by_piece(
    question: Question, money: Sequence[Decimal], candidates: Sequence[Fact], about: AboutOf
) -> Calculation | None:
    """What is earned for a sum, or costs a piece, times what the question says."""
    for fact in candidates[:3]:
        if of_another(fact, question, about, candidates):
            continue
        text = fold(fact.value if fact.table else fact.statement)
        part = _part_of(question, text)
        if money and (found := _EARNED.search(part)):
            step, gain, unit = Decimal(found[1]), Decimal(found[2]), "里程" if found[3] == "里程" else "分"
            return Calculation(_UNIT_NAMES[unit], f"{plain(money[0])}÷{plain(step)}×{plain(gain)}", money[0] / step * gain, fact, unit=unit)  # fmt: skip
        points = re.search(r"(\d+(?:\.\d+)?)\s*(万)?\s*(?:积分|分)(?![钟期之])", question.folded)
        if points and (found := _REDEEMED.search(text)):
            count = Decimal(points[1]) * (10_000 if points[2] else 1)
            if count != Decimal(found[1]):
                return Calculation("兑换", f"{plain(count)}÷{found[1]}×{found[2]}", count / Decimal(found[1]) * Decimal(found[2]), fact)  # fmt: skip
        if priced := _pieces(question, fact, part):
            return priced
    return None


_UNIT_NAMES = {"里程": "累计里程", "分": "累计积分"}


def _pieces(question: Question, fact: Fact, text: str) -> Calculation | None:
    counted = [(Decimal(number), _UNIT_WORDS.get(unit.rstrip("s"), unit.rstrip("s"))) for number, unit in _COUNTED.findall(question.folded)]  # fmt: skip
    if not counted or not re.search(r"钱|费|how much|cost|price", question.folded):
        return None
    per = _PER_UNIT.search(text)
    if first := _FREE_FIRST.search(text):
        pieces = next((number for number, what in counted if what == first["piece"]), None)
        if pieces is None:
            return None
        paid = max(Decimal(0), pieces - int(first["free"] or 1))
        return Calculation(
            "合计",
            f"({plain(pieces)}－{first['free'] or 1})×{first['price']}",
            paid * Decimal(first["price"]),
            fact,
        )
    counted += [(number * 12, "月") for number, what in counted if what == "年"]
    if per and re.search(r"起|前\d|首", text):
        return None  # The first pieces cost something else.
    if per:
        unit = _UNIT_WORDS.get(per["unit"], per["unit"])
        count = next((number for number, asked in counted if asked == unit), None)
        found: re.Match[str] | None = per
    else:
        # A bare price is that of one piece.
        found = _PRICE.fullmatch(text.strip()) if fact.table else None
        count = next(
            (number for number, what in _OF.findall(question.folded) if fold(fact.row).startswith(what)), None
        )
    if found is None or count is None or Decimal(count) == 1:
        return None
    count = Decimal(count)
    sign = (found["before"] or "").strip()
    price = Decimal(found["price"].replace(",", ""))
    unit = "元" if found["after"] == "元" or sign == "rmb" else sign or "€"
    return Calculation("合计", f"{plain(price)}×{plain(count)}", price * count, fact, unit=unit)


def _part_of(question: Question, text: str) -> str:
    """Of a sentence with a part for each name, the part of the name asked for: 金卡级每消费16元…，白金级每消费10元…."""
    parts = [part for part in re.split(r"[，,；;。]", text) if part]
    named = [part for part in parts if any(name in part for name in question.names)]
    asked = {word for unit in question.units for word, share in unit.ways if share == 1.0 and len(word) > 1}
    best = max(parts, key=lambda part: sum(word in part for word in asked), default=text)
    return named[0] if len(named) == 1 else best if len(parts) > 1 and _EARNED.search(best) else text
