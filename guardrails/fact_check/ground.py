"""The evidence of one answer, read once; sentences are checked against it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from guardrails.fact_check.features import notions
from guardrails.fact_check.statement import (
    Evidence,
    FactLike,
    Mention,
    Statement,
    read_evidence,
    read_statement,
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Statements, every value in them, and how telling each feature is among them."""

    statements: tuple[Statement, ...]
    mentions: tuple[Mention, ...]
    weight: dict[str, float]
    text: str

    @classmethod
    def read(cls, evidence: Sequence[Evidence | FactLike | str]) -> Ground:
        """The ground that `evidence` gives."""
        statements = read_evidence(evidence)
        mentions = tuple(mention for statement in statements for mention in statement.mentions)
        seen: Counter[str] = Counter()
        for mention in mentions:
            seen.update(mention.about.keys())
        total = max(1, len(mentions))
        weight = {one: math.log(1 + total / count) for one, count in seen.items()}
        return cls(statements, mentions, weight, "\n".join(statement.text for statement in statements))

    def telling(self, feature: str) -> float:
        """How much a feature tells one value of the evidence from another."""
        return self.weight.get(feature, math.log(1 + max(1, len(self.mentions))))

    def likeness(self, claim: Mention, other: Mention, *, across: bool) -> float:
        """0 to 1: how much two values are about the same."""
        return _likeness(claim.about, other.about, self, across)

    def coverage(self, claim: Mention, statement: Statement, *, across: bool) -> float:
        """The share of what the claimed value is about that the statement speaks of."""
        have = statement.features | statement.context
        if across:
            have = notions(have)
        wanted = {f: w for f, w in claim.about.items() if not across or f[0] == "@"}
        total = sum(wanted.values())
        if not total:
            return 1.0 if across else 0.5
        return sum(w for f, w in wanted.items() if f in have) / total

    def nearest(self, claim: Statement) -> tuple[Statement | None, float]:
        """The statement that says most of what `claim` says, and the share of the claim's features it has."""
        best: tuple[float, float, Statement] | None = None
        for statement in self.statements:
            across = statement.lang != claim.lang
            ours = notions(claim.features) if across else claim.features
            theirs = statement.features | statement.context
            theirs = notions(theirs) if across else theirs
            mass = sum(map(self.telling, ours))
            shared = sum(map(self.telling, ours & theirs))
            if not mass:
                continue
            union = mass + sum(map(self.telling, theirs - ours)) * 0.3
            score = shared / union
            if best is None or score > best[0]:
                best = (score, shared / mass, statement)
        return (best[2], best[1]) if best else (None, 0.0)


def read_claim(sentence: str, heading: str = "") -> Statement:
    """A sentence to be checked."""
    return read_statement(sentence, -1, about=heading)


def _likeness(ours: dict[str, float], theirs: dict[str, float], ground: Ground, across: bool) -> float:
    shared = mine = other = 0.0
    for feature, weight in ours.items():
        if across and feature[0] != "@":
            continue
        telling = ground.telling(feature)
        mine += weight * telling
        if feature in theirs:
            shared += min(weight, theirs[feature]) * telling
    for feature, weight in theirs.items():
        if not across or feature[0] == "@":
            other += weight * ground.telling(feature)
    return shared / math.sqrt(mine * other) if mine and other else 0.0
