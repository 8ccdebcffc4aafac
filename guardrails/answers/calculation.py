"""Sums a customer asks for, done with the rates and formulas the documents give. Decimal throughout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from guardrails.answers.question import Question
from guardrails.knowledge.fact import EXAMPLE, Fact

_MONEY = re.compile(
    r"(\d+(?:\.\d+)?)\s*(万|千)?\s*(?:元|块)|(\d+(?:\.\d+)?)\s*(万|千)(?!分)|(?:rmb|cny|¥|￥)\s*(\d[\d,]*(?:\.\d+)?)|\b(\d[\d,]{3,}(?:\.\d+)?)\b(?!\s*(?:年|天|日|期|个|month|day|year))"
)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_TEN_THOUSANDTH = re.compile(r"万分之([一二三四五六七八九\d.]+)")
_DAYS = re.compile(r"(\d+)\s*(?:天|日|days?)")
_YEARS = re.compile(r"(\d+)\s*(?:年|years?)")
_MONTHS = re.compile(r"(\d+)\s*(?:个月|months?)")
_PERIODS = re.compile(r"(\d+)\s*(?:期|instal|periods?)")
_FLOOR = re.compile(r"最低\s*(\d+(?:\.\d+)?)\s*(万)?元")
_CEILING = re.compile(r"最高\s*(\d+(?:\.\d+)?)\s*(万)?元")
_FORMULA = re.compile(
    r"([\u3400-\u9fff]{2,12})\s*[＝=]\s*([\u3400-\u9fff（）()]{2,16}(?:\s*[×x*]\s*[\u3400-\u9fff（）()]{2,16})+)"
)
_NUMERALS = dict(zip("一二三四五六七八九", range(1, 10), strict=True))
_WANTS_SUM = re.compile(r"多少|几|how much|what")
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Calculation:
    """`name` ＝ `terms` ＝ `result` yuan; `basis` is the fact the rate comes from."""

    name: str
    terms: str
    result: Decimal
    basis: Fact
    note: str = ""

    def text(self, lang: str) -> str:
        """The sum as a line of an answer."""
        amount = f"{self.result.quantize(_CENT, ROUND_HALF_UP):f}".rstrip("0").rstrip(".")
        if lang == "en":
            return f"Calculation: {self.terms} = RMB {Decimal(amount):,}{' (' + self.note + ')' if self.note else ''}"
        return f"{self.name}：{self.terms}＝{amount}元{'（' + self.note + '）' if self.note else ''}"


def formulas(facts: Sequence[Fact]) -> tuple[tuple[str, tuple[str, ...], Fact], ...]:
    """The products the documents state: 利息＝计息本金×日利率×计息天数."""
    found = []
    for fact in facts:
        for name, product in _FORMULA.findall(fact.statement):
            found.append((name, tuple(re.split(r"\s*[×x*]\s*", product)), fact))
    return tuple(found)


def calculate(
    question: Question, candidates: Sequence[Fact], stated: Sequence[tuple[str, tuple[str, ...], Fact]]
) -> Calculation | None:
    """The sum the question asks for, or None when the documents do not give all that it takes.

    `candidates`: facts that fit the question, best first. A formula is used when its name is asked for, every
    factor is in the question or in a candidate, and the rate's own period fits the question's.
    """
    money = amount_in(question.folded)
    if money is None or not _WANTS_SUM.search(question.folded):
        return None
    return _by_formula(question, money, candidates, stated) or _by_share(question, money, candidates)


def amount_in(text: str) -> Decimal | None:
    """The first sum of money in a folded text, in yuan."""
    found = _MONEY.search(text)
    if not found:
        return None
    number = next(group for group in (found[1], found[3], found[5], found[6]) if group)
    scale = {"万": 10_000, "千": 1000}.get(found[2] or found[4] or "", 1)
    return Decimal(number.replace(",", "")) * scale


def rate_in(text: str) -> Decimal | None:
    """The first rate of a text as a fraction."""
    if found := _PERCENT.search(text):
        return Decimal(found[1]) / 100
    if found := _TEN_THOUSANDTH.search(text):
        number = _NUMERALS.get(found[1])
        return (Decimal(number) if number else Decimal(found[1])) / 10_000
    return None


def _by_formula(
    question: Question,
    money: Decimal,
    candidates: Sequence[Fact],
    stated: Sequence[tuple[str, tuple[str, ...], Fact]],
) -> Calculation | None:
    usable = [(name, factors, fact) for name, factors, fact in stated if name[-2:] in question.folded]
    titles = [fact.source.doc_id for fact in candidates[:6]]
    usable.sort(key=lambda one: titles.index(one[2].source.doc_id) if one[2].source.doc_id in titles else 99)
    for name, factors, formula in usable:
        if formula.source.doc_id not in titles:
            continue
        terms: list[str] = []
        result, basis = Decimal(1), None
        for factor in factors:
            if "率" in factor:
                basis = next((fact for fact in candidates if _is_rate(fact, factor, formula)), None)
                rate = rate_in(basis.value) if basis else None
                if rate is None:
                    break
                terms.append(f"{(rate * 100).normalize():f}%")
                result *= rate
            else:
                number = _factor(factor, money, question.folded)
                if number is None:
                    break
                terms.append(f"{number.normalize():f}")
                result *= number
        else:
            if basis is not None and len(terms) == len(factors):
                return Calculation(name, "×".join(terms), result, basis)
    return None


def _is_rate(fact: Fact, factor: str, formula: Fact) -> bool:
    """Whether a fact is the rate a formula means: its column says so, or its table stands in the same section."""
    if fact.kind == EXAMPLE or rate_in(fact.value) is None or fact.source.doc_id != formula.source.doc_id:
        return False
    name = re.sub(r"[（(].*?[）)]", "", factor)
    return name in f"{fact.source.section}{fact.row}{fact.column}" or (
        fact.source.section == formula.source.section and "率" in fact.source.section + fact.column
    )


def _factor(factor: str, money: Decimal, text: str) -> Decimal | None:
    if re.search(r"本金|金额|额$|总额", factor):
        return money
    if "天" in factor or "日" in factor:
        found = _DAYS.search(text)
        return Decimal(found[1]) if found else None
    if "期" in factor or "年" in factor:
        if found := _YEARS.search(text):
            return Decimal(found[1])
        if (found := _MONTHS.search(text)) and "年" in factor:
            return Decimal(found[1]) / 12
        found = _PERIODS.search(text)
        return Decimal(found[1]) if found and "年" not in factor else None
    return None


def _by_share(question: Question, money: Decimal, candidates: Sequence[Fact]) -> Calculation | None:
    """金额的1%，最低10元，最高100元 of a sum in the question."""
    if not candidates or not re.search(r"手续费|费|fee|charge|多少钱|违约金", question.folded):
        return None
    fact = candidates[0]
    if fact.kind == EXAMPLE or not re.search(r"(?:金额|本金|部分)的\s*\d+(?:\.\d+)?%", fact.value):
        return None
    rate = rate_in(fact.value)
    if rate is None or len(_PERCENT.findall(fact.value)) != 1:
        return None
    result, note = money * rate, ""
    if (floor := _FLOOR.search(fact.value)) and result < (least := _yuan(floor)):
        result, note = least, f"按比例不足最低{least.normalize():f}元"
    if (ceiling := _CEILING.search(fact.value)) and result > (most := _yuan(ceiling)):
        result, note = most, f"超过最高{most.normalize():f}元"
    label = fact.column if "费" in fact.column or "金" in fact.column else fact.source.section
    return Calculation(
        re.sub(r"^[一二三四五六七八九十]+、", "", label),
        f"{money.normalize():f}×{(rate * 100).normalize():f}%",
        result,
        fact,
        note,
    )


def _yuan(found: re.Match[str]) -> Decimal:
    return Decimal(found[1]) * (10_000 if found[2] else 1)


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
