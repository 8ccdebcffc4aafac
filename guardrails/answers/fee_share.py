"""A fee that is a share of a sum in the question: 金额的1%，最低10元，最高100元."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from guardrails.answers.amounts import percent, plain, rate_in
from guardrails.answers.folding import fold
from guardrails.answers.question import Question
from guardrails.answers.worked_sum import AboutOf, Calculation, RowOf, of_another, yuan
from guardrails.knowledge.fact import Fact

_FLOOR = re.compile(r"最低\s*(\d+(?:\.\d+)?)\s*(万)?元")
_CEILING = re.compile(r"(?:最高|不超过)\s*(\d+(?:\.\d+)?)\s*(万)?元")
_SHARE = re.compile(r"(?:的|按|收取|收|加收)\s*(\d+(?:\.\d+)?%|万分之[一二三四五六七八九\d.]+)")
_FIXED = re.compile(r"%\s*(?:加|另加|再加|＋|\+)\s*(\d+(?:\.\d+)?)元")
_PAID = re.compile(r"只还|还了|已还|paid|repaid|only pay")
_REST = re.compile(r"未还|差额|unpaid|没还")


def by_share(
    question: Question, money: Sequence[Decimal], candidates: Sequence[Fact], row_of: RowOf, about: AboutOf
) -> Calculation | None:
    """金额的1%，最低10元，最高100元 of a sum in the question."""
    if not re.search(r"费|金|利息|额度|能用|fee|charge|penalty|多少钱|收多少|多少", question.folded):
        return None
    for fact in candidates:
        if of_another(fact, question, about, candidates):
            continue
        text = fold(fact.value if fact.table else fact.statement)
        text = _asked_part(question, text)
        found = _SHARE.search(text)
        rate = rate_in(found[1]) if found else None
        if found is None or rate is None or len(_SHARE.findall(text)) != 1:
            continue
        if _is_ambiguous(fact, candidates, question):
            return None
        base, terms = money[0], plain(money[0])
        if _REST.search(text) and len(money) > 1 and _PAID.search(question.folded):
            base, terms = money[0] - money[1], f"({plain(money[0])}－{plain(money[1])})"
        elif len(money) > 1 and re.search(r"剩余|提前|未还|remaining|early|unpaid", question.folded):
            base, terms = money[-1], plain(money[-1])
        result, note = _bounded(base * rate, fact, text, row_of)
        if fixed := _FIXED.search(text):
            result, terms = result + Decimal(fixed[1]), f"{fixed[1]}＋{terms}"
        label = fact.column if re.search(r"[费金息额]", fact.column) else fact.source.section
        name = re.sub(r"^(?:[一二三四五六七八九十]+、|\d+\s*[.、]\s*)", "", label) or fact.attribute or "金额"
        unit = "美元" if re.search(r"\d\s*(?:美元|dollars?|usd)", question.folded) else "元"
        return Calculation(name.removesuffix("比例"), f"{terms}×{percent(rate)}", result, fact, note, unit)
    return None


def _is_ambiguous(fact: Fact, candidates: Sequence[Fact], question: Question) -> bool:
    """Whether another row of the table has another rate, and the question has no word that tells the two apart."""
    words = " ".join(word for unit in question.units for word, _ in unit.ways) + question.folded
    for other in candidates[:3]:
        if (
            not fact.table
            or other.table != fact.table
            or other.column != fact.column
            or other.row == fact.row
        ):
            continue
        own, others = fold(fact.row), fold(other.row)
        pairs = {own[at : at + 2] for at in range(len(own) - 1)} - {
            others[at : at + 2] for at in range(len(others) - 1)
        }
        if (
            other.value != fact.value
            and _SHARE.search(fold(other.value))
            and not any(pair in words for pair in pairs)
        ):
            return True
    return False


def _asked_part(question: Question, text: str) -> str:
    """Of a clause with several rates, the sentence that has most of the question's words."""
    if len(_SHARE.findall(text)) < 2:
        return text
    parts = [part for part in re.split(r"[；;。，,]", text) if _SHARE.search(part)]
    words = {word for unit in question.units for word, share in unit.ways if len(word) > 1 and share == 1.0}
    counted = sorted(((sum(word in part for word in words), part) for part in parts), key=lambda one: -one[0])
    return counted[0][1] if len(counted) == 1 or counted[0][0] > counted[1][0] else text


def _bounded(result: Decimal, fact: Fact, text: str, row_of: RowOf) -> tuple[Decimal, str]:
    """The result within the least and the most that the fact, or the cells beside it, allow; and why."""
    beside = [f"{one.column}{one.value}" for one in row_of(fact)]
    around = " ".join(
        (text, *(fold(re.sub(r"^每[期笔次]", "", cell)) for cell in beside if re.search(r"最低|最高", cell)))
    )
    if (floor := _FLOOR.search(around)) and result < (least := yuan(floor)):
        return least, f"按比例为{plain(result)}元，不足最低{plain(least)}元"
    if (ceiling := _CEILING.search(around)) and result > (most := yuan(ceiling)):
        return most, f"按比例为{plain(result)}元，超过最高{plain(most)}元"
    return result, ""
