"""Sums a customer asks for, done with the rates, prices and formulas the documents give. Decimal throughout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from guardrails.answers.amounts import amounts_in, percent, plain, rate_in
from guardrails.answers.fee_share import by_share
from guardrails.answers.folding import fold
from guardrails.answers.lexicon import label_names
from guardrails.answers.piece_price import by_piece
from guardrails.answers.question import Question
from guardrails.answers.worked_sum import AboutOf, Calculation, RowOf, of_another, yuan
from guardrails.knowledge.fact import EXAMPLE, Fact

_DAYS = re.compile(r"(\d+)\s*(?:天|日|days?)")
_YEARS = re.compile(r"(\d+)\s*(?:年|years?)")
_MONTHS = re.compile(r"(\d+)\s*(?:个月|months?)")
_PERIODS = re.compile(r"(\d+)\s*(?:期|instal|periods?)")
_FORMULA = re.compile(
    r"([\u3400-\u9fff]{2,12})\s*[＝=]\s*([\u3400-\u9fff（）()]{2,16}(?:\s*[×x*]\s*[\u3400-\u9fff（）()]{2,16})+)"
)
_DIFFERENCE = re.compile(
    r"差多少|相差|贵多少|多多少|少多少|便宜多少|省多少|高多少|低多少|difference|how much more|how much less"
)
_BARE_RATE = re.compile(r"\d+(?:\.\d+)?%(?:[（(].*[）)])?")
_AMOUNT = re.compile(r"(?:每[笔张次期])?(\d+(?:\.\d+)?)(万)?元(?:/\S{1,2})?")
_WANTS_SUM = re.compile(r"多少|几|how much|what|\?|？|fee|charge|费")
_WANTS_RATE = re.compile(r"费率|百分之几|百分比|比例|利率|占.{0,6}(?:多少|几)|per ?cent|percentage|\brate\b")
_TOTAL = re.compile(r"总共|一共|合计|共计|总的|总额|in total|altogether|total")
BEST = 6
"""Facts a sum may rest on: the best ones alone."""

Formula = tuple[str, tuple[str, ...], Fact]


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

    `candidates`: facts that fit the question, best first. `row_of`: the cells beside a table's cell. `about`: the
    names a fact's document mentions. A formula is used when its name is asked for, every factor is in the question or
    in a candidate, and the rate's own period fits the question's.
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
    fee = by_share(question, money, usable[:BEST], row_of, about) if money else None
    if interest and fee and "费" in question.folded and re.search(r"息|一共|总共|合计", question.folded):
        return _sum_of(interest, fee)
    if not interest and money and not fee:
        fee = _by_rate(question, money[0], usable[:BEST], about)
    return interest or fee or by_piece(question, money, usable[:BEST], about)


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
                cells.setdefault(name, (yuan(amount), fact))
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
            or of_another(fact, question, about, candidates)
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
