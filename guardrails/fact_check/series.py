"""Sentences on how one value goes with another: 期数越长费率越高, the more you buy the less each costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.statement import Mention, Statement

_UP = "长|多|高|大|久|贵|重|远|厚|慢"
_DOWN = "短|少|低|小|便宜|轻|近|快"
_ZH = re.compile(rf"越(?P<one>{_UP}|{_DOWN}).{{0,24}}?越(?P<two>{_UP}|{_DOWN})")
_EN_UP = "longer|more|higher|larger|greater|bigger|later|dearer|heavier"
_EN_DOWN = "shorter|less|lower|smaller|fewer|earlier|cheaper|lighter"
_EN = re.compile(
    rf"the (?P<one>{_EN_UP}|{_EN_DOWN})(?![a-z]).{{0,60}}?the (?P<two>{_EN_UP}|{_EN_DOWN})(?![a-z])"
)
_RISING = frozenset(f"{_UP}|{_EN_UP}".split("|"))
_LEAST = 3  # pairs that make a series
_SPOKEN = 0.3


def judged_series(claim: Statement, ground: Ground) -> Finding | None:
    """Whether the documents' series goes the way the sentence says; None where either has none."""
    match = (_ZH if claim.lang == "zh" else _EN).search(claim.folded)
    if match is None:
        return None
    rising = (match["one"] in _RISING) == (match["two"] in _RISING)
    for statement in ground.statements:
        across = statement.lang != claim.lang
        told = dict.fromkeys(claim.features, 1.0)
        if ground.covered(told, statement.features | statement.context, across=across) < _SPOKEN:
            continue
        series = list(_pairs(statement))
        if len(series) < _LEAST:
            continue
        series.sort(key=lambda pair: pair[0].value.number)
        steps = [b[1].value.number - a[1].value.number for a, b in pairwise(series)]
        holds = all(step >= 0 for step in steps) if rising else all(step <= 0 for step in steps)
        label = Label.SUPPORTED if holds else Label.CONTRADICTED
        return Finding(label, "comparison", None, None, statement.text, statement.citation)
    return None


def _pairs(statement: Statement) -> Iterator[tuple[Mention, Mention]]:
    """Two values of different kinds side by side, again and again of the same two kinds."""
    mentions = statement.mentions
    if len(mentions) < 2 * _LEAST:
        return
    kinds = tuple((one.value.kind, one.value.unit) for one in mentions[:2])
    if kinds[0] == kinds[1]:
        return
    at = 0
    while at + 1 < len(mentions):
        first, second = mentions[at], mentions[at + 1]
        if ((first.value.kind, first.value.unit), (second.value.kind, second.value.unit)) == kinds:
            yield first, second
            at += 2
        else:
            at += 1
