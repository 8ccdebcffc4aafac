"""When two values say the same, whatever their writing and language."""

from __future__ import annotations

from decimal import Decimal

from guardrails.values import value
from guardrails.values.value import Value

_LOOSE = {value.NUMBER, value.COUNT, value.ORDINAL}
_KINDRED = frozenset(
    frozenset(pair)
    for pair in (
        (value.NUMBER, value.AGE),
        (value.NUMBER, value.PHONE),
        (value.NUMBER, value.RATE),
        (value.NUMBER, value.POINTS),
        (value.NUMBER, value.AMOUNT),
        (value.NUMBER, value.PERIOD),
        (value.ORDINAL, value.PERIOD),
        (value.UNLIMITED, value.AMOUNT),
        (value.UNLIMITED, value.COUNT),
        (value.UNLIMITED, value.PERIOD),
        (value.UNLIMITED, value.DATE),
        (value.MULTIPLE, value.RATE),
    )
)
_DATES = frozenset(frozenset({value.DATE, other}) for other in (value.PERIOD, value.ORDINAL, value.NUMBER))
_GENERIC = frozenset(
    {"", "item", "time", "transaction", "person", "account", "digit", "book", "message", "copy"}
)
_TIMES = frozenset({"day", "week", "month", "year", "time", "hour", "minute"})
_EPSILON = Decimal("0.000000001")


def comparable(one: Value, other: Value) -> bool:
    """Whether the two values can stand for one another: same kind of thing, same family of unit."""
    a, b = one.kind, other.kind
    if a == b:
        if a == value.COUNT:
            return one.unit == other.unit or one.unit in _GENERIC or other.unit in _GENERIC
        return a != value.POINTS or one.unit == other.unit
    return _kin(one, other)


def _kin(one: Value, other: Value) -> bool:
    a, b = one.kind, other.kind
    pair = frozenset({a, b})
    if value.FREE in pair:
        return bool(pair & {value.AMOUNT, value.RATE})
    if pair in _KINDRED or pair <= _LOOSE:
        return True
    if pair == {value.COUNT, value.PERIOD}:
        counted, period = (one, other) if a == value.COUNT else (other, one)
        return counted.unit == "instalment" and period.unit == "month"
    return pair in _DATES and (one if a == value.DATE else other).unit in {"d", "y"}


def same_value(one: Value, other: Value) -> bool:
    """Equal in number, unit and, where both say it, "per"; bounds are compared apart."""
    if not comparable(one, other):
        return False
    if one.per and other.per and one.per != other.per and not _same_per(one, other):
        return False
    return same_number(one, other)


def _same_per(one: Value, other: Value) -> bool:
    """A card's, a person's … may be a day's too: only two times exclude one another."""
    return not {one.per, other.per} <= _TIMES


def same_number(one: Value, other: Value) -> bool:
    """Equal in number and unit, whatever they are counted per."""
    pair = {one.kind, other.kind}
    if value.FREE in pair and len(pair) > 1:
        free, priced = (one, other) if one.kind == value.FREE else (other, one)
        return (priced.number == 0) == (free.unit == "free")
    if value.UNLIMITED in pair and len(pair) > 1:
        return False
    if one.kind == other.kind == value.CODE:
        return one.unit == other.unit
    if one.kind == other.kind == value.DATE:
        return _same_date(one, other)
    if one.kind == other.kind == value.PHONE:
        return _same_phone(str(one.number), str(other.number))
    if one.kind == other.kind == value.CLOCK:
        return (
            one.number % 1440 == other.number % 1440
            and (one.upper is None) == (other.upper is None)
            and (one.upper or 0) % 1440 == (other.upper or 0) % 1440
        )
    if pair == {value.DATE, value.PERIOD}:
        date, period = (one, other) if one.kind == value.DATE else (other, one)
        return period.unit == "second" and period.number == date.number * 86_400
    if value.PERIOD in pair and pair & {value.NUMBER, value.ORDINAL}:
        bare, period = (one, other) if one.kind != value.PERIOD else (other, one)
        return bare.number in _plain(period)
    if one.kind == other.kind == value.RATE and one.unit != other.unit:
        return _close(one.number, other.number) or _close(one.number, 1 - other.number)  # 五折, 按50%收
    if one.kind == other.kind and one.kind in {value.PERIOD, value.AMOUNT, value.RATE, value.POINTS}:
        return one.unit == other.unit and _close(one.number, other.number) and _same_upper(one, other)
    if pair == {value.NUMBER, value.RATE}:
        bare, rate = (one, other) if one.kind == value.NUMBER else (other, one)
        return _close(bare.number, rate.number) or _close(bare.number / 100, rate.number)
    return _close(one.number, other.number) and _same_upper(one, other)


def _plain(period: Value) -> set[Decimal]:
    sizes = {"second": (60, 3600, 86_400, 604_800), "month": (1, 3, 12), "workday": (1,)}[period.unit]
    return {period.number / size for size in sizes}


def _close(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= _EPSILON


def _same_upper(one: Value, other: Value) -> bool:
    if one.upper is None or other.upper is None:
        return one.upper is None and other.upper is None
    return _close(one.upper, other.upper)


def _same_date(one: Value, other: Value) -> bool:
    if (one.upper is None) != (other.upper is None):
        return False
    pairs = [(one.number, other.number)]
    if one.upper is not None and other.upper is not None:
        pairs.append((one.upper, other.upper))
    for first, second in pairs:
        a, b = _parts(first), _parts(second)
        shared = [(x, y) for x, y in zip(a, b, strict=True) if x and y]
        if not shared or any(x != y for x, y in shared):
            return False
    return True


def _parts(number: Decimal) -> tuple[int, int, int]:
    plain = int(number)
    return plain // 10_000, plain // 100 % 100, plain % 100


def _same_phone(one: str, other: str) -> bool:
    return one == other


def opposite_bounds(one: Value, other: Value) -> bool:
    """At least against at most."""
    return bool(one.bound and other.bound and one.bound != other.bound)
