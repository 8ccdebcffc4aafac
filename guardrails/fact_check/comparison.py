"""Sentences that compare: A is dearer than B, A 与 B 相同, A 是 B 的两倍. The documents' values of both decide."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from guardrails.fact_check.features import features, tokens
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.statement import Mention, Statement, value_features
from guardrails.values import value
from guardrails.values.compare import comparable
from guardrails.values.units import PER_BEFORE
from guardrails.values.value import Value

_MORE = "高|贵|多|长|慢|大|晚|重"
_LESS = "低|便宜|少|短|快|小|早|轻"
_SIDE = "[^，,；;。]"
_ZH = (
    re.compile(
        rf"(?P<one>{_SIDE}{{1,40}}?)比(?!例|率|较)(?P<two>{_SIDE}{{1,40}}?)(?:要|更|还|都)?(?P<how>{_MORE}|{_LESS})(?!于)"
    ),
    re.compile(rf"(?P<one>{_SIDE}{{1,40}}?)(?P<how>{_MORE}|{_LESS})于(?P<two>{_SIDE}{{1,40}})"),
    re.compile(rf"(?P<one>{_SIDE}{{2,40}}?)(?P<how>超过|不如|不及)(?P<two>[\u3400-\u9fff]{_SIDE}{{1,40}})"),
    re.compile(
        rf"(?P<one>{_SIDE}{{1,40}}?)(?:与|和|跟|同)(?P<two>{_SIDE}{{1,40}}?)(?:是|都|均)?(?P<how>不同|不一样|相同|相等|一样|一致)"
    ),
)
_EN = (
    re.compile(
        r"(?P<one>[^,;.]{3,60}?) (?:is|are|costs?|lasts?|takes?|runs?|has|have|earns?|gives?|needs?|gets?|includes?|offers?|allows?"
        r"|charges?|pays?|requires?) (?:an? |the |much )?(?P<how>higher|more|larger|longer|later|dearer|greater|bigger|lower|less"
        r"|smaller|shorter|earlier|cheaper|fewer)(?P<what>[a-z -]{0,40}?) than (?P<two>[^,;.]{3,60})"
    ),
    re.compile(
        r"(?P<one>[^,;.]{3,60}?) (?:is|are|costs?|has|have) (?P<how>the same|equal)[a-z ]{0,20} (?:as|to) (?P<two>[^,;.]{3,60})"
    ),
)
_TIMES_ZH = re.compile(rf"(?P<one>{_SIDE}{{1,40}}?)(?:是|为|等于|相当于)(?P<two>{_SIDE}{{1,40}}?)的\s+")
_TIMES_EN = re.compile(r"(?P<one>[^,;.]{3,60}?) (?:is|are|costs?)(?: \w+){0,2}\s{2,}(?P<two>[^,;.]{3,60})")
_MORE_EN = frozenset("higher more larger longer later dearer greater bigger".split())
_SAME = frozenset(("相同", "相等", "一样", "一致", "the same", "equal"))
_ANY = frozenset(
    {
        value.AMOUNT,
        value.RATE,
        value.PERIOD,
        value.COUNT,
        value.POINTS,
        value.AGE,
        value.NUMBER,
        value.MULTIPLE,
    }
)
_BY_WORD = (
    (re.compile("贵|便宜|cheaper|dearer"), frozenset({value.AMOUNT})),
    (
        re.compile("长|短|快|慢|晚|早|longer|shorter|later|earlier"),
        frozenset({value.PERIOD, value.DATE, value.CLOCK}),
    ),
)
_BY_NOUN = (
    (
        re.compile(r"费率|利率|比例|(?<![a-z])(?:rate|percentage)(?![a-z])"),
        frozenset({value.RATE, value.MULTIPLE}),
    ),
    (re.compile(r"(?<![a-z])(?:expensive|costly|cheap)(?![a-z])"), frozenset({value.AMOUNT})),
    (
        re.compile(r"期限|有效期|时间|时限|(?<![a-z])(?:duration|term|period)(?![a-z])"),
        frozenset({value.PERIOD}),
    ),
)
"""What is compared, where a noun says it."""
_DEAR = re.compile(r"[贵]|便宜|(?<![a-z])(?:expensive|costly|cheap|cheaper|dearer)(?![a-z])")
_PRICE = features("price fee premium 价格 费")
_LEAST_FIT = 0.3
_SIDE_BY_SIDE = 0.15  # for standing in one sentence with the other side
_SORT = 0.2  # for being per day, at most … as the sentence says, or as the other side is
_APART = 0.3
_OWN = 0.95  # weight of words that are a value's own, not those of a label above it


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides as spans of the claim. `relation`: more, less, same, other or times; `times` for the last."""

    one: tuple[int, int]
    two: tuple[int, int]
    relation: str
    times: Decimal = Decimal(1)
    kinds: frozenset[str] = _ANY

    def holds(self, first: Decimal, second: Decimal) -> bool:
        """Whether the two numbers stand as said."""
        return {
            "more": first > second,
            "less": first < second,
            "same": first == second,
            "other": first != second,
            "times": second != 0 and abs(first - second * self.times) < Decimal("0.001"),
        }[self.relation]


def read_comparison(claim: Statement) -> Comparison | None:
    """What a sentence compares; None where it does not."""
    zh = claim.lang == "zh"
    multiple = next((one.value for one in claim.mentions if one.value.kind == value.MULTIPLE), None)
    if multiple is not None:
        match = (_TIMES_ZH if zh else _TIMES_EN).search(claim.plain)
        return _read(match, "times", multiple.number) if match is not None else None
    for pattern in _ZH if zh else _EN:
        match = pattern.search(claim.plain)
        if match is not None:
            by_noun = next((kinds for words, kinds in _BY_NOUN if words.search(match[0])), _ANY)
            kinds = next((kinds for words, kinds in _BY_WORD if words.fullmatch(match["how"])), by_noun)
            return replace(_read(match, _relation(match["how"])), kinds=kinds)
    return None


def _read(match: re.Match[str], relation: str, times: Decimal = Decimal(1)) -> Comparison:
    return Comparison(match.span("one"), match.span("two"), relation, times)


def _relation(how: str) -> str:
    if how in {"不同", "不一样"}:
        return "other"
    if how in _SAME:
        return "same"
    return "more" if how in _MORE_EN or how == "超过" or re.fullmatch(_MORE, how) else "less"


def judged_comparison(claim: Statement, ground: Ground) -> Finding | None:
    """Whether the documents' values stand as the sentence says; None where it compares nothing they have."""
    read = read_comparison(claim)
    if read is None:
        return None
    first, second = (_features(claim, ground, span) for span in (read.one, read.two))
    only_first, only_second = first - second, second - first
    if not only_first or not only_second:
        return None
    rest = _features(claim, ground, (0, len(claim.plain))) - only_first - only_second
    if _DEAR.search(claim.plain):
        rest |= _PRICE
    one = _value_of(only_first, only_second, rest, claim, ground, read.kinds)
    if one is None:
        return None
    two = _value_of(only_second, only_first, rest | only_first, claim, ground, read.kinds, like=one)
    if two is None or two is one:
        return None
    statement = ground.statements[one.statement]
    label = Label.SUPPORTED if read.holds(one.value.number, two.value.number) else Label.CONTRADICTED
    return Finding(label, "comparison", None, None, statement.text, statement.citation)


def _features(claim: Statement, ground: Ground, span: tuple[int, int]) -> set[str]:
    start, end = span
    found = {token.feature for token in tokens(claim.plain[start:end])}
    found.update(token.feature for token in ground.names.tokens(claim.folded[start:end]))
    for mention in claim.mentions:
        if start <= mention.value.start < end and mention.value.kind != value.MULTIPLE:
            found.update(value_features(mention.value)[:1])
    return found


def _value_of(
    wanted: set[str],
    unwanted: set[str],
    rest: set[str],
    claim: Statement,
    ground: Ground,
    kinds: frozenset[str],
    like: Mention | None = None,
) -> Mention | None:
    """The evidence's value that is about the wanted words and not about the unwanted ones."""
    best: tuple[float, Mention] | None = None
    about = dict.fromkeys(rest, 0.5) | dict.fromkeys(wanted, 1.0)
    bound = value.MAX if "@most" in about else value.MIN if "@least" in about else ""
    pers = {str(one.lastgroup) for one in PER_BEFORE.finditer(claim.plain)}
    per = pers.pop() if len(pers) == 1 else ""
    for mention in ground.mentions:
        if mention.value.kind not in kinds:
            continue
        if like is not None and (
            not comparable(like.value, mention.value) or like.value.unit != mention.value.unit
        ):
            continue
        across = ground.statements[mention.statement].lang != claim.lang
        have = {f: w for f, w in mention.about.items() if w >= 0.5}
        if not any(f in have and f in ground.weight for f in wanted):
            continue
        strange = (f for f in unwanted if have.get(f, 0.0) > _OWN and f in ground.weight)
        apart = sum(1 for f in strange if like is None or f not in like.about)
        fit = ground.fit(about, have, across=across) - _APART * apart
        fit += _SORT * _sorts(mention.value, bound, per, like)
        if like is not None and mention.statement == like.statement:
            fit += _SIDE_BY_SIDE
        if fit >= _LEAST_FIT and (best is None or fit > best[0]):
            best = fit, mention
    return best[1] if best else None


def _sorts(one: Value, bound: str, per: str, like: Mention | None) -> int:
    """In how many ways a value is of the sort that is compared, less those in which it is of another."""
    wanted = [(bound, one.bound), (per, one.per)]
    if like is not None:
        wanted += [(like.value.bound, one.bound), (like.value.per, one.per)]
    return sum((1 if said == found else -1) for said, found in wanted if said and found)
