"""`parse_values`: the checkable values of a text. Linear in the text; every offset is one of the text given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from guardrails.values import units, value
from guardrails.values.calendar_parse import fixed_forms
from guardrails.values.numerals import Numeral, fold, numerals
from guardrails.values.value import Value

_BEFORE = 16  # characters looked at before a number for its currency
_AFTER = 44  # … and after it for its unit
_CLAUSE = 30  # … and before it for bounds and "per"
_STOP = re.compile(r"[，。；！？\n,;!?（）()：|]|\. ")
_RANGE_JOIN = re.compile(r"\s?(?:以上)?\s?(?:至|到|-{1,2}|~|to|through|and)\s?$")
_AHEAD = re.compile(
    r"\s?(?:之前|以前|前(?!往|台|后|期|\d|[一二三四五六七八九十])|before(?![a-z])|prior to|in advance|ahead of)"
)
_WITHIN = ("within ", "前", "近", "最近", "last ", "不足", "不满", "less than ", "under ", "fewer than ")
_LONGEST_JOIN = 8
_VAGUE = frozenset({"item", "book", "room", "person", "account", "digit", "device", "vehicle", "message"})
_WITHOUT_PER = frozenset({value.ORDINAL, value.NUMBER, value.PERIOD, value.DATE, value.AGE, value.MULTIPLE})
_TIMES = frozenset({"day", "week", "month", "year"})
_CODES = frozenset("abcdefghijklmnopqrstuvwxyz$¥€£")
_DIGIT_NEXT = re.compile(r"\s?\d")
_ARTICLE = re.compile(r"[ -]an?(?= )")
_LISTED = frozenset(
    {value.AMOUNT, value.RATE, value.PERIOD, value.COUNT, value.POINTS, value.AGE, value.DATE}
)
_LIST = re.compile(r"\s?(?:、|,|,? (?:or|and)|和|或|及|/)\s?$")
_ORDINAL_AFTER = re.compile(r"(?:st|nd|rd|th)(?![a-z])")
_MONTHDAY_AFTER = re.compile(r"\s?[日号](?!线|码|召)")


def parse_values(text: str) -> tuple[Value, ...]:
    """The values of `text` in order; ranges are one value."""
    folded = fold(text)
    taken = list(fixed_forms(folded))
    covered = _Cover(taken)
    found = list(taken)
    previous_end = 0
    for numeral in numerals(folded):
        if covered.hides(numeral.start, numeral.end):
            continue
        if numeral.form == "en" and _name(text, numeral):
            continue
        one = _read(folded, numeral, previous_end)
        if one is None:
            continue
        if counted_by(folded, numeral, one):
            continue  # 一年只要129元: what the next value is counted by
        found.append(one)
        previous_end = one.end
    found.sort(key=lambda one: (one.start, -one.end))
    joined = list(_ranges(folded, _listed(folded, list(_apart(found)))))
    return tuple(replace(one, text=text[one.start : one.end]) for one in joined)


_COUNTED = re.compile(
    r"(?:只要|只需|仅需|仅|最多|最少|最高|最低|至多|至少|收|付|交|可|能|是|要|共|总共|一共|就|取|转|存|[ ])*[\d¥$]"
)
_NOT_COUNTED = re.compile(r"(?:满|第|前|首|近|过|后|超|足|每|达|期|长|为|不到|头|早|晚|提前|前后)$")


def _name(text: str, numeral: Numeral) -> bool:
    """One small number word with a capital within a sentence is part of a name: Barista One."""
    before = text[: numeral.start].rstrip(" ")
    return text[numeral.start].isupper() and numeral.number <= 10 and before[-1:].isalpha()


def counted_by(folded: str, numeral: Numeral, one: Value) -> bool:
    """Whether a single year, month or day says what the number behind it is counted per."""
    return (
        one.kind == value.PERIOD
        and numeral.form == "zh"
        and numeral.number == 1
        and _COUNTED.match(folded, one.end) is not None
        and _NOT_COUNTED.search(folded[max(0, one.start - 3) : one.start]) is None
    )


class _Cover:
    """Whether a stretch lies in one already taken; asked in order."""

    def __init__(self, taken: list[Value]) -> None:
        self._taken = sorted(taken, key=lambda one: one.start)
        self._next = 0

    def hides(self, start: int, end: int) -> bool:
        while self._next < len(self._taken) and self._taken[self._next].end <= start:
            self._next += 1
        return self._next < len(self._taken) and self._taken[self._next].start < end


def _apart(found: list[Value]) -> Iterator[Value]:
    end = 0
    for one in found:
        if one.start >= end:
            end = one.end
            yield one


def _read(folded: str, numeral: Numeral, previous_end: int) -> Value | None:
    start, end = numeral.start, numeral.end
    before = folded[max(0, start - _BEFORE, previous_end) : start]
    after = folded[end : end + _AFTER]
    made = _typed(numeral, before, after)
    if made is None:
        return None
    kind, number, unit, left, right = made
    start, end = start - left, end + right
    clause = _clause_before(folded, start, previous_end)
    tail = folded[end : end + _AFTER]
    per, used = _per(clause, tail)
    tail = folded[end + used : end + used + _AFTER]
    bound = _bound(clause, tail)
    if kind == value.PERIOD and _AHEAD.match(tail) is not None and not clause.endswith(_WITHIN):
        bound = (
            value.MIN if bound or "up to" in clause or "until" in clause or clause.endswith("提前") else ""
        )  # up to 7 days before, 24小时前: that long or longer ahead
    if kind in _WITHOUT_PER:
        per = ""
    return Value(kind, number, unit, start, end, "", bound=bound, per=per)


def _typed(  # noqa: PLR0912 - one branch a form
    numeral: Numeral, before: str, after: str
) -> tuple[str, Decimal, str, int, int] | None:
    """Kind, number, unit, and how far the value reaches to the left and to the right of its number."""
    number, form = numeral.number, numeral.form
    if form == "share":
        return value.RATE, number, "ratio", 0, 0
    if form == "times":
        return value.COUNT, number, "time", 0, 0
    if form == "half" and after.startswith(("价", " price", "-price")):
        return value.RATE, number, "discount", 0, 1 if after[0] == "价" else 6
    if form == "half" and after.startswith((" of ", " the ", " its ", " their ", " your ")):
        return value.RATE, number, "ratio", 0, 0
    if form in {"article", "half"}:
        skipped = _ARTICLE.match(after)
        return _period(number, after, skipped.end() if skipped else 0)
    if form == "zh" and before.endswith("第") and after.startswith(("年", "天", "日")) and number <= 2:
        return None  # 第一年 is a word like 首年, 第二天 one like 次日
    ordinal = re.search(r"(?:第|number )\s?$", before)
    if ordinal is not None or _ORDINAL_AFTER.match(after):
        unit = units.COUNT_AFTER.match(after)
        return (
            value.ORDINAL,
            number,
            "",
            len(before) - ordinal.start() if ordinal else 0,
            unit.end() if unit else 0,
        )
    if (rate := units.RATE_AFTER.match(after)) is not None:
        return _rate(number, rate)
    currency = units.CURRENCY_BEFORE.search(before)
    behind = units.CURRENCY_AFTER.match(after)
    if behind is not None and behind[0][-1] in _CODES and _DIGIT_NEXT.match(after, behind.end()):
        behind = None  # the currency of the next amount: "300 USD 5"
    if behind is not None:
        return (
            value.AMOUNT,
            number,
            str(behind.lastgroup),
            len(before) - currency.start() if currency else 0,
            behind.end(),
        )
    if currency is not None:
        return value.AMOUNT, number, str(currency.lastgroup), len(before) - currency.start(), 0
    if (small := units.TENTH.match(after)) is not None and form in {"digits", "zh"}:
        size = Decimal("0.1") if small["tenth"] else Decimal("0.01")
        return (
            value.AMOUNT,
            number * size,
            "USD" if small["cent"] and small["cent"][0] == "c" else "CNY",
            0,
            small.end(),
        )
    if (age := units.AGE_AFTER.match(after)) is not None:
        return value.AGE, number, "year", 0, age.end()
    if (period := _period(number, after)) is not None:
        return period
    points = units.POINTS_AFTER.match(after)
    if points is not None and not (
        form == "zh" and number == 10 and points["points"] == "分"
    ):  # 十分 is "very"
        return value.POINTS, number, "mile" if points["miles"] else "point", 0, points.end()
    if (multiple := units.MULTIPLE_AFTER.match(after)) is not None:
        return value.MULTIPLE, number, "", 0, multiple.end()
    if form == "digits" and (day := _MONTHDAY_AFTER.match(after)) is not None and number <= 31:
        return value.DATE, number, "d", 0, day.end()
    if (count := units.COUNT_AFTER.match(after)) is not None:
        if form == "zh" and number == 1 and count.lastgroup in _VAGUE:
            return None
        return value.COUNT, number, str(count.lastgroup), 0, count.end()
    if form in {"digits", "en"} and units.NOUN_AFTER.match(after) is not None:
        return value.COUNT, number, "", 0, 0
    if form == "digits":
        return value.NUMBER, number, "", 0, 0
    if form == "zh" and number >= 100 and numeral.end - numeral.start > 1:
        return value.NUMBER, number, "", 0, 0
    return None


def _rate(number: Decimal, rate: re.Match[str]) -> tuple[str, Decimal, str, int, int]:
    if rate["tenths"]:
        return value.RATE, number / (10 if number < 10 else 100), "discount", 0, rate.end()
    name = next(name for name in units.RATE_UNITS if rate[name])
    ratio = number * units.RATE_UNITS[name]
    if rate["off"]:
        return value.RATE, 1 - ratio, "discount", 0, rate.end()
    return value.RATE, ratio, "ratio", 0, rate.end()


def _period(number: Decimal, after: str, skip: int = 0) -> tuple[str, Decimal, str, int, int] | None:
    match = units.PERIOD_AFTER.match(after, skip)
    if match is None:
        return None
    name = next(name for name in units.PERIOD_UNITS if match[name])
    unit, size = units.PERIOD_UNITS[name]
    if name == "hour" and "半" in match[name]:
        number += Decimal("0.5")
    if match["more"]:
        number += Decimal("0.5")
    if name == "year" and 1900 <= number <= 2100:
        return value.DATE, number * 10_000, "y", 0, match.end()
    return value.PERIOD, number * size, unit, 0, match.end()


def _clause_before(folded: str, start: int, previous_end: int) -> str:
    clause = folded[max(0, start - _CLAUSE, previous_end) : start]
    cut = 0
    for stop in _STOP.finditer(clause):
        cut = stop.end()
    return clause[cut:]


def _per(clause: str, tail: str) -> tuple[str, int]:
    """What a value is counted per, and how many characters behind it say so. Of "per card per day" the time counts."""
    said: list[str] = []
    used = 0
    while len(said) < 3 and (behind := units.PER_AFTER.match(tail, used)) is not None:
        said.append(units.PER_UNITS.get(behind["zh"] or behind["unit"] or behind["adverb"], ""))
        used = behind.end()
    if not said:
        said = [str(match.lastgroup) for match in units.PER_BEFORE.finditer(clause)][::-1]
    return next((one for one in said if one in _TIMES), said[0] if said else ""), used


def _bound(clause: str, tail: str) -> str:
    if units.MIN_AFTER.match(tail):
        return value.MIN
    if units.MAX_AFTER.match(tail):
        return value.MAX
    low = high = -1
    for match in units.MIN_BEFORE.finditer(clause):
        low = match.start()
    for match in units.MAX_BEFORE.finditer(clause):
        # 不超过 holds 超过 and 不低于 holds 低于: the longer word starts earlier and ends where the shorter does.
        if match.end() > low:
            high = match.start()
    if low < 0 and high < 0:
        return ""
    low_end = max((m.end() for m in units.MIN_BEFORE.finditer(clause)), default=-1)
    high_end = max((m.end() for m in units.MAX_BEFORE.finditer(clause)), default=-1)
    if low_end == high_end:
        return value.MIN if low < high else value.MAX
    return value.MIN if low_end > high_end else value.MAX


def _listed(folded: str, found: list[Value]) -> list[Value]:
    """`3、6、12个月`: a bare number of a list takes the unit of the next."""
    for index in range(len(found) - 2, -1, -1):
        one, other = found[index], found[index + 1]
        if one.kind != value.NUMBER or other.kind not in _LISTED or other.start - one.end > _LONGEST_JOIN:
            continue
        if _LIST.fullmatch(folded[one.end : other.start]) is None:
            continue
        number = _rescaled(one.number, folded, other)
        if number is not None:
            found[index] = replace(other, number=number, start=one.start, end=one.end, upper=None)
    return found


def _ranges(folded: str, found: list[Value]) -> Iterator[Value]:
    """`20-50天` and `9:00至17:00` become one value; a bare number takes the kind of its other end."""
    pending: Value | None = None
    for one in found:
        if pending is not None:
            joined = _joined(folded, pending, one)
            if joined is not None:
                pending = joined
                continue
            yield pending
        pending = one
    if pending is not None:
        yield pending


def _joined(folded: str, first: Value, second: Value) -> Value | None:
    gap = folded[first.end : second.start]
    if len(gap) > _LONGEST_JOIN or first.upper is not None or _RANGE_JOIN.fullmatch(gap) is None:
        return None
    if gap.strip() == "and" and "between" not in folded[max(0, first.start - 20) : first.start]:
        return None
    number: Decimal | None = first.number
    same = (first.kind, first.unit) == (second.kind, second.unit)
    if not same:
        if first.kind != value.NUMBER or second.kind in {value.FREE, value.CODE, value.PHONE, value.CLOCK}:
            return None
        number = _rescaled(first.number, folded, second)
    if number is None:
        return None
    if second.kind in {value.FREE, value.CODE, value.PHONE, value.UNLIMITED, value.RATIO}:
        return None
    if number > second.number and second.kind not in {value.CLOCK, value.DATE}:
        return None
    per, bound = second.per or first.per, ""
    return Value(second.kind, number, second.unit, first.start, second.end, "", second.number, bound, per)


def _rescaled(number: Decimal, folded: str, like: Value) -> Decimal | None:
    """`3-6%`, `1至2年`: the first number in the unit of the second."""
    if like.kind == value.RATE:
        size = next((s for n, s in units.RATE_UNITS.items() if n == "percent"), Decimal(1))
        return number * size if like.unit == "ratio" else None
    if like.kind == value.PERIOD:
        inner = next(numerals(folded[like.start : like.end]), None)
        try:
            return number * (like.number / inner.number) if inner is not None and inner.number else None
        except (InvalidOperation, ZeroDivisionError):
            return None
    if like.kind == value.DATE and like.unit != "d":
        return None
    return number
