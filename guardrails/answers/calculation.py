"""Sums a customer asks for, done with the rates, prices and formulas the documents give. Decimal throughout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from guardrails.answers.folding import fold
from guardrails.answers.question import Question
from guardrails.knowledge.fact import EXAMPLE, Fact

_MONEY = re.compile(
    r"(\d+(?:\.\d+)?)\s*(万|千)?\s*(?:元|块|yuan)|(\d+(?:\.\d+)?)\s*(万|千)(?!分)|(?:rmb|cny|¥|￥)\s*(\d[\d,]*(?:\.\d+)?)"
    r"|(?<![\d.-])(\d[\d,]{3,}(?:\.\d+)?)\b(?!\s*(?:年|天|日|期|个|gb|mb|积分|分|month|day|year)|\.?\d)"
)
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|per cent)")
_TEN_THOUSANDTH = re.compile(r"万分之([一二三四五六七八九\d.]+)")
_DAYS = re.compile(r"(\d+)\s*(?:天|日|days?)")
_YEARS = re.compile(r"(\d+)\s*(?:年|years?)")
_MONTHS = re.compile(r"(\d+)\s*(?:个月|months?)")
_PERIODS = re.compile(r"(\d+)\s*(?:期|instal|periods?)")
_FLOOR = re.compile(r"最低\s*(\d+(?:\.\d+)?)\s*(万)?元")
_CEILING = re.compile(r"(?:最高|不超过)\s*(\d+(?:\.\d+)?)\s*(万)?元")
_FORMULA = re.compile(
    r"([\u3400-\u9fff]{2,12})\s*[＝=]\s*([\u3400-\u9fff（）()]{2,16}(?:\s*[×x*]\s*[\u3400-\u9fff（）()]{2,16})+)"
)
_SHARE = re.compile(r"(?:的|按|收取|收|加收)\s*(\d+(?:\.\d+)?%|万分之[一二三四五六七八九\d.]+)")
_EARNED = re.compile(
    r"每(?:消费)?\s*(\d+)\s*(?:元|美元)(?:累计|积|换|得|可得)\s*(\d+(?:\.\d+)?)\s*(里程|分|积分|个积分)"
)
_REDEEMED = re.compile(r"(\d+)\s*(?:积分|分)(?:抵|兑换?|换|可抵|可兑换?)\s*(?:话费)?\s*(\d+(?:\.\d+)?)\s*元")
_PER_UNIT = re.compile(
    r"(?P<before>€|£|\$|rmb )?\s*(?P<price>\d+(?:\.\d+)?)\s*(?P<after>元|euros?)?\s*(?:/|每|per |an? )\s*"
    r"(?P<unit>gb|mb|分钟|min(?:ute)?|kilogram|kg|个|台|张|份|次|条|部|天|day|day)"
)
_PRICE = re.compile(r"(?P<before>€|£|\$|rmb )?\s*(?P<price>\d+(?:[.,]\d+)*)\s*(?P<after>元|euros?)?")
_UNIT_WORDS = {
    "minute": "分钟", "min": "分钟", "kilogram": "kg", "公斤": "kg", "千克": "kg", "kilo": "kg", "day": "天", "g": "gb",
}  # fmt: skip
_COUNTED = re.compile(
    r"(\d+(?:\.\d+)?)\s*(gb|g|mb|分钟|minutes?|min|kg|kilograms?|公斤|千克|kilos?|个|台|张|份|次|条|部|天|days?)"
)
_OF = re.compile(r"(\d+)\s*(?:个|台|张|份|部)([\u3400-\u9fff]{2})")
_NUMERALS = dict(zip("一二三四五六七八九", range(1, 10), strict=True))
_WANTS_SUM = re.compile(r"多少|几|how much|what|\?|？|fee|charge|费")
_WANTS_RATE = re.compile(r"费率|百分之几|百分比|比例|利率|占.{0,6}(?:多少|几)|per ?cent|percentage|\brate\b")
_TOTAL = re.compile(r"总共|一共|合计|共计|总的|总额|in total|altogether|total")
_PAID = re.compile(r"只还|还了|已还|paid|repaid|only pay")
_REST = re.compile(r"未还|差额|unpaid|没还")
_CENT = Decimal("0.01")
BEST = 6
"""Facts a sum may rest on: the best ones alone."""

RowOf = Callable[[Fact], Sequence[Fact]]
Formula = tuple[str, tuple[str, ...], Fact]


@dataclass(frozen=True, slots=True)
class Calculation:
    """`name` ＝ `terms` ＝ `result`, in `unit`; `basis` is the fact the rate comes from."""

    name: str
    terms: str
    result: Decimal
    basis: Fact
    note: str = ""
    unit: str = "元"

    def text(self, lang: str) -> str:
        """The sum as a line of an answer."""
        amount = plain(self.result)
        if lang == "en":
            known = {
                "元": f"RMB {Decimal(amount):,}",
                "里程": f"{amount} miles",
                "分": f"{amount} points",
                "%": f"{amount}%",
            }
            result = known.get(self.unit, f"{self.unit}{amount}")
            return f"Calculation: {self.terms} = {result}{' (' + self.note + ')' if self.note else ''}"
        result = f"{self.unit}{amount}" if self.unit in {"€", "£", "$"} else f"{amount}{self.unit}"
        return f"{self.name}：{self.terms}＝{result}{'（' + self.note + '）' if self.note else ''}"


def plain(number: Decimal) -> str:
    """Two decimals at most, no zeros at the end."""
    text = f"{number.quantize(_CENT, ROUND_HALF_UP):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def formulas(facts: Sequence[Fact]) -> tuple[Formula, ...]:
    """The products the documents state: 利息＝计息本金×日利率×计息天数."""
    found = []
    for fact in facts:
        for name, product in _FORMULA.findall(fact.statement):
            found.append((name, tuple(re.split(r"\s*[×x*]\s*", product)), fact))
    return tuple(found)


def calculate(
    question: Question, candidates: Sequence[Fact], stated: Sequence[Formula], row_of: RowOf
) -> Calculation | None:
    """The sum the question asks for, or None when the documents do not give all that it takes.

    `candidates`: facts that fit the question, best first. `row_of`: the cells beside a table's cell. A formula is
    used when its name is asked for, every factor is in the question or in a candidate, and the rate's own period fits
    the question's.
    """
    if not _WANTS_SUM.search(question.folded):
        return None
    usable = [fact for fact in candidates if fact.kind != EXAMPLE]
    if found := _by_uplift(question, usable):
        return found
    if _WANTS_RATE.search(question.folded):
        return None
    money = tuple(amounts_in(question.folded))
    if money and (found := _by_formula(question, money[0], usable, stated)):
        return found
    if money and (found := _by_share(question, money, usable[:BEST], row_of)):
        return found
    return _by_unit(question, money, usable[:BEST])


def amount_in(text: str) -> Decimal | None:
    """The first sum of money in a folded text, in yuan."""
    return next(amounts_in(text), None)


def amounts_in(text: str) -> Iterator[Decimal]:
    """Every sum of money in a folded text, in yuan. A bare number of one to three digits only after a verb of paying."""
    for found in re.finditer(
        rf"{_MONEY.pattern}|(?:还了|还|只有|剩)\s*(\d+)(?![\d.]|\s*(?:年|天|日|期|个|次|笔))", text
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


def _by_uplift(question: Question, candidates: Sequence[Fact]) -> Calculation | None:
    """合同利率上浮50% of a rate in the question."""
    rate = rate_in(question.folded)
    if rate is None:
        return None
    for fact in candidates[:BEST]:
        found = re.search(
            r"([\u3400-\u9fff]{2,8})为?[\u3400-\u9fff]{0,6}上浮\s*(\d+(?:\.\d+)?)%", fold(fact.statement)
        )
        if found:
            by = Decimal(found[2]) / 100
            result = rate * (1 + by) * 100
            return Calculation(
                found[1].removesuffix("为"), f"{percent(rate)}×(1＋{percent(by)})", result, fact, unit="%"
            )
    return None


def _by_formula(
    question: Question, money: Decimal, candidates: Sequence[Fact], stated: Sequence[Formula]
) -> Calculation | None:
    usable = [one for one in stated if one[0][-2:] in question.folded]
    titles = [fact.source.doc_id for fact in candidates[:BEST]]
    usable = [one for one in usable if one[2].source.doc_id in titles]
    usable.sort(key=lambda one: titles.index(one[2].source.doc_id))
    for name, factors, formula in usable:
        terms: list[str] = []
        result, basis = Decimal(1), None
        for factor in factors:
            if "率" in factor:
                rates = [fact for fact in candidates if _is_rate(fact, factor, formula)]
                basis = next((fact for fact in rates if _of_period(fact, question)), None)
                rate = rate_in(basis.value) if basis else None
                if rate is None:
                    break
                terms.append(percent(rate))
                result *= rate
            else:
                number = _factor(factor, money, question.folded)
                if number is None:
                    break
                terms.append(plain(number))
                result *= number
        else:
            if basis is not None:
                each, periods = name.startswith("每期"), _PERIODS.search(question.folded)
                if each and periods and "每期" not in question.folded:
                    terms.append(periods[1])
                    return Calculation(f"{name[2:]}合计", "×".join(terms), result * int(periods[1]), basis)
                return Calculation(name, "×".join(terms), result, basis)
    return None


def _of_period(fact: Fact, question: Question) -> bool:
    """Whether a rate of a table whose heads are periods is of the period asked for."""
    label = fold(f"{fact.row} {fact.column}")
    if not re.search(r"\d+(?:期|年|个月|天)", label):
        return True
    return any(re.search(r"^\d+(?:期|年|个月|天)$", word) and re.search(rf"(?<!\d){word}", label)
               for unit in question.units for word, _ in unit.ways)  # fmt: skip


def _is_rate(fact: Fact, factor: str, formula: Fact) -> bool:
    """Whether a fact is the rate a formula means: its column says so, or its table stands in the same section."""
    if rate_in(fact.value) is None or fact.source.doc_id != formula.source.doc_id or not fact.table:
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


def _by_share(
    question: Question, money: Sequence[Decimal], candidates: Sequence[Fact], row_of: RowOf
) -> Calculation | None:
    """金额的1%，最低10元，最高100元 of a sum in the question."""
    if not re.search(r"费|金|利息|额度|能用|fee|charge|penalty|多少钱|收多少|多少", question.folded):
        return None
    for fact in candidates:
        if _of_another(fact, question):
            continue
        text = fold(fact.value if fact.table else fact.statement)
        found = _SHARE.search(text)
        rate = rate_in(found[1]) if found else None
        if found is None or rate is None or len(_SHARE.findall(text)) != 1:
            continue
        base, terms = money[0], plain(money[0])
        if _REST.search(text) and len(money) > 1 and _PAID.search(question.folded):
            base, terms = money[0] - money[1], f"({plain(money[0])}－{plain(money[1])})"
        elif len(money) > 1 and "剩余" in text and "剩余" in question.folded:
            base, terms = money[-1], plain(money[-1])
        result, note = _bounded(base * rate, fact, text, row_of)
        label = fact.column if re.search(r"[费金息额]", fact.column) else fact.source.section
        name = re.sub(r"^(?:[一二三四五六七八九十]+、|\d+\s*[.、]\s*)", "", label) or fact.attribute or "金额"
        return Calculation(name.removesuffix("比例"), f"{terms}×{percent(rate)}", result, fact, note)
    return None


def _of_another(fact: Fact, question: Question) -> bool:
    """Whether the question names products or services and nothing around the fact does."""
    around = fold(f"{fact.source.title} {fact.topic} {fact.statement}")
    names = [name for name in question.names if not re.search(r"\d", name)]
    return bool(names) and not any(name in around for name in names)


def _bounded(result: Decimal, fact: Fact, text: str, row_of: RowOf) -> tuple[Decimal, str]:
    """The result within the least and the most that the fact, or the cells beside it, allow; and why."""
    beside = [f"{one.column}{one.value}" for one in row_of(fact)]
    around = " ".join(
        (text, *(fold(re.sub(r"^每[期笔次]", "", cell)) for cell in beside if re.search(r"最低|最高", cell)))
    )
    if (floor := _FLOOR.search(around)) and result < (least := _yuan(floor)):
        return least, f"按比例为{plain(result)}元，不足最低{plain(least)}元"
    if (ceiling := _CEILING.search(around)) and result > (most := _yuan(ceiling)):
        return most, f"按比例为{plain(result)}元，超过最高{plain(most)}元"
    return result, ""


def _yuan(found: re.Match[str]) -> Decimal:
    return Decimal(found[1]) * (10_000 if found[2] else 1)


def _by_unit(question: Question, money: Sequence[Decimal], candidates: Sequence[Fact]) -> Calculation | None:
    """What is earned for a sum, or costs a piece, times what the question says."""
    for fact in candidates[:3]:
        if _of_another(fact, question):
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
