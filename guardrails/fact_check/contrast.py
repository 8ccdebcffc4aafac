"""Names that a text sets against one another: 普卡、金卡, the classic card and the gold card. Whose is what is said?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from guardrails.fact_check.features import STOP, features, tokens
from guardrails.fact_check.lexicon import stem
from guardrails.fact_check.statement import Statement

_START = re.compile(r"(?:^|[。；;，,、：:（(）)\n]|(?<=[的和及与或]))\s*(?=[\u3400-\u9fffa-z0-9])")
_RUN = re.compile(r"[\u3400-\u9fffa-z0-9]{2,8}")
_EMPTY = frozenset(
    "的了和与及或且在为将被把均都约该其不未无可能会须需应请已由从自每第最多少高低上下前后内外元年月日天期笔次个间时分"
)
_PAIR = re.compile(r"(?<![a-z'])(?=([a-z]+) ([a-z]+)(?![a-z']))")
_CAPITAL = re.compile(r"(?<=[a-z,0-9] )[A-Z][A-Za-z]+")
_JOINED = re.compile(r"[\s、,/和及与或]*|(?:\s|,|and|or|the|an?|[（(][^（）()]{0,20}[）)])*")
_FOR = re.compile(r" (?:for|on|with|in) (?:the |an? )?")
_MOST = 200


@dataclass(frozen=True, slots=True)
class Named:
    """A name at a place of a folded text. `family`: what the names it is set against have in common."""

    start: int
    end: int
    name: str
    family: str


@dataclass(frozen=True, slots=True)
class Contrast:
    """The names of one ground by family; the longest wins, so 白金卡 is no 金卡."""

    families: Mapping[str, str] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, statements: Sequence[Statement]) -> Contrast:
        """The names in evidence: what ends alike where things are listed, what stands before one noun."""
        known: dict[str, str] = {}
        plain = [one.plain for one in statements]
        capital = [_capitals(one) for one in statements]
        for family, names in (*_chinese(one.folded for one in statements), *_english(plain)):
            for name in names:
                known.setdefault(name, family)
        for name in frozenset().union(*capital) - STOP:
            known.setdefault(name, "")
        some = sorted(list(known)[:_MOST], key=len, reverse=True)
        if not some:
            return cls()
        pattern = re.compile("|".join(rf"(?<![a-z0-9]){re.escape(one)}(?![a-z])" for one in some))
        return cls(known, pattern)

    def find(self, folded: str) -> list[Named]:
        """The names of a folded text, in order."""
        if self.pattern is None:
            return []
        return [
            Named(one.start(), one.end(), one[0], self.families[one[0]])
            for one in self.pattern.finditer(folded)
        ]


def governing(found: list[Named], folded: str, at: int) -> list[Named]:
    """The names that what stands at a place is said of: the last ones before it that are listed together."""
    group: list[Named] = []
    for one in found:
        if one.start >= at:
            break
        if group and one.family == group[-1].family and _JOINED.fullmatch(folded, group[-1].end, one.start):
            group.append(one)
        else:
            group = [one]
    return group


def _chinese(folded: Iterable[str]) -> Iterator[tuple[str, set[str]]]:
    ends: dict[str, set[str]] = {}
    for text in folded:
        for start in _START.finditer(text):
            run = _RUN.match(text, start.end())
            if run is None:
                continue
            word = run[0]
            for at in range(1, len(word)):
                if word[at - 1] in _EMPTY:
                    break
                if word[at] >= "\u3400" and word[at] not in _EMPTY:
                    ends.setdefault(word[at], set()).add(word[: at + 1])
    for end, names in ends.items():
        if len(names) > 1:
            yield end, names


def _english(folded: Iterable[str]) -> Iterator[tuple[str, set[str]]]:
    heads: dict[str, set[str]] = {}
    for text in folded:
        for first, second in _PAIR.findall(text):
            if first not in STOP and second not in STOP:
                heads.setdefault(stem(second), set()).add(first)
    for head, names in heads.items():
        if len(names) > 1:
            yield head, names


def _capitals(statement: Statement) -> frozenset[str]:
    """Words with a capital within a sentence, values apart."""
    return frozenset(
        one[0].lower()
        for one in _CAPITAL.finditer(statement.text)
        if statement.plain[one.start() : one.end()].strip()
    )


def owners(contrast: Contrast, statements: Sequence[Statement]) -> dict[tuple[int, int], tuple[Named, ...]]:
    """By statement and place of each value: the names it is said of."""
    found = {}
    for at, statement in enumerate(statements):
        names = contrast.find(statement.folded)
        for mention in statement.mentions:
            start = mention.value.start
            group = _behind(names, statement.folded, mention.value.end) or governing(
                names, statement.folded, start
            )
            found[at, start] = tuple(group)
    return found


def _behind(found: list[Named], folded: str, at: int) -> list[Named]:
    """The names that a value is given for: 0.05% for the gold card."""
    lead = _FOR.match(folded, at)
    if lead is None:
        return []
    group: list[Named] = []
    end = lead.end()
    for one in found:
        if one.start < end or (group and one.family != group[0].family):
            continue
        if _JOINED.fullmatch(folded, end, one.start) is None:
            break
        group.append(one)
        end = one.end
    return group


def names_in(claim: Statement, contrast: Contrast, *, across: bool) -> tuple[Named, ...]:
    """The names of the evidence that a claim has; in another language by what they mean."""
    if not across:
        return tuple(contrast.find(claim.folded))
    known = {one for name in contrast.families for one in _meanings(name)}
    return tuple(
        Named(one.start, one.end, claim.folded[one.start : one.end], "")
        for one in tokens(claim.folded)
        if one.feature in known
    )


@lru_cache(maxsize=4096)
def _meanings(name: str) -> frozenset[str]:
    return frozenset(one for one in features(name) if one[0] == "@")


def relation(claimed: Sequence[Named], known: Sequence[Named], *, across: bool) -> int:
    """1 where something is said of what the claim names, -1 where it is said of others of its family, else 0."""
    found = 0
    for one in claimed:
        kin = [other for other in known if across or other.family == one.family]
        if across:
            theirs = [_meanings(other.name) - _meanings(other.family) for other in kin]
            mine = _meanings(one.name)
            if not mine or not any(theirs):
                continue
            same = any(mine & other for other in theirs)
        else:
            same = any(one.name == other.name for other in kin)
        if same:
            return 1
        if kin:
            found = -1
    return found
