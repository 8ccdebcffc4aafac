"""From when something runs: 自核卡日起, within 30 days of delivery, starts on the day of the order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.fact_check.features import features
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Finding, Label
from guardrails.fact_check.statement import Statement

_BEGINS = re.compile(
    r"(?:自|从|由)(?P<zh>[\u3400-\u9fff]{2,12}?)(?:当天|当日|之日|次日|日|的?第\S{1,3}天)?(?:起算?|开始)"
    r"|(?P<day>(?:(?![自从由])[\u3400-\u9fff]){2,8}?)(?:当天|当日|之日|次日|日)(?:起算?|开始)"
    r"|(?<![a-z])(?:starts?|begins?|runs?|counts?|counted|starting|beginning|running) (?:on|from|at|with)"
    r" (?P<en>(?:[a-z]+ ){0,5}?[a-z]+)(?=[,.;]|$)"
)
_WITHIN = re.compile(r" {3,}(?:of|from|after) (?:the )?(?P<en>[a-z]+(?: [a-z]+)?)")
_PLAIN = frozenset("day date first the @daily @first @due @after @deadline @period period time".split())
_SPOKEN = 0.4


def judged_start(claim: Statement, ground: Ground) -> Finding | None:
    """A time that the claim lets begin with something else than the documents do."""
    own = next(_starts(claim.folded, _BEGINS), frozenset[str]())
    if not own:
        return None
    told = dict.fromkeys(claim.features - own - _PLAIN, 1.0)
    best: tuple[float, Statement] | None = None
    for statement in ground.statements:
        if statement.lang != claim.lang:
            continue
        found = [*_starts(statement.folded, _BEGINS), *_starts(statement.plain, _WITHIN)]
        if not found:
            continue
        if any(own & one for one in found):
            return None
        share = ground.covered(told, statement.features, across=False)
        if share >= _SPOKEN and (best is None or share > best[0]):
            best = share, statement
    if best is None:
        return None
    return Finding(Label.CONTRADICTED, "start", None, None, best[1].text, best[1].citation)


def _starts(text: str, pattern: re.Pattern[str]) -> Iterator[frozenset[str]]:
    for match in pattern.finditer(text):
        words = " ".join(word for word in match.groupdict().values() if word)
        found = features(words) - _PLAIN
        if found:
            yield found
