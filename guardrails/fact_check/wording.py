"""What can be wrong in a sentence whose values are right: yes for no, a seller for a buyer, "or" for "and"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from guardrails.fact_check.features import features, opposite_features
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.novelty import novel_words
from guardrails.fact_check.polarity import Denial
from guardrails.fact_check.start import judged_start
from guardrails.fact_check.statement import Clause, Statement
from guardrails.values.compare import same_value

_ALIGNED = 0.4  # how well a clause must fit before it can contradict
_MARGIN = 0.08
_ALIGNED_DENIAL, _MARGIN_DENIAL = (
    0.5,
    0.15,
)  # … where it is the sentence that denies: in many words what "only" says
_VALUES = 0.15  # … and how much more one that has the clause's values
_UNLESS = re.compile(r"除非|只有|(?<![a-z])(?:unless|only (?:if|when)|except)(?![a-z])")
_SAID = 0.6
_OUTRIGHT = ((3, 0.78, 0.05), (3, 0.6, 0.14), (2, 0.78, 0.5))
"""Words shared, the share of the sentence's that they are, how much better the clause fits than any that affirms."""
_CASE = re.compile(r"(?:的|时|后|期间|的话)[，,]$|^ ?(?:if|when|where|unless|without|until)(?![a-z])")
"""A clause that says when something holds."""
_SILENT = 0.15  # how much less a clause counts that neither says nor denies the word
_EXCLUDED = 0.6
_STRANGE = 0.3  # share of a clause that may be unheard of before it is held to be about something else
_EITHER = re.compile(r"或|任意一|任意1|任一|其一|之一|either|(?<![a-z])or(?![a-z])|any one of|one of the")
_BOTH = re.compile(
    r"且|同时(?:满足|达到|具备|符合)|均须|都要|都须|须都|缺一不可|两项都|两个条件都|both|as well as|(?<![a-z])and(?: also)?(?![a-z])"
)


def judged_wording(claim: Statement, ground: Ground) -> Finding | None:
    """The first thing that is wrong with the wording; None if nothing is."""
    for clause in claim.clauses:
        found = _denial(clause, claim, ground) or _opposite(clause, claim, ground)
        if found is not None:
            return found
    return (
        _join(claim, ground)
        or _binding(claim, ground)
        or judged_start(claim, ground)
        or _denied_outright(claim, ground)
    )


def _against(reason: str, statement: Statement) -> Finding:
    return Finding(Label.CONTRADICTED, reason, None, None, statement.text, statement.citation)


def _denial(clause: Clause, claim: Statement, ground: Ground) -> Finding | None:
    """A word that the clause denies where the evidence says it, or the other way round."""
    if _UNLESS.search(claim.folded):
        return None  # both what holds and what does not are said
    for word, denied in _words(clause, claim, ground):
        same, other, statement = 0.0, 0.0, None
        values = {one for one in clause.features if one[0] == "#"}
        for candidate, theirs in ground.clauses():
            across = candidate.lang != claim.lang
            if theirs.denials and _CASE.search(candidate.folded, theirs.start, theirs.end) and not denied:
                continue  # 未激活的，自动注销: a case is no rule
            said = _sign(word, theirs, across=across)
            if denied and (theirs.denials or "#free" in theirs.features):
                said = -1  # both deny something; what exactly is a matter of wording
            fit = _mutual(clause, theirs, ground, across=across)
            if not said:
                same = max(same, fit - _SILENT)
            elif (said < 0) == denied:
                same = max(same, fit + (_VALUES if values and values <= theirs.features else 0.0))
            elif fit > other:
                other, statement = fit, candidate
        aligned, margin = (_ALIGNED_DENIAL, _MARGIN_DENIAL) if denied else (_ALIGNED, _MARGIN)
        if statement is None or other < aligned or other < same + margin:
            continue
        if not _unheard(clause, claim, statement, ground):
            return _against("polarity", statement)
    return None


def _denied_outright(claim: Statement, ground: Ground) -> Finding | None:
    """A sentence that denies nothing, where the clause that says most of its words denies, whatever it denies."""
    if _UNLESS.search(claim.folded) or any(clause.denials for clause in claim.clauses):
        return None
    if "#free" in claim.features:
        return None  # that denies a charge
    told = dict.fromkeys(claim.features, 1.0)
    values = {one for one in claim.features if one[0] == "#"}
    affirming, denying, share, words, statement = 0.0, 0.0, 0.0, 0, None
    for candidate, clause in ground.clauses():
        across = candidate.lang != claim.lang
        have = {one for one, weight in clause.about.items() if weight >= _SAID}
        here = ground.covered(told, have, across=across)
        own = {one: 1.0 for one in clause.features if one[0] != "#"}
        fit = 0.6 * here + 0.4 * ground.covered(own, claim.features, across=across)
        if not clause.denials or not _denies_some(clause, candidate, claim.features, across=across):
            affirming = max(affirming, fit + (_VALUES if values and values <= clause.features else 0.0))
        elif fit > denying:
            denying, share, statement = fit, here, candidate
            words = sum(1 for one in told if one in have and one in ground.weight)
    if statement is None:
        return None
    ahead = denying - affirming
    if not any(words >= some and share >= most and ahead >= margin for some, most, margin in _OUTRIGHT):
        return None
    return _against("polarity", statement)


def _denies_some(clause: Clause, statement: Statement, told: frozenset[str], *, across: bool) -> bool:
    """Whether what a clause denies, all that comes behind its "not", is among the words told."""
    for denial in clause.denials:
        behind = features(statement.plain[denial.at : clause.end])
        behind = frozenset(one for one in behind if not across or one[0] in "@&")
        if not behind or behind & told or denial.weak:
            return True
    return False


def _words(clause: Clause, claim: Statement, ground: Ground) -> Iterator[tuple[Denial, bool]]:
    """What can be compared: each word the clause denies, and each that it says and the evidence denies somewhere."""
    for denial in clause.denials:
        yield denial, True
    seen: set[frozenset[str]] = set()
    for statement, other in ground.clauses():
        across = statement.lang != claim.lang
        for denial in other.denials:
            denying = clause.denials or "#free" in clause.features
            if denial.denied not in seen and not denying and _sign(denial, clause, across=across) > 0:
                seen.add(denial.denied)
                yield denial, False


def _sign(word: Denial, clause: Clause, *, across: bool) -> int:
    """1 where the clause says the word, -1 where it denies it, 0 where it does neither, or both."""
    denied = frozenset(one for one in word.denied if one[0] in "@&") if across else word.denied
    shared = denied & clause.features.union(*(other.denied for other in clause.denials))
    if not shared or (word.weak and len(shared) * 2 <= len(denied)):
        return 0
    if word.weak:
        return -1 if any(other.weak or other.passive for other in clause.denials) else 1
    denying = sum(1 for other in clause.denials if other.denied & denied)
    return {0: 1, 1: -1}.get(denying, 0)


def _unheard(clause: Clause, claim: Statement, statement: Statement, ground: Ground, group: str = "") -> bool:
    """Whether the clause speaks of something the evidence does not know, and so is not against it."""
    text = claim.plain[clause.start : clause.end]
    words = novel_words(text, ground, across=statement.lang != claim.lang)
    known = opposite_features().get(group, frozenset())
    strange = [word for word in words if word not in known and not features(word) & known]
    return sum(map(len, strange)) > _STRANGE * len(text.replace(" ", ""))


def _mutual(clause: Clause, other: Clause, ground: Ground, *, across: bool) -> float:
    """How well two clauses fit each other: the worse of the two ways."""
    one = ground.fit(clause.about, other.about, across=across)
    told = {one: weight for one, weight in other.about.items() if one[0] != "#"}
    back = ground.covered(told, clause.about.keys(), across=across, least=0.9)
    fit = min(one, back + 0.15)
    return fit * _EXCLUDED if _exclude(clause.features, other.features) else fit


def _exclude(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether one has a word that excludes a word of the other: 当日, 次日."""
    sides = {feature for feature in one if feature[0] == "~"}
    theirs = {feature for feature in other if feature[0] == "~"}
    groups = {side.partition(":")[0] for side in sides - theirs}
    return any(side.partition(":")[0] in groups for side in theirs - sides)


def _opposite(clause: Clause, claim: Statement, ground: Ground) -> Finding | None:
    """A word of the clause that excludes the one the documents have there."""
    for side in _sides(clause):
        group = side.partition(":")[0]
        mine = _without(clause, group)
        values = {one for one in clause.features if one[0] == "#"}
        same, against, statement = 0.0, 0.0, None
        for candidate, theirs in ground.clauses():
            across = candidate.lang != claim.lang
            sides = [one for one in theirs.features if one.startswith(f"{group}:")]
            if not sides:
                same = max(same, _mutual(mine, theirs, ground, across=across))
                continue
            fit = _mutual(mine, _without(theirs, group), ground, across=across)
            if side in sides:
                if values and values <= theirs.features:
                    same = 1.0
                same = max(same, fit)
            elif fit > against:
                against, statement = fit, candidate
        if statement is None or against < _ALIGNED or against < same + _MARGIN:
            continue
        if not _unheard(clause, claim, statement, ground, group):
            return _against(f"opposite:{group[1:]}", statement)
    return None


def _without(clause: Clause, group: str) -> Clause:
    """The clause without the words of a group of opposites, which cannot tell what it is about."""
    words = opposite_features()[group]
    return replace(clause, about={f: w for f, w in clause.about.items() if f not in words})


def _sides(clause: Clause) -> Iterator[str]:
    for one in sorted(clause.features):
        if one[0] == "~":
            group = one.partition(":")[0]
            if not any(other != one and other.startswith(f"{group}:") for other in clause.features):
                yield one


def _binding(claim: Statement, ground: Ground) -> Finding | None:
    """The result that the documents tie to one condition, tied to another: two clauses, each right by itself."""
    if len(claim.clauses) < 2:
        return None
    condition, result = claim.clauses[0], claim.clauses[-1]
    if not condition.features or not result.features:
        return None
    own = dict.fromkeys(condition.features, 1.0)
    told = dict.fromkeys(result.features, 1.0)
    parts = [
        (statement, part)
        for statement in ground.statements
        if statement.lang == claim.lang
        for part in statement.segments
    ]
    if len(parts) < 2:
        return None
    fits = [
        (ground.covered(own, part, across=False), ground.covered(told, part, across=False), statement)
        for statement, part in parts
    ]
    by_condition = max(fits, key=lambda one: one[0])
    by_result = max(fits, key=lambda one: one[1])
    if (
        by_condition[0] >= 0.9
        and by_result[1] >= 0.9
        and by_condition[0] >= by_result[0] + 0.2
        and by_result[1] >= by_condition[1] + 0.3
        and by_condition[2] is by_result[2]
    ):
        return _against("condition", by_condition[2])
    return None


def _join(claim: Statement, ground: Ground) -> Finding | None:
    """ "Or" between two conditions where the documents say "and", or the other way round."""
    mine = joined(claim.folded)
    if not mine:
        return None
    for joining in ground.statements:
        between = joined(_between(claim, joining))
        if between:
            return _against("condition", joining) if between != mine else None
    statement, share = ground.nearest(claim)
    if statement is None or share < 0.5 or statement.lang != claim.lang:
        return None
    other = joined(statement.folded)
    if not other or other == mine:
        return None
    counted = min(len(claim.mentions), len(statement.mentions))
    listed = re.search(r"条件|condition|requirement", claim.folded + statement.folded)
    return _against("condition", statement) if counted > 1 or listed else None


def _between(claim: Statement, statement: Statement) -> str:
    """What a statement has between the two values that the claim joins; empty where it has not both."""
    if len(claim.mentions) < 2:
        return ""
    places = [
        next((other.value for other in statement.mentions if same_value(one.value, other.value)), None)
        for one in claim.mentions[:2]
    ]
    first, second = places
    if first is None or second is None or first.end > second.start:
        return ""
    return statement.folded[first.end : second.start]


def joined(folded: str) -> str:
    """`or` or `and` between conditions, where the text says which; else empty."""
    either, both = _EITHER.search(folded), _BOTH.search(folded)
    if either and not both:
        return "or"
    return "and" if both and not either else ""
