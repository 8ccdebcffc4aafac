"""One value of a sentence against the values of the evidence: the same, another, or of something unheard of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.novelty import novel_words
from guardrails.fact_check.statement import Mention, Statement
from guardrails.values import value
from guardrails.values.compare import comparable, opposite_bounds, same_number, same_value
from guardrails.values.value import Value

MARGIN = 0.15
"""How much better another value must fit before the sentence's own is held to be of another subject."""
ACROSS_MARGIN = 0.15
_SPOKEN = 0.34
"""Share of a value's surroundings the evidence must speak of before it can contradict the value."""
_ACROSS_SPOKEN = 0.45
_KIN_SPOKEN = 0.5  # … where the two values are of kindred kinds only
_MEANT = 0.3
_OWNED = 0.3  # how much less a rival may fit that is said of what the claim names
_STRONG, _SLIGHT, _WEIGHTY = 0.6, 0.5, 0.6
_NAMED = 0.3  # … where the words are names
_TELLING = 1.2  # how telling the words must be that a rival has and the sentence's own value lacks
_VAGUE_MOST = 3
_WEAK = frozenset({value.COUNT, value.NUMBER, value.ORDINAL})
_COUNTED_BY = frozenset(
    {value.AMOUNT, value.COUNT, value.POINTS, value.FREE, value.RATE, value.NUMBER, value.UNLIMITED}
)
_EACH = re.compile(
    r"(?:一|1)(?:个|自然)?(?:年|月|个月|天|日|周|期|笔|次|张|户|人|份|台|间|晚|件)|an? (?:year|month|week|day)"
)
_LASTS = re.compile(
    r"(?:满|期限?|有效|为|至少|最长|最短|最多|只能?|仅|限|超过|不到|足|够|签|前|近|过|第)$|(?:within|after|for|least|most|only|is|lasts|takes|every|than|about) $"
)
_OTHERWISE = re.compile(
    r"否则|below that|under that|不满|不足|未满|otherwise|or else|(?<![a-z])(?:less|fewer) than"
)
_CENTS = re.compile(r"cents?$")
_LIST = re.compile(r"[、,/和或及 ]{1,60}|(?: |,|and|or){1,60}")
_RESPECTIVELY = re.compile(r"分别|各(?:是|为|自)|依次|respectively")


def judged_value(mention: Mention, claim: Statement, ground: Ground) -> Finding:
    """What the evidence says about one value of `claim`."""
    claimed = mention.value
    if _included(mention, claim, ground):
        return Finding(Label.SUPPORTED, "value", claimed)
    if claimed.kind == value.CODE and claimed.unit in ground.folded:
        return Finding(Label.SUPPORTED, "value", claimed, claimed)
    able = [other for other in ground.mentions if comparable(claimed, other.value)]
    scored = [(_alike(mention, other, claim, ground), other) for other in able]
    exact = [(score, other) for score, other in scored if agrees(claimed, other, ground)]
    others = [(score, other) for score, other in scored if not agrees(claimed, other, ground)]
    rivals = [pair for pair in others if _rival(claimed, pair[1].value)]
    if exact:
        matches = [other for _, other in exact]
        rivals = [
            pair
            for pair in rivals
            if not _listed(pair[1], matches, ground)
            and not _otherwise_counted(claimed, pair[1].value, matches)
        ]
        owned = max(ground.of_same(claim, other) for other in matches)
        if owned > 0:
            rivals = [pair for pair in rivals if ground.of_same(claim, pair[1]) >= 0]
        elif owned < 0:
            theirs = _of_named(mention, claim, ground, max(score for score, _ in exact), rivals)
            if theirs is not None:
                return against("subject", claimed, theirs, ground)
        return _same(mention, claim, ground, exact, rivals)
    if _per(mention, claim):
        return Finding(Label.SUPPORTED, "per", claimed)
    if not others:
        return Finding(Label.SUPPORTED if _vague(claimed) else Label.NOT_FOUND, "value", claimed)
    return _other(mention, claim, ground, rivals or others)


def _included(mention: Mention, claim: Statement, ground: Ground) -> bool:
    """What is free where the documents say that it is included, of the same more than of what is charged."""
    if mention.value.kind != value.FREE or mention.value.unit != "free":
        return False
    told = {one: weight for one, weight in mention.about.items() if one != "&include"}
    best = fitting = 0.0
    for statement, clause in ground.clauses():
        across = statement.lang != claim.lang
        if "&include" in clause.features and not clause.denials:
            best = max(best, ground.fit(told, clause.about, across=across))
    for other in ground.mentions:
        if other.value.kind in {value.AMOUNT, value.FREE}:
            fitting = max(fitting, ground.fit(told, other.about, across=ground.across(claim, other)))
    return best > max(fitting, _MEANT)


def _of_named(
    mention: Mention, claim: Statement, ground: Ground, fit: float, rivals: _Scored
) -> Mention | None:
    """The rival that is said of what the claim names, where its own value is said of others only."""
    for score, rival in sorted(rivals, key=lambda pair: -pair[0]):
        if (
            score >= fit - _OWNED
            and ground.of_same(claim, rival) > 0
            and not opposite_bounds(mention.value, rival.value)
            and not _said(rival, mention, claim, ground)
        ):
            return rival
    return None


_Scored = list[tuple[float, Mention]]


def _same(mention: Mention, claim: Statement, ground: Ground, exact: _Scored, rivals: _Scored) -> Finding:
    """The evidence has the value: supported, unless it is another's or the sentence is about something unknown."""
    fit, match = max(exact, key=lambda pair: pair[0])
    if rivals and not _RESPECTIVELY.search(claim.text):
        dominant = _dominant(mention, claim, ground, [other for _, other in exact], rivals)
        if dominant is not None:
            return against("subject", mention.value, dominant, ground)
        rival_fit, rival = max(rivals, key=lambda pair: pair[0])
        across = ground.statements[rival.statement].lang != claim.lang
        if (
            rival_fit > fit + (ACROSS_MARGIN if across else MARGIN)
            and _meant(rival, mention, claim, ground)
            and not _said(rival, mention, claim, ground)
        ):
            if _unheard(mention, claim, rival, ground):
                return Finding(Label.NOT_FOUND, "entity", mention.value, None, *_cite(rival, ground))
            return against("subject", mention.value, rival, ground)
    return Finding(Label.SUPPORTED, "value", mention.value, match.value, *_cite(match, ground))


def _other(mention: Mention, claim: Statement, ground: Ground, others: _Scored) -> Finding:
    """The evidence has other values only: contradicted, if it speaks of the same thing."""
    claimed = mention.value
    alike = [pair for pair in others if pair[1].value.unit == claimed.unit]
    _, match = max(alike if claimed.kind == value.AMOUNT and alike else others, key=lambda pair: pair[0])
    statement = ground.statements[match.statement]
    across = statement.lang != claim.lang
    spoken = ground.covered(mention.about, match.about.keys() | statement.context, across=across)
    strict = match.value.kind == claimed.kind
    if claimed.kind == value.ORDINAL and claimed.number == 1:
        return Finding(Label.SUPPORTED, "value", claimed)  # 第一份 is a word like 首份
    if _vague(claimed) and not (strict and match.value.unit == claimed.unit and spoken >= _KIN_SPOKEN):
        return Finding(Label.SUPPORTED, "value", claimed)
    enough = _ACROSS_SPOKEN if across else _SPOKEN if strict else _KIN_SPOKEN
    if spoken >= enough and not _unheard(mention, claim, match, ground):
        return against(_why(claimed, match.value), claimed, match, ground)
    return Finding(Label.NOT_FOUND, "value", claimed, None, *_cite(match, ground))


def _unheard(mention: Mention, claim: Statement, match: Mention, ground: Ground) -> bool:
    """Whether the clause of the value names something that the evidence never does."""
    clause = claim.clauses[mention.clause]
    near = claim.plain[clause.start : clause.end]
    if ground.statements[match.statement].lang == claim.lang:
        return bool(novel_words(near, ground, across=False))
    # Few words have a counterpart that is known: those without one must outnumber the others.
    known = (one for one, mine in mention.about.items() if one[0] == "@" and mine >= _STRONG)
    return len(novel_words(near, ground, across=True)) > sum(1 for one in known if one in match.about)


def _listed(rival: Mention, exact: list[Mention], ground: Ground) -> bool:
    """Whether the rival stands in one list with a value that is right: 3、6、12个月."""
    plain = ground.statements[rival.statement].plain
    for one in exact:
        if one.statement == rival.statement:
            first, second = sorted((one.value, rival.value), key=lambda found: found.start)
            if _LIST.fullmatch(plain, first.end, second.start):
                return True
    return False


def _otherwise_counted(claimed: Value, rival: Value, exact: list[Mention]) -> bool:
    """Whether the rival is per transaction or at least, where the claim and its match are per day or at most."""
    for one in exact:
        if claimed.per and claimed.per == one.value.per and rival.per and rival.per != claimed.per:
            return True
        if claimed.bound and claimed.bound == one.value.bound and opposite_bounds(claimed, rival):
            return True
    return False


def _rival(claimed: Value, other: Value) -> bool:
    if claimed.kind == value.AMOUNT and other.kind == value.FREE and other.unit == "charged":
        return False  # for a fee of 5 euros
    return (
        other.kind == claimed.kind
        or value.FREE in {claimed.kind, other.kind}
        or value.UNLIMITED in {claimed.kind, other.kind}
    )


def _alike(mention: Mention, other: Mention, claim: Statement, ground: Ground) -> float:
    across = ground.statements[other.statement].lang != claim.lang
    score = ground.fit(mention.about, other.about, across=across)
    ours, theirs = mention.value, other.value
    if ours.per and ours.per == theirs.per:
        score += 0.06
    if ours.bound and ours.bound == theirs.bound:
        score += 0.06
    if opposite_bounds(ours, theirs):
        score -= 0.06
    return score


def _meant(rival: Mention, mention: Mention, claim: Statement, ground: Ground) -> bool:
    """Whether the claim has most of what is said right by the rival: else it is of a case the claim leaves out."""
    across = ground.statements[rival.statement].lang != claim.lang
    return ground.covered(rival.about, mention.about.keys(), across=across, least=0.9) >= _MEANT


def _said(rival: Mention, mention: Mention, claim: Statement, ground: Ground) -> bool:
    """Whether the sentence has the rival's value too, and says it of what it belongs to."""
    own = _alike(mention, rival, claim, ground)
    return any(
        other is not mention
        and comparable(rival.value, other.value)
        and same_number(rival.value, other.value)
        and _alike(other, rival, claim, ground) >= own
        for other in claim.mentions
    )


def _dominant(
    mention: Mention, claim: Statement, ground: Ground, exact: list[Mention], rivals: _Scored
) -> Mention | None:
    """A rival that has all that the claim says of its value, where whatever has that value lacks some of it."""
    across = ground.statements[rivals[0][1].statement].lang != claim.lang
    strong = {
        one: ground.weight[one]
        for one, mine in mention.about.items()
        if mine >= _STRONG and one in ground.weight and (not across or one[0] in "@~&#")
    }
    found = _outdone(strong, exact, rivals, _TELLING)
    if found is None and all(any(one[0] == "=" for one in other.about) for other in exact):
        named = {one: weight for one, weight in strong.items() if one[0] == "="}
        found = _outdone(named, exact, rivals, _NAMED)
    return None if found is None or _said(found, mention, claim, ground) else found


def _outdone(
    strong: Mapping[str, float], exact: Sequence[Mention], rivals: _Scored, telling: float
) -> Mention | None:
    """The rival that has all of the words that the matches have, and telling ones that each of them lacks."""
    lacking = [{one for one in strong if other.about.get(one, 0.0) < _SLIGHT} for other in exact]
    if any(sum(strong[one] for one in some) < telling for some in lacking):
        return None
    for _, rival in sorted(rivals, key=lambda pair: -pair[0]):
        theirs = {one for one in strong if rival.about.get(one, 0.0) < _SLIGHT}
        if all(
            theirs <= some
            and sum(strong[one] for one in some - theirs if rival.about[one] >= _WEIGHTY) >= telling
            for some in lacking
        ):
            return rival
    return None


def against(reason: str, claimed: Value | None, match: Mention, ground: Ground) -> Finding:
    """Contradicted by `match`."""
    return Finding(Label.CONTRADICTED, reason, claimed, match.value, *_cite(match, ground))


def _cite(match: Mention, ground: Ground) -> tuple[str, str]:
    statement = ground.statements[match.statement]
    return statement.text, statement.citation


def _per(mention: Mention, claim: Statement) -> bool:
    """一年100元, 一笔最多收100元, RMB 100 a year: what another value is counted by."""
    one = mention.value
    return (
        one.kind in {value.PERIOD, value.COUNT}
        and _EACH.fullmatch(one.text.lower()) is not None
        and _LASTS.search(claim.folded[max(0, one.start - 8) : one.start]) is None
        and any(
            other is not mention and other.clause == mention.clause and other.value.kind in _COUNTED_BY
            for other in claim.mentions
        )
    )


def _vague(claimed: Value) -> bool:
    """一次, two conditions: small counts are turns of speech as often as facts."""
    if claimed.kind == value.ORDINAL and claimed.number == 1:
        return True
    if claimed.kind == value.FREE and claimed.text.lower() == "waiver":
        return True  # "towards the fee waiver" names it, and says nothing of it
    written = claimed.text[:1].isdigit()
    return claimed.kind in _WEAK and claimed.number <= _VAGUE_MOST and not written


def agrees(claimed: Value, mention: Mention, ground: Ground) -> bool:
    """Whether a value of the evidence says the same as the claimed one."""
    known = mention.value
    if claimed.kind == known.kind == value.AMOUNT and _CENTS.search(claimed.text.lower()):
        return claimed.number == known.number  # of whatever currency
    if known.kind == value.FREE and known.unit == "charged" and claimed.kind != value.FREE:
        return False  # that something is charged does not say how much
    if same_value(claimed, known):
        statement = ground.statements[mention.statement]
        return not opposite_bounds(claimed, known) or _OTHERWISE.search(statement.folded) is not None
    if claimed.kind != known.kind or claimed.unit != known.unit:
        return False
    if claimed.upper is None and known.upper is not None:
        low, high = claimed.number == known.number, claimed.number == known.upper
        return (low and claimed.bound != value.MAX) or (high and claimed.bound != value.MIN)
    if claimed.upper is not None and known.upper is None:
        numbers = {
            other.value.number
            for other in ground.statements[mention.statement].mentions
            if other.value.unit == claimed.unit
        }
        return {claimed.number, claimed.upper} <= numbers
    return False


def _why(claimed: Value, known: Value) -> str:
    if same_number(claimed, known):
        return "bound" if opposite_bounds(claimed, known) else "per"
    if claimed.kind == known.kind and claimed.unit != known.unit:
        return "unit"
    return "value"
