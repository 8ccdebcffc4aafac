"""A case that a sentence supposes: "an order of 75 euros", 挂失20小时后. A rule of the documents holds for it, or not."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from guardrails.fact_check.ground import Ground
from guardrails.fact_check.statement import Mention, Statement, value_features
from guardrails.values import value
from guardrails.values.compare import comparable, same_number
from guardrails.values.value import Value

_KINDS = frozenset({value.AMOUNT, value.PERIOD, value.COUNT, value.AGE, value.POINTS, value.NUMBER})
_BARE = ({value.AGE, value.NUMBER}, {value.AMOUNT, value.NUMBER})
"""Kinds one of which may be left out: under 4; assets of 350,000."""
_TOLERANCE = 0.12  # how much less than another value's a rule's words may fit
_MORE = re.compile(r"[\u3400-\u9fff]{3}|[a-z]+ [a-z]+")
_STATED = re.compile(r"(?:收取?|付|交|为|是|共|计|省|(?<![a-z])(?:costs?|pays?|is|are|earns?|gets?)) ?$")
"""What stands before a value that the sentence states, whatever comes behind: 要收50元手续费."""
_ANY = re.compile(r"[\u3400-\u9fff]{2}|[a-z]{3}")
_CLOSE = 0.3
_CLOSE_AGE = 0.1  # ages are few: a rule on one is meant in few words


@dataclass(frozen=True, slots=True)
class Instance:
    """`inside` or outside the rules that speak of such values; `rules` are those it is inside of, else all."""

    mention: Mention
    inside: bool
    rules: tuple[Mention, ...]


def read_instance(mention: Mention, claim: Statement, ground: Ground) -> Instance | None:
    """The case a value supposes; None where it states a value of its own."""
    one = mention.value
    if one.kind not in _KINDS or one.bound or one.upper is not None or not _supposed(mention, claim):
        return None
    alike = [
        other
        for other in ground.mentions
        if comparable(one, other.value)
        and (other.value.kind == one.kind or {other.value.kind, one.kind} in _BARE)
        and (one.kind != value.AMOUNT or other.value.unit == one.unit)
    ]
    if not alike or any(same_number(one, other.value) and not _limited(other.value) for other in alike):
        return None
    scored = [(_fit(mention, other, claim, ground), other) for other in alike]
    best = max(score for score, _ in scored)
    rules = [
        other
        for score, other in scored
        if _limited(other.value)
        and (other.value.unit == one.unit or other.value.kind != one.kind)
        and score >= max(best - _TOLERANCE, _CLOSE_AGE if one.kind == value.AGE else _CLOSE)
    ]
    if not rules:
        return None
    inside = [other for other in rules if _holds(one, other.value)]
    return Instance(mention, bool(inside), tuple(inside or rules))


def supposing(claim: Statement, cases: list[Instance]) -> Statement:
    """The claim with the rules a case is inside of as features of what it says."""
    told = {
        name: 0.8
        for case in cases
        if case.inside
        for rule in case.rules
        for name in value_features(rule.value)
    }
    if not told:
        return claim
    mentions = tuple(replace(one, about=told | one.about) for one in claim.mentions)
    return replace(claim, mentions=mentions)


def _fit(mention: Mention, other: Mention, claim: Statement, ground: Ground) -> float:
    return ground.fit(
        mention.about, other.about, across=ground.statements[other.statement].lang != claim.lang
    )


def _supposed(mention: Mention, claim: Statement) -> bool:
    """Whether the sentence goes on behind the value: it is the case, not what is said of it."""
    if any(other.value.start > mention.value.end for other in claim.mentions):
        return True
    if _STATED.search(claim.folded[: mention.value.start]):
        return False
    after = _ANY if mention.value.kind == value.AGE else _MORE
    return after.search(claim.plain, mention.value.end) is not None


def _limited(one: Value) -> bool:
    return bool(one.bound) or one.upper is not None


def _holds(one: Value, rule: Value) -> bool:
    if rule.upper is not None:
        return rule.number <= one.number <= rule.upper
    return one.number >= rule.number if rule.bound == value.MIN else one.number <= rule.number
