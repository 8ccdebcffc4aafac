"""Sums a customer asks for, done with the rates, prices and formulas the documents give. Decimal throughout."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardrails.answers.amounts import amounts_in, percent, plain, rate_in
from guardrails.answers.folding import fold
from guardrails.answers.lexicon import label_names
from guardrails.answers.question import Question
from guardrails.knowledge.fact import EXAMPLE, Fact

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
_FIXED = re.compile(r"%\s*(?:加|另加|再加|＋|\+)\s*(\d+(?:\.\d+)?)元")
_DIFFERENCE = re.compile(
    r"差多少|相差|贵多少|多多少|少多少|便宜多少|省多少|高多少|低多少|difference|how much more|how much less"
)
_BARE_RATE = re.compile(r"\d+(?:\.\d+)?%(?:[（(].*[）)])?")
_COUNTED = re.compile(
    r"(\d+(?:\.\d+)?)\s*(gb|g|mb|分钟|minutes?|min|kg|kilograms?|公斤|千克|kilos?|个月|年|个|台|张|份|次|笔|条|部|天|days?|months?)"
)
_OF = re.compile(r"(\d+)\s*(?:个|台|张|份|部)([\u3400-\u9fff]{2})")
_AMOUNT = re.compile(r"(?:每[笔张次期])?(\d+(?:\.\d+)?)(万)?元(?:/\S{1,2})?")
_WANTS_SUM = re.compile(r"多少|几|how much|what|\?|？|fee|charge|费")
_WANTS_RATE = re.compile(r"费率|百分之几|百分比|比例|利率|占.{0,6}(?:多少|几)|per ?cent|percentage|\brate\b")
_TOTAL = re.compile(r"总共|一共|合计|共计|总的|总额|in total|altogether|total")
_PAID = re.compile(r"只还|还了|已还|paid|repaid|only pay")
_REST = re.compile(r"未还|差额|unpaid|没还")
BEST = 6
"""Facts a sum may rest on: the best ones alone."""

RowOf = Callable[[Fact], Sequence[Fact]]
AboutOf = Callable[[Fact], frozenset[str]]
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


def formulas(facts: Sequence[Fact]) -> tuple[Formula, ...]:
    """The products the documents state: 利息＝计息本金×日利率×计息天数."""
    found = []
    for fact in facts:
        for name, product in _FORMULA.findall(fact.statement):
            found.append((name, tuple(re.split(r"\s*[×x*]\s*", product)), fact))
    return tuple(found)


def calculate(
    question: Question, candidates: Sequence[Fact], stated: Sequence[Formula], row_of: RowOf, about: AboutOf
) -> Calculation | None:
    """The sum the question asks for, or None when the documents do not give all that it takes.

    `candidates`: facts that fit the question, best first. `row_of`: the cells beside a table's cell; `about`: the names a fact's
    document mentions. A formula is
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
    if found := _by_names(question, usable):
        return found
    if money and (found := _by_rate(question, money[0], usable[:1], about)):
        return found
    interest = _by_formula(question, money[0], usable, stated) if money else None
    fee = _by_share(question, money, usable[:BEST], row_of, about) if money else None
    if interest and fee and "费" in question.folded and re.search(r"息|一共|总共|合计", question.folded):
        return _sum_of(interest, fee)
    if not interest and money and not fee:
        fee = _by_rate(question, money[0], usable[:BEST], about)
    return interest or fee or _by_unit(question, money, usable[:BEST], about)


def _sum_of(first: Calculation, second: Calculation) -> Calculation | None:
    """A fee and the interest together; the same thing twice is no sum."""
    if first.basis == second.basis or "费" in first.name:
        return first
    terms = f"{first.name}{first.terms}＝{plain(first.result)}，{second.name}{second.terms}＝{plain(second.result)}，合计"
    return Calculation("合计", terms, first.result + second.result, second.basis, second.note)


def _by_names(question: Question, candidates: Sequence[Fact]) -> Calculation | None:
    """The difference, or the total, of the amounts of two or more names of one table that the question asks about."""
    differs = bool(_DIFFERENCE.search(question.folded))
    if not differs and not _TOTAL.search(question.folded):
        return None
    best = next((fact for fact in candidates[:2] if fact.table), None)
    if best is None:
        return None
    cells: dict[str, tuple[Decimal, Fact]] = {}
    for name in question.names:
        for fact in candidates:
            beside = (fact.column == best.column and name in label_names(fact.row)) or (
                fact.row == best.row and name in label_names(fact.column)
            )
            amount = _AMOUNT.fullmatch(fold(fact.value)) if fact.table == best.table and beside else None
            if amount:
                cells.setdefault(name, (_yuan(amount), fact))
    if len(cells) < 2 or len({fact.id for _, fact in cells.values()}) < 2:
        return None
    amounts = [amount for amount, _ in cells.values()]
    if differs:
        high, low = max(amounts[:2]), min(amounts[:2])
        return Calculation("相差", f"{plain(high)}－{plain(low)}", high - low, best)
    return Calculation("合计", "＋".join(map(plain, amounts)), sum(amounts, Decimal(0)), best)


def _by_rate(
    question: Question, money: Decimal, candidates: Sequence[Fact], about: AboutOf
) -> Calculation | None:
    """A cell that is nothing but a total rate of a fee, times the sum in the question."""
    for fact in candidates[:3]:
        around = f"{fact.source.section}{fact.row}{fact.column}"
        if (
            not fact.table
            or not re.search(r"费率|fee rate", around)
            or "每期" in around
            or _of_another(fact, question, about, candidates)
        ):
            continue
        names = [name for name in question.names if not re.search(r"\d", name)]
        if names and not any(name in fold(f"{fact.statement} {fact.topic}") for name in names):
            continue
        rate = rate_in(fact.value) if _BARE_RATE.fullmatch(fold(fact.value)) else None
        if rate is not None and _of_period(fact, question):
            return Calculation("手续费合计", f"{plain(money)}×{percent(rate)}", money * rate, fact)
    return None


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
    words = {word for unit in question.units for word, _ in unit.ways}
    usable = [one for one in stated if one[0][-2:] in question.folded or one[0][-2:] in words]
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
    question: Question, money: Sequence[Decimal], candidates: Sequence[Fact], row_of: RowOf, about: AboutOf
) -> Calculation | None:
    """金额的1%，最低10元，最高100元 of a sum in the question."""
    if not re.search(r"费|金|利息|额度|能用|fee|charge|penalty|多少钱|收多少|多少", question.folded):
        return None
    for fact in candidates:
        if _of_another(fact, question, about, candidates):
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


def _of_another(fact: Fact, question: Question, about: AboutOf, candidates: Sequence[Fact]) -> bool:
    """Whether another candidate's document knows more of the products and services that the question names."""
    names = {name for name in question.names if not re.search(r"\d", name)}
    return len(names & about(fact)) < max((len(names & about(other)) for other in candidates), default=0)


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


def _by_unit(
    question: Question, money: Sequence[Decimal], candidates: Sequence[Fact], about: AboutOf
) -> Calculation | None:
    """What is earned for a sum, or costs a piece, times what the question says."""
    for fact in candidates[:3]:
        if _of_another(fact, question, about, candidates):
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
