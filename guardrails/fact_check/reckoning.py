"""Results that a sentence works out, by what goes with what: a sum at a rate, months at so much a month."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations, permutations

from guardrails.fact_check.ground import Ground
from guardrails.fact_check.statement import Mention, Statement
from guardrails.values import value
from guardrails.values.value import Value

_TOTAL = re.compile(
    r"[共总]|合计|加起来|加上|(?<![a-z])(?:total|altogether|together|comes to|plus|with|sum)(?![a-z])"
)
_DIFFERENCE = re.compile(
    r"比.{1,30}[贵多高便宜少低省]|省|差额|相差|(?<![a-z])(?:saves?|difference|(?:cheaper|dearer|more|less|higher|lower)(?: [a-z]+)? than)(?![a-z])"
)
_RESULTS = frozenset({value.AMOUNT, value.POINTS, value.NUMBER})
_OWN = 1.0  # how well a sentence's own values fit it
_MOST = 12  # values of the evidence that are reckoned with
_SIZES = {"second": (86_400, 3_600, 604_800, 60), "month": (1, 12), "workday": (1,)}
_BY_TIME = {
    "day": ("second", 86_400),
    "week": ("second", 604_800),
    "month": ("month", 1),
    "year": ("month", 12),
}


@dataclass(frozen=True, slots=True)
class Reckoned:
    """One way to a result: the number, how well its operands fit the sentence, of which form the reckoning is."""

    number: Decimal
    fit: float
    form: str


Fit = Callable[[Mention, Mention], float]
"""How well a value of the evidence fits the result that a sentence gives."""


def results(claim: Statement) -> list[Mention]:
    """The values of a sentence that may be what it works out."""
    return [one for one in claim.mentions if one.value.kind in _RESULTS]


def reckoned(goal: Mention, claim: Statement, ground: Ground, fit: Fit) -> list[Reckoned]:
    """What the documents' values make of a sentence's other values, where it gives `goal` for the result."""
    inputs = [one for one in claim.mentions if one is not goal]
    able = sorted(((fit(goal, one), at) for at, one in enumerate(ground.mentions)), reverse=True)
    operands = [(score, ground.mentions[at]) for score, at in able[: _MOST * 3]]
    found = [
        *_at_rate(goal, inputs, operands, ground),
        *_times(goal, inputs, operands),
        *_exchanged(goal, inputs, operands, ground),
    ]
    alike = [
        (score, one.value)
        for score, one in operands[:_MOST]
        if (one.value.kind, one.value.unit) == (goal.value.kind, goal.value.unit) and not one.value.bound
    ]
    if _TOTAL.search(claim.folded):
        own = [(_OWN, one.value) for one in inputs if one.value.unit == goal.value.unit]
        found += [*_sums(alike), *_sums(own)]
    if _DIFFERENCE.search(claim.folded):
        found += _differences(alike, inputs)
    return found


def near(one: Decimal, other: Decimal) -> bool:
    """Equal but for rounding."""
    return abs(one - other) <= min(Decimal("0.006"), abs(other) / 1000)


_Operands = list[tuple[float, Mention]]


def _at_rate(goal: Mention, inputs: list[Mention], operands: _Operands, ground: Ground) -> Iterator[Reckoned]:
    """An amount of the sentence at a rate of the documents, for as many days or periods, within its bounds."""
    amounts = [one for one in inputs if one.value.kind in {value.AMOUNT, value.NUMBER}]
    counts = [number for one in inputs for number in _plain(one)]
    for score, rate in operands:
        if rate.value.kind != value.RATE or rate.value.upper is not None:
            continue
        least, most = _bounds(rate, goal, ground)
        for amount in amounts:
            plain = amount.value.number * rate.value.number
            for number, form in ((plain, "rate"), *((plain * by, "rate by time") for by in counts)):
                held = max(number, least) if least is not None else number
                held = min(held, most) if most is not None else held
                yield Reckoned(held, score, form)


def _bounds(rate: Mention, goal: Mention, ground: Ground) -> tuple[Decimal | None, Decimal | None]:
    """The least and the most that are said right behind a rate: 1%，最低10元，最高100元."""
    least = most = None
    for other in ground.statements[rate.statement].mentions:
        if other.value.start <= rate.value.start:
            continue
        if other.value.kind == value.RATE:
            break
        if other.value.kind == value.AMOUNT and other.value.unit == goal.value.unit:
            if other.value.bound == value.MIN:
                least = other.value.number
            elif other.value.bound == value.MAX:
                most = other.value.number
    return least, most


def _times(goal: Mention, inputs: list[Mention], operands: _Operands) -> Iterator[Reckoned]:
    """So many months or pieces at so much each, and a rate of that."""
    rates = [(score, one.value.number) for score, one in operands if one.value.kind == value.RATE]
    for score, price in operands:
        if price.value.kind != goal.value.kind or price.value.unit != goal.value.unit or price.value.bound:
            continue
        for number, form in _multiples(goal, price.value, inputs):
            yield Reckoned(number, score, form)
            if form == "by time":
                for other, rate in rates:
                    yield Reckoned(number * rate, min(score, other), "rate of that")


def _multiples(goal: Mention, price: Value, inputs: list[Mention]) -> Iterator[tuple[Decimal, str]]:
    if (price.per, goal.value.per) == ("month", "year"):
        yield price.number * 12, "by year"
    for one in inputs:
        if one.value.kind == value.PERIOD:
            unit, size = _BY_TIME.get(price.per, ("", 1))
            if unit == one.value.unit and one.value.number > size:
                yield price.number * one.value.number / size, "by time"
        elif one.value.kind == value.COUNT and one.value.number > 1 and price.per in {"time", ""}:
            yield price.number * one.value.number, "by count"


def _exchanged(
    goal: Mention, inputs: list[Mention], operands: _Operands, ground: Ground
) -> Iterator[Reckoned]:
    """Points for an amount, or an amount for points, at what the documents give for one: 500分抵1元."""
    kinds = {value.AMOUNT, value.POINTS}
    for one in inputs:
        if {one.value.kind, goal.value.kind} != kinds:
            continue
        for (score, first), (other, second) in permutations(operands[:_MOST], 2):
            if not first.value.number or not _goes_with(first, second, ground):
                continue
            if (first.value.kind, second.value.kind) == (one.value.kind, goal.value.kind):
                number = one.value.number * second.value.number / first.value.number
                yield Reckoned(number, max(score, other), "exchange")


def _goes_with(first: Mention, second: Mention, ground: Ground) -> bool:
    """In one clause, or the amount said once for all: 1 point per euro; the gold card earns 2 points."""
    if first.statement != second.statement:
        return False
    if first.clause == second.clause:
        return True
    points, amount = (first, second) if first.value.kind == value.POINTS else (second, first)
    amounts = [one for one in ground.statements[first.statement].mentions if one.value.kind == value.AMOUNT]
    return amounts[:1] == [amount] and all(one.clause != points.clause for one in amounts)


def _sums(alike: list[tuple[float, Value]]) -> Iterator[Reckoned]:
    for size, form in ((2, "sum"), (3, "sum of three")):
        for some in combinations(alike, size):
            total = sum((one.number for _, one in some), Decimal(0))
            yield Reckoned(total, min(score for score, _ in some), form)


def _differences(alike: list[tuple[float, Value]], inputs: list[Mention]) -> Iterator[Reckoned]:
    for (score, one), (other, two) in permutations(alike, 2):
        fit = min(score, other)
        if one.number >= two.number:
            yield Reckoned(one.number - two.number, fit, "difference")
        for size in (one_.value.number for one_ in inputs if one_.value.kind == value.PERIOD):
            yield Reckoned(abs(one.number * size - two.number), fit, "saving")


def _plain(one: Mention) -> tuple[Decimal, ...]:
    if one.value.kind == value.PERIOD:
        return tuple(one.value.number / size for size in _SIZES[one.value.unit])
    return (one.value.number,) if one.value.kind == value.COUNT else ()
