"""Results that a sentence works out: from its own inputs, the question's and the documents' values."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardrails.fact_check.arithmetic import derivable
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.statement import Statement
from guardrails.values import value
from guardrails.values.value import Value

_RESULT = re.compile(
    r"[=＝×÷]|\d\s?[x*/]\s?\d|计算|合计|共计|总共|一共|总计|总额|因此|所以|即为|利息|计为|等于|例如|比如|实际|应付|应收|比.{1,20}(?:高|低|贵|便宜|多|少|长|短)|相差|差额"
    r"|(?<![a-z])(?:equals?|in total|total of|totals?|altogether|so|therefore|thus|interest (?:is|of|would|will|comes|due)|comes to|amounts? to|works out|for example|e\.g"
    r"|(?:more|less|cheaper|dearer|higher|lower|longer|shorter) than (?!\d|[$€£]))"
)
_INPUTS = frozenset(
    {value.RATE, value.AMOUNT, value.RATIO, value.MULTIPLE, value.POINTS, value.PERIOD, value.COUNT}
)


def derived(claim: Statement, ground: Ground, findings: list[Finding], own: Sequence[Value]) -> list[Finding]:
    """`findings`, those on a number that follows from others being supported."""
    loose = [one for one in findings if one.label is not Label.SUPPORTED and one.claimed is not None]
    if not loose or _RESULT.search(claim.folded) is None:
        return findings
    every = [mention.value for mention in claim.mentions]
    known = _nearby(claim, ground)
    for target in reversed(loose):
        goal = target.claimed
        assert goal is not None
        inputs = [one for one in every if one is not goal and one.kind not in {value.FREE, value.CODE}]
        if derivable(goal, [*inputs, *own], known):
            return [
                Finding(Label.SUPPORTED, "derived", one.claimed) if one in loose else one for one in findings
            ]
    return findings


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
