"""Results that a sentence works out: from its own inputs, the question's and the documents' values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from guardrails.fact_check.arithmetic import derivable, follows
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.reckoning import Reckoned, near, reckoned, results
from guardrails.fact_check.statement import Mention, Statement
from guardrails.values import value
from guardrails.values.compare import comparable, same_number
from guardrails.values.value import Value

_RESULT = re.compile(
    r"[=＝×÷]|\d\s?[x*/]\s?\d|计算|合计|共|总计|总额|因此|所以|即为|利息|计为|等于|例如|比如|实际|应付|应收|比.{1,20}(?:高|低|贵|便宜|多|少|长|短)|相差|差额"
    r"|(?<![a-z])(?:equals?|in total|total of|totals?|altogether|so|therefore|thus|interest (?:is|of|would|will|comes|due)|comes to|amounts? to|works out|for example|e\.g"
    r"|(?:more|less|cheaper|dearer|higher|lower|longer|shorter) than (?!\d|[$€£]))"
)
_INPUTS = frozenset(
    {value.RATE, value.AMOUNT, value.RATIO, value.MULTIPLE, value.POINTS, value.PERIOD, value.COUNT}
)
_SUMS = frozenset({value.AMOUNT, value.POINTS})
_NAMED = 0.3  # for being said of what the sentence names, or of others
_CLEARLY = 0.2  # how much better another result must fit for the sentence's own to be wrong
_NEARLY = 0.08  # how much less than the best a rate may fit what the sentence reckons


def derived(claim: Statement, ground: Ground, findings: list[Finding], own: Sequence[Value]) -> list[Finding]:
    """`findings`, those on a number that follows from others being supported."""
    loose = [one for one in findings if one.label is not Label.SUPPORTED and one.claimed is not None]
    if not loose:
        return findings
    right = _reckoned(claim, ground, loose)
    if right is False:
        return findings
    if right or _by_rate(claim, ground, loose) or _by_words(claim, ground, loose, own):
        return [Finding(Label.SUPPORTED, "derived", one.claimed) if one in loose else one for one in findings]
    return findings


def _reckoned(claim: Statement, ground: Ground, loose: Sequence[Finding]) -> bool | None:
    """Whether the results that the sentence gives are what fits it best; None where that cannot be told."""

    def fit(goal: Mention, mention: Mention) -> float:
        own = ground.fit(goal.about, mention.about, across=ground.across(claim, mention))
        return own + _NAMED * ground.of_same(claim, mention)

    wrong = {id(one.claimed) for one in loose}
    every = results(claim)
    goals = [one for one in every if id(one.value) in wrong] or every[-1:]
    said = [_holds(goal, reckoned(goal, claim, ground, fit)) for goal in goals]
    if True in said:
        return True
    return False if False in said else None


def _holds(goal: Mention, ways: Sequence[Reckoned]) -> bool | None:
    if not ways:
        return None
    right = [one for one in ways if near(one.number, goal.value.number)]
    if not right:
        return False
    best = max(right, key=lambda one: one.fit)
    ahead = max(one.fit for one in ways if one.form == best.form) - best.fit
    return True if ahead <= _NEARLY else None if ahead <= _CLEARLY else False


def _by_words(claim: Statement, ground: Ground, loose: Sequence[Finding], own: Sequence[Value]) -> bool:
    """Whether the sentence says that it reckons, and a number follows from any of the values at hand."""
    if _RESULT.search(claim.folded) is None:
        return False
    every = [mention.value for mention in claim.mentions]
    known = _nearby(claim, ground)
    for one in reversed(loose):
        goal = one.claimed
        assert goal is not None
        inputs = [
            value_ for value_ in every if value_ is not goal and value_.kind not in {value.FREE, value.CODE}
        ]
        if not _known(goal, ground) and derivable(goal, [*inputs, *own], known):
            return True
    return False


def _by_rate(claim: Statement, ground: Ground, loose: Sequence[Finding]) -> bool:
    """Whether a sum the documents do not have is another of the sentence at the rate that its subject has."""
    wrong = {id(one.claimed) for one in loose}
    sums = [mention for mention in claim.mentions if mention.value.kind in _SUMS]
    for goal in reversed(sums):
        if id(goal.value) not in wrong and len(sums) == len(wrong):
            continue
        if len(sums) < 2 and not any(one.value.kind in _INPUTS and one is not goal for one in claim.mentions):
            continue
        known = _known(goal.value, ground)
        inputs = [one.value for one in claim.mentions if one is not goal and one.value.kind in _INPUTS]
        rates = list(_rates(goal, claim, ground, pairs=not known))
        given = [one.number for one in _nearby(claim, ground)[:4] if one.kind == value.AMOUNT]
        if any(follows(goal.value.number, inputs, rate, given) for rate in rates):
            return True
    return False


def _rates(goal: Mention, claim: Statement, ground: Ground, *, pairs: bool) -> Iterator[Decimal]:
    """The rates of what fits the sum best: 5 %, or 500分抵1元 as 1/500."""
    found: list[tuple[float, Decimal]] = []
    for mention in ground.mentions:
        if mention.value.kind in {value.RATE, value.MULTIPLE} and mention.value.upper is None:
            found.append((_fit(goal, mention, claim, ground), mention.value.number))
    for first, second in pairwise(ground.mentions if pairs else ()):
        if first.statement != second.statement or first.clause != second.clause:
            continue
        kinds = {first.value.kind, second.value.kind}
        if kinds == {value.AMOUNT, value.POINTS} and first.value.number and second.value.number:
            fit = max(_fit(goal, first, claim, ground), _fit(goal, second, claim, ground))
            found.append((fit, second.value.number / first.value.number))
            found.append((fit, first.value.number / second.value.number))
    best = max((fit for fit, _ in found), default=0.0)
    return (rate for fit, rate in found if fit >= best - _NEARLY)


def _fit(goal: Mention, other: Mention, claim: Statement, ground: Ground) -> float:
    return ground.fit(goal.about, other.about, across=ground.statements[other.statement].lang != claim.lang)


def _known(one: Value, ground: Ground) -> bool:
    return any(comparable(one, other.value) and same_number(one, other.value) for other in ground.mentions)


def _nearby(claim: Statement, ground: Ground) -> list[Value]:
    """The evidence's values that may be reckoned with, those of what the claim speaks of first."""
    scored = sorted(
        (
            (ground.covered(mention.about, claim.features, across=False, least=0.3), mention)
            for mention in ground.mentions
            if mention.value.kind in _INPUTS
        ),
        key=lambda pair: -pair[0],
    )
    return [mention.value for _, mention in scored]
