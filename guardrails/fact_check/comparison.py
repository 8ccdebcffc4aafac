"""Sentences that compare: A is dearer than B, A 与 B 相同. The documents' values of both decide."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guardrails.fact_check.features import tokens
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.statement import Mention, Statement
from guardrails.values import value
from guardrails.values.compare import comparable

_MORE = "高|贵|多|长|慢|大|晚|重"
_LESS = "低|便宜|少|短|快|小|早|轻"
_ZH = re.compile(
    rf"(?P<one>[^，,；;。]{{1,24}}?)(?:比|较)(?P<two>[^，,；;。]{{1,24}}?)(?:要|更|还)?(?P<how>{_MORE}|{_LESS})(?!于)"
    rf"|(?P<one2>[^，,；;。]{{1,24}}?)(?:的[^，,；;。的]{{1,8}})?(?P<how2>{_MORE}|{_LESS})于(?P<two2>[^，,；;。]{{1,24}})"
    r"|(?P<one3>[^，,；;。]{1,24}?)(?:与|和|跟|同)(?P<two3>[^，,；;。]{1,24}?)(?:是|都|均)?(?P<how3>不同|不一样|相同|相等|一样|一致)"
)
_EN = re.compile(
    r"(?P<one>[^,;.]{3,60}?) (?:is|are|costs?|lasts?|takes?|runs?|has|have|earns?) (?:a |an |much )?(?P<how>higher|more|larger|longer|later|dearer|greater|lower|less|smaller|shorter|earlier|cheaper|fewer)"
    r"[a-z ]{0,24}? than (?P<two>[^,;.]{3,60})"
    r"|(?P<one3>[^,;.]{3,60}?) (?:is|are|costs?|has|have) (?P<how3>the same|equal)[a-z ]{0,20} (?:as|to) (?P<two3>[^,;.]{3,60})"
)
_MORE_EN = frozenset("higher more larger longer later dearer greater".split())
_LEAST_FIT = 0.3


@dataclass(frozen=True, slots=True)
class Comparison:
    """`relation` is 1 for more, -1 for less, 0 for the same, 2 for not the same."""

    one: str
    two: str
    relation: int


def read_comparison(claim: Statement) -> Comparison | None:
    """What a sentence compares; None where it does not."""
    match = (_ZH if claim.lang == "zh" else _EN).search(claim.plain)
    if match is None:
        return None
    groups = {name: text for name, text in match.groupdict().items() if text}
    one = groups.get("one") or groups.get("one2") or groups.get("one3") or ""
    two = groups.get("two") or groups.get("two2") or groups.get("two3") or ""
    how = groups.get("how") or groups.get("how2") or groups.get("how3") or ""
    if how in {"不同", "不一样"}:
        relation = 2
    elif how in {"相同", "相等", "一样", "一致", "the same", "equal"}:
        relation = 0
    else:
        relation = 1 if how in _MORE_EN or re.fullmatch(_MORE, how) else -1
    return Comparison(one, two, relation)


def judged_comparison(claim: Statement, ground: Ground) -> Finding | None:
    """Whether the documents' values stand as the sentence says; None where it compares nothing they have."""
    read = read_comparison(claim)
    if read is None:
        return None
    first = {token.feature for token in tokens(read.one)}
    second = {token.feature for token in tokens(read.two)}
    only_first, only_second = first - second, second - first
    if not only_first or not only_second:
        return None
    rest = {token.feature for token in tokens(claim.plain)} - only_first - only_second
    one = _value_of(only_first, only_second, rest, claim, ground)
    if one is None:
        return None
    two = _value_of(only_second, only_first, rest | (only_first - only_second), claim, ground, like=one)
    if two is None or two is one:
        return None
    a, b = _size(one), _size(two)
    holds = {1: a > b, -1: a < b, 0: a == b, 2: a != b}[read.relation]
    if holds:
        return Finding(Label.SUPPORTED, "comparison")
    statement = ground.statements[one.statement]
    return Finding(Label.CONTRADICTED, "comparison", None, None, statement.text, statement.citation)


def _size(mention: Mention) -> float:
    return float(mention.value.number)


def _value_of(
    wanted: set[str],
    unwanted: set[str],
    rest: set[str],
    claim: Statement,
    ground: Ground,
    like: Mention | None = None,
) -> Mention | None:
    """The evidence's value that is about the wanted words and not about the unwanted ones."""
    best: tuple[float, Mention] | None = None
    about = dict.fromkeys(rest, 0.5) | dict.fromkeys(wanted, 1.0)
    for mention in ground.mentions:
        if mention.value.kind in {value.CODE, value.PHONE, value.ORDINAL}:
            continue
        if like is not None and (
            not comparable(like.value, mention.value) or like.value.unit != mention.value.unit
        ):
            continue
        across = ground.statements[mention.statement].lang != claim.lang
        have = {f: w for f, w in mention.about.items() if w >= 0.5}
        if not any(f in have and f in ground.weight for f in wanted):
            continue
        fit = ground.fit(about, have, across=across) - 0.3 * sum(1 for f in unwanted if f in have)
        if fit >= _LEAST_FIT and (best is None or fit > best[0]):
            best = fit, mention
    return best[1] if best else None
