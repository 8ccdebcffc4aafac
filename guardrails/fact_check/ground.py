"""The evidence of one answer, read once; sentences are checked against it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from guardrails.fact_check.contrast import Contrast, Named, names_in, owners, relation
from guardrails.fact_check.evidence import Evidence, FactLike, read_evidence
from guardrails.fact_check.features import features, shared_by_languages
from guardrails.fact_check.names import Names
from guardrails.fact_check.statement import Clause, Mention, Statement, read_statement
from guardrails.values.numerals import fold

_WORD = re.compile(r"[a-z]{4,}")
_EXTRA = 0.15  # what is taken off at most for words of the evidence that the claim does not have
_WEIGHTY = 0.5
_UNKNOWN = 0.3  # weight of a word that the evidence does not have, many of which are accidents of wording


@dataclass(frozen=True, slots=True)
class Ground:
    """Statements, every value in them, and how telling each feature is among them."""

    statements: tuple[Statement, ...]
    mentions: tuple[Mention, ...]
    weight: Mapping[str, float]
    pairs: frozenset[str]
    """Every two characters, and every English word's stem, that stand together in the evidence."""
    folded: str
    words: frozenset[str]
    """The English words of the evidence."""
    names: Names
    contrast: Contrast
    owners: Mapping[tuple[int, int], tuple[Named, ...]]
    """By statement and place of each value: the names it is said of."""

    @classmethod
    def read(cls, evidence: Sequence[Evidence | FactLike | str]) -> Ground:
        """The ground that `evidence` gives."""
        statements, names = read_evidence(evidence)
        mentions = tuple(mention for statement in statements for mention in statement.mentions)
        folded = "\n".join(statement.folded for statement in statements)
        seen: dict[str, float] = {}
        total = 0
        for about in _spoken(statements):
            total += 1
            for feature, share in about.items():
                seen[feature] = seen.get(feature, 0.0) + share
        weight = {one: math.log(1.3 + total / max(0.5, count)) for one, count in seen.items()}
        pairs = {folded[at : at + 2] for at in range(len(folded) - 1)}
        for statement in statements:
            pairs.update(statement.features | statement.context)
        contrast = Contrast.of(statements)
        return cls(
            statements,
            mentions,
            weight,
            frozenset(pairs),
            folded,
            frozenset(_WORD.findall(folded)),
            names,
            contrast,
            owners(contrast, statements),
        )

    @property
    def text(self) -> str:
        """All statements."""
        return "\n".join(statement.text for statement in self.statements)

    def lang(self) -> str:
        """The language most of the evidence is in."""
        counts = Counter(statement.lang for statement in self.statements)
        return counts.most_common(1)[0][0] if counts else "zh"

    def fit(self, claim: Mapping[str, float], other: Mapping[str, float], *, across: bool) -> float:
        """How much two things are about the same: 1 where all that is known of the claim is said of the other."""
        weight = self.weight
        shared = mass = 0.0
        for feature, mine in claim.items():
            telling = weight.get(feature)
            if telling is None or (across and feature[0] not in "@~&#"):
                continue
            mass += mine * telling
            theirs = other.get(feature)
            if theirs is not None:
                shared += min(mine, theirs) * telling
        if not mass:
            return 0.0
        extra = 0.0
        for feature, theirs in other.items():
            if theirs >= _WEIGHTY and feature not in claim and (not across or feature[0] in "@~&#"):
                extra += theirs * weight.get(feature, 0.0)
        return shared / mass - _EXTRA * extra / (extra + shared + 0.01)

    def covered(
        self, claim: Mapping[str, float], have: Iterable[str], *, across: bool, least: float = 0.6
    ) -> float:
        """The share of the claim's weighty features, known or not, that stand in `have`."""
        known = have if isinstance(have, (set, frozenset, dict)) else frozenset(have)
        total = shared = 0.0
        for feature, mine in claim.items():
            if mine < least or (across and feature[0] not in "@~&#"):
                continue
            telling = self.weight.get(feature, _UNKNOWN)
            total += mine * telling
            if feature in known:
                shared += mine * telling
        return shared / total if total else 0.0

    def across(self, claim: Statement, mention: Mention) -> bool:
        """Whether a value of the evidence stands in another language than the claim."""
        return self.statements[mention.statement].lang != claim.lang

    def of_same(self, claim: Statement, mention: Mention) -> int:
        """1 where a value is said of what the claim names, -1 where of others that are set against it, else 0."""
        across = self.across(claim, mention)
        mine = names_in(claim, self.contrast, across=across)
        return relation(mine, self.owners[mention.statement, mention.value.start], across=across)

    def nearest(self, claim: Statement) -> tuple[Statement | None, float]:
        """The statement that says most of what `claim` says, and the share of the claim's features it has."""
        best: tuple[float, float, Statement] | None = None
        for statement in self.statements:
            across = statement.lang != claim.lang
            ours = shared_by_languages(claim.features) if across else claim.features
            theirs = statement.features | statement.context
            theirs = shared_by_languages(theirs) if across else theirs
            mass = sum(map(self._telling, ours))
            if not mass:
                continue
            shared = sum(map(self._telling, ours & theirs))
            score = shared / (mass + 0.3 * sum(map(self._telling, theirs - ours)))
            if best is None or score > best[0]:
                best = (score, shared / mass, statement)
        return (best[2], best[1]) if best else (None, 0.0)

    def _telling(self, feature: str) -> float:
        return self.weight.get(feature, 1.0)

    def clauses(self) -> Iterable[tuple[Statement, Clause]]:
        """Every clause of every statement."""
        for statement in self.statements:
            for clause in statement.clauses:
                yield statement, clause


def _spoken(statements: Iterable[Statement]) -> Iterator[Mapping[str, float]]:
    """What a feature's frequency is counted in: what each value is about, and each sentence without values."""
    for statement in statements:
        if statement.mentions:
            yield from (mention.about for mention in statement.mentions)
        else:
            yield dict.fromkeys(statement.features, 1.0) | dict.fromkeys(statement.context, 0.5)


def read_claim(sentence: str, ground: Ground, heading: str = "") -> Statement:
    """A sentence to be checked."""
    about = features(fold(heading)) if heading else frozenset()
    return read_statement(sentence, -1, about=about, names=ground.names)
