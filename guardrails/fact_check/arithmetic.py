"""Whether a number of a sentence follows from others: 5000 × 0.05 % × 20 = 50."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, DivisionByZero, InvalidOperation

from guardrails.values import value
from guardrails.values.value import Value

_SIZES = {"second": (Decimal(86_400),), "month": (Decimal(1), Decimal(12)), "workday": (Decimal(1),)}
_MOST = 8  # operands; more make anything derivable
_TOLERANCE = Decimal("0.006")


def derivable(target: Value, inputs: Sequence[Value], known: Iterable[Value]) -> bool:
    """Whether `target` is a product, quotient, sum or difference of stated inputs and known values, or the sum or
    difference of two known values of its own kind."""
    if target.kind not in {value.AMOUNT, value.NUMBER, value.POINTS, value.RATE, value.COUNT, value.PERIOD}:
        return False
    some = list(known)[:_MOST]
    stated = [number for one in inputs[:_MOST] for number in _plain(one)]
    given = [number for one in some for number in _plain(one)]
    alike = [one.number for one in some if one.kind == target.kind and one.unit == target.unit]
    goal = target.number
    if any(
        _near(one + other, goal) or _near(one - other, goal)
        for at, one in enumerate(alike)
        for place, other in enumerate(alike)
        if at != place
    ):
        return True
    if target.kind == value.PERIOD:
        return False
    return any(_follows(first, second, [*stated, *given], goal) for first in stated for second in given)


def follows(goal: Decimal, inputs: Sequence[Value], rate: Decimal, given: Sequence[Decimal]) -> bool:
    """Whether `goal` is an input at `rate`, once or for as many days or months, or of one of the `given` sums."""
    stated = [number for one in inputs[:_MOST] for number in _plain(one)]
    for at, first in enumerate(stated):
        product = first * rate
        if _near(product, goal):
            return True
        more = [*stated[:at], *stated[at + 1 :], *given]
        if any(_near(product * other, goal) for other in more):
            return True
    return False


def _follows(first: Decimal, second: Decimal, more: Sequence[Decimal], goal: Decimal) -> bool:
    for result in (*_pair(first, second), *_pair(second, first)):
        if _near(result, goal):
            return True
        for third in more:
            if third in {first, second}:
                continue
            if any(_near(one, goal) for one in (result * third, _over(result, third), result + third)):
                return True
    return False


def _plain(one: Value) -> tuple[Decimal, ...]:
    if one.kind == value.PERIOD:
        return tuple(one.number / size for size in _SIZES[one.unit])
    if one.kind in {
        value.AMOUNT,
        value.RATE,
        value.NUMBER,
        value.COUNT,
        value.POINTS,
        value.RATIO,
        value.MULTIPLE,
    }:
        return (one.number,)
    return ()


def _pair(first: Decimal, second: Decimal) -> tuple[Decimal, ...]:
    return first * second, _over(first, second), first + second, first - second


def _over(first: Decimal, second: Decimal) -> Decimal:
    try:
        return first / second
    except (DivisionByZero, InvalidOperation):
        return Decimal(-1)


def _near(one: Decimal, goal: Decimal) -> bool:
    return goal > 0 and abs(one - goal) <= min(_TOLERANCE, goal / 1000)
