"""`check_sentence`: is a sentence borne out by the evidence, against it, or about something it does not speak of?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from guardrails.fact_check.arithmetic import derivable
from guardrails.fact_check.correct import corrected
from guardrails.fact_check.features import notions
from guardrails.fact_check.ground import Ground, read_claim
from guardrails.fact_check.judgement import Finding, Judgement, Label
from guardrails.fact_check.negation import contrast, denies, joins, negations
from guardrails.fact_check.statement import Evidence, FactLike, Mention, Statement, blanked
from guardrails.fact_check.subject import other_group, other_name, other_word
from guardrails.values import value
from guardrails.values.compare import comparable, opposite_bounds, same_number, same_value
from guardrails.values.numerals import fold
from guardrails.values.parse import parse_values
from guardrails.values.value import Value

_MARGIN = (
    0.06  # how much better another value must fit before the sentence's own is held to be of another subject
)
_SPOKEN = (
    0.36  # share of a value's surroundings the evidence must speak of, before it can contradict the value
)
_SPOKEN_ACROSS = 0.3
_SAME_TOPIC = 0.5
_VAGUE_MOST = 3
_WEAK = frozenset({value.COUNT, value.NUMBER, value.ORDINAL})
_LONGEST = 2_000
_RESPECTIVELY = re.compile(r"分别|各(?:是|为|自)|依次|respectively")
_CHARGES = re.compile(
    r"收费|(?<![不免])收取?(?!到|款|入|货|据|件|益|藏|回|银)|(?:需|须|要|应)(?:另行|额外)?(?:付|交|缴|支付|花钱)|要钱|付费|(?:is|are|be) charged|charges? (?:a|an|you)|you (?:must |have to )?pay|there is a (?:fee|charge)|for a fee"
)


def check_sentence(
    sentence: str,
    evidence: Ground | Sequence[Evidence | FactLike | str],
    question: str = "",
    heading: str = "",
) -> Judgement:
    """What `evidence` says about `sentence`, which may stand under a `heading`.

    Values of `question` are the customer's own and need no evidence.
    """
    ground = evidence if isinstance(evidence, Ground) else Ground.read(evidence)
    sentence = sentence[:_LONGEST]
    claim = read_claim(sentence, heading)
    findings = _values(claim, ground, question)
    if not any(finding.label is Label.CONTRADICTED for finding in findings):
        worded = _wording(claim, ground)
        if worded is not None:
            findings.append(worded)
    label = Label.SUPPORTED
    for worse in (Label.CONTRADICTED, Label.NOT_FOUND):
        if any(finding.label is worse for finding in findings):
            label = worse
            break
    put_right = ""
    if label is Label.CONTRADICTED:
        put_right = corrected(sentence, findings)
        if put_right and check_sentence(put_right, ground, question, heading).label is not Label.SUPPORTED:
            put_right = ""
    return Judgement(label, tuple(findings), put_right)


def _values(claim: Statement, ground: Ground, question: str) -> list[Finding]:
    own = parse_values(question[-_LONGEST:]) if question else ()
    findings = [_value(mention, claim, ground) for mention in claim.mentions]
    settled: list[Finding] = []
    for finding in findings:
        claimed = finding.claimed
        assert claimed is not None
        if finding.label is Label.NOT_FOUND and any(same_value(claimed, one) for one in own):
            settled.append(Finding(Label.SUPPORTED, "question", claimed))
        else:
            settled.append(finding)
    return _derived(claim, ground, settled, own)


def _derived(
    claim: Statement, ground: Ground, findings: list[Finding], own: Sequence[Value]
) -> list[Finding]:
    """Results that follow from the sentence's own inputs and the documents' values."""
    loose = [one for one in findings if one.label is not Label.SUPPORTED and one.claimed is not None]
    if not loose or len(claim.mentions) + len(own) < 2:
        return findings
    known = [mention.value for mention in ground.mentions]
    every = [mention.value for mention in claim.mentions]
    for target in reversed(loose):
        goal = target.claimed
        assert goal is not None
        inputs = [
            one for one in every if one is not goal and one.kind not in {value.FREE, value.CODE}
        ] + list(own)
        fitting = [
            one
            for one in known
            if one.kind in {value.RATE, value.AMOUNT, value.RATIO, value.MULTIPLE, value.POINTS}
        ]
        if inputs and derivable(goal, inputs, fitting) and _operands(claim, goal):
            return [
                Finding(Label.SUPPORTED, "derived", one.claimed) if one in loose else one for one in findings
            ]
    return findings


_RESULT = re.compile(
    r"[=＝×x*÷]|计算|合计|共计|因此|所以|即|利息|计为|等于|equals?|total|so |therefore|interest|comes to|amounts? to|works out|例如|如|for example|e\.g"
)


def _operands(claim: Statement, goal: Value) -> bool:
    """A derived number is the last of its sentence, or one that a word of reckoning goes with."""
    return claim.mentions[-1].value == goal or _RESULT.search(fold(claim.text)) is not None


def _value(mention: Mention, claim: Statement, ground: Ground) -> Finding:
    claimed = mention.value
    if claimed.kind == value.CODE and claimed.unit in fold(ground.text):
        return Finding(Label.SUPPORTED, "value", claimed, claimed)
    able = [other for other in ground.mentions if comparable(claimed, other.value)]
    scored = [(_alike(mention, other, claim, ground), other) for other in able]
    if claimed.kind == value.FREE:
        scored = _same_kind_first(scored)
    exact = [(score, other) for score, other in scored if _agrees(claimed, other.value, ground, other)]
    others = [(score, other) for score, other in scored if not _agrees(claimed, other.value, ground, other)]
    rivals = [
        pair
        for pair in others
        if pair[1].value.kind == claimed.kind or value.FREE in {claimed.kind, pair[1].value.kind}
    ]
    if exact:
        fit, match = max(exact, key=lambda pair: pair[0])
        if rivals and not _RESPECTIVELY.search(claim.text):
            rival_fit, rival = max(rivals, key=lambda pair: pair[0])
            if rival_fit > fit + _MARGIN and not _said(rival.value, claim):
                return _against("subject", claimed, rival, ground)
        return Finding(Label.SUPPORTED, "value", claimed, match.value, *_cite(match, ground))
    if not others:
        return Finding(Label.SUPPORTED if _vague(claimed) else Label.NOT_FOUND, "value", claimed)
    fit, match = max(rivals or others, key=lambda pair: pair[0])
    statement = ground.statements[match.statement]
    across = statement.lang != claim.lang
    spoken = ground.coverage(mention, statement, across=across)
    strict = match.value.kind == claimed.kind
    if _vague(claimed) and not (strict and match.value.unit == claimed.unit and spoken >= _SAME_TOPIC):
        return Finding(Label.SUPPORTED, "value", claimed)
    if spoken >= (_SPOKEN_ACROSS if across else _SPOKEN) and (strict or spoken >= _SAME_TOPIC):
        return _against(_why(claimed, match.value), claimed, match, ground)
    return Finding(Label.NOT_FOUND, "value", claimed, None, *_cite(match, ground))


def _same_kind_first(scored: list[tuple[float, Mention]]) -> list[tuple[float, Mention]]:
    """不免 is against 免, not borne out by some fee that is charged elsewhere."""
    free = [pair for pair in scored if pair[1].value.kind == value.FREE]
    best = max((score for score, _ in scored), default=0.0)
    return free if free and max(score for score, _ in free) >= best - 0.15 else scored


def _alike(mention: Mention, other: Mention, claim: Statement, ground: Ground) -> float:
    across = ground.statements[other.statement].lang != claim.lang
    score = ground.likeness(mention, other, across=across)
    if mention.value.per and other.value.per and mention.value.per == other.value.per:
        score += 0.08
    if mention.value.bound and mention.value.bound == other.value.bound:
        score += 0.05
    if opposite_bounds(mention.value, other.value):
        score -= 0.05
    return score


def _said(one: Value, claim: Statement) -> bool:
    return any(
        same_number(one, mention.value) for mention in claim.mentions if comparable(one, mention.value)
    )


def _against(reason: str, claimed: Value, match: Mention, ground: Ground) -> Finding:
    return Finding(Label.CONTRADICTED, reason, claimed, match.value, *_cite(match, ground))


def _cite(match: Mention, ground: Ground) -> tuple[str, str]:
    statement = ground.statements[match.statement]
    return statement.text, statement.citation


def _vague(claimed: Value) -> bool:
    """一次, two conditions: small counts are turns of speech as often as facts."""
    if claimed.kind == value.FREE and claimed.text.lower() == "waiver":
        return True  # "towards the fee waiver" names it, and says nothing of it
    written = claimed.text[:1].isdigit()
    return claimed.kind in _WEAK and claimed.number <= _VAGUE_MOST and not written


def _agrees(claimed: Value, known: Value, ground: Ground, mention: Mention) -> bool:
    if same_value(claimed, known):
        return not opposite_bounds(claimed, known)
    if claimed.kind != known.kind or claimed.unit != known.unit:
        return False
    if claimed.upper is None and known.upper is not None and claimed.kind != value.CLOCK:
        low, high = claimed.number == known.number, claimed.number == known.upper
        return (low and claimed.bound != value.MAX) or (high and claimed.bound != value.MIN)
    if claimed.upper is not None and known.upper is None:
        numbers = {
            other.value.number
            for other in ground.mentions
            if other.statement == mention.statement and other.value.unit == claimed.unit
        }
        return {claimed.number, claimed.upper} <= numbers
    return False


def _why(claimed: Value, known: Value) -> str:
    if same_number(claimed, known):
        return "bound" if opposite_bounds(claimed, known) else "per"
    if claimed.kind == known.kind and claimed.unit != known.unit:
        return "unit"
    return "value"


def _wording(claim: Statement, ground: Ground) -> Finding | None:
    """What is wrong without a value being wrong: yes for no, one subject or condition for another."""
    statement, share = ground.nearest(claim)
    if statement is None:
        return None
    across = statement.lang != claim.lang
    if share < (0.4 if across else _SAME_TOPIC):
        return None
    ours, theirs = fold(claim.text), fold(statement.text)
    everything = fold(ground.text)
    reason = _yes_no(claim, statement, ours, theirs, across=across)
    if not reason and not across and (pair := contrast(ours, theirs, everything)):
        reason = f"contrast:{pair[0]}"
    if not reason and _other_join(ours, theirs):
        reason = "condition"
    if not reason:
        every = frozenset().union(*(one.features | one.context for one in ground.statements))
        if other_group(
            notions(claim.features), notions(statement.features | statement.context), notions(every)
        ):
            reason = "subject"
    if not reason and not across:
        reason = _other_subject(claim, statement, ground, everything)
    if not reason:
        return None
    return Finding(Label.CONTRADICTED, reason, None, None, statement.text, statement.citation)


def _yes_no(claim: Statement, statement: Statement, ours: str, theirs: str, *, across: bool) -> str:
    we_free = [m.value for m in claim.mentions if m.value.kind in {value.FREE, value.UNLIMITED}]
    they_free = [m.value for m in statement.mentions if m.value.kind in {value.FREE, value.UNLIMITED}]
    plain_ours = blanked(ours, we_free)
    plain_theirs = blanked(theirs, they_free)
    if (
        any(one.unit == "free" for one in they_free)
        and not we_free
        and _CHARGES.search(plain_ours)
        and not any(
            m.value.kind in {value.AMOUNT, value.RATE} for m in (*claim.mentions, *statement.mentions)
        )
    ):
        return "polarity"
    if across:
        return "polarity" if bool(negations(plain_ours)) != bool(negations(plain_theirs)) else ""
    if denies(plain_ours, plain_theirs):
        return "polarity"
    return ""


def _other_join(ours: str, theirs: str) -> bool:
    mine, other = joins(ours), joins(theirs)
    return bool(
        mine and other and mine != other and len(parse_values(ours)) > 1 and len(parse_values(theirs)) > 1
    )


def _other_subject(claim: Statement, statement: Statement, ground: Ground, everything: str) -> str:
    if claim.lang == "en":
        return "subject" if other_name(claim.text, ground.text) else ""
    ours = blanked(fold(claim.text), [mention.value for mention in claim.mentions])
    theirs = blanked(fold(statement.text), [mention.value for mention in statement.mentions])
    return "subject" if other_word(ours, theirs, everything) else ""
