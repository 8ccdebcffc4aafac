"""Whether the documents have the answer: not how alike question and fact are, but whether what is asked is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from guardrails.answers.question import Question
from guardrails.answers.select import Scored, found


@dataclass(frozen=True, slots=True)
class Gate:
    """Thresholds, one set a language: benchmarks/answer_gate.py calibrates them.

    `coverage`: share of the question's words, by rarity, that the facts must have. `sure`: from there on the
    facts are quoted instead of being rewritten by a model. `foreign`: below it the question is of another field.
    """

    coverage_zh: float = 0.5
    sure_zh: float = 0.5
    foreign_zh: float = 0.15
    coverage_en: float = 0.5
    sure_en: float = 0.5
    foreign_en: float = 0.15

    @classmethod
    def of(cls, overrides: Mapping[str, float] | None) -> Gate:
        """With a policy's own numbers. Raises ValueError for a name there is not."""
        known = {field.name for field in fields(cls)}
        unknown = set(overrides or ()) - known
        if unknown:
            raise ValueError(f"unknown thresholds {sorted(unknown)}; known: {sorted(known)}")
        return replace(cls(), **dict(overrides or {}))


@dataclass(frozen=True, slots=True)
class Judgement:
    """`confidence` is the share of the question that the facts cover, 0 to 1."""

    answerable: bool
    sure: bool
    foreign: bool
    confidence: float
    reason: str


def judge(question: Question, ranked: Sequence[Scored], gate: Gate) -> Judgement:
    """Enough, or not."""
    covered = sufficiency(question, ranked)
    zh = question.lang == "zh"
    needed, sure, foreign = (
        (gate.coverage_zh, gate.sure_zh, gate.foreign_zh) if zh else (gate.coverage_en, gate.sure_en, gate.foreign_en)
    )
    if not question.units or covered < needed:
        return Judgement(False, False, covered < foreign, covered, "not_in_documents")
    return Judgement(True, covered >= sure, False, covered, "documents")


def sufficiency(question: Question, ranked: Sequence[Scored]) -> float:
    """Share of the question's words, weighed by rarity, that the best fact and its close rivals have together."""
    if not ranked or not question.units:
        return 0.0
    near = [one for one in ranked[:5] if one.score >= ranked[0].score - 0.1]
    total = sum(unit.weight * unit.rarity for unit in question.units)
    have = sum(
        unit.weight * unit.rarity * max(found(unit, one.prepared) for one in near) for unit in question.units
    )
    return have / total if total else 0.0
