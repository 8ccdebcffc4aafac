"""Whether the documents have the answer: not how alike question and fact are, but whether what is asked is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from guardrails.answers.question import Question
from guardrails.answers.select import Scored, found

# What only the customer's own account can tell; no document does.
_OWN_DATA = re.compile(
    r"我(?:的|卡里|卡上|账户|账上|名下|这张|那张|这|目前|现在|还)?[^,，。？?]{0,8}(?:余额|还?剩(?:下|余)?(?:多少|几)|还有多少|欠(?:了|着)?多少|到哪(?:了|儿|里)|进度|到账了|通过了(?:吗|没)|批了(?:吗|没)"
    r"|批下来)|(?:查|看)(?:一下|下)?我的?(?:余额|账单|订单|积分|流量|额度)"
    r"|\bmy (?:current |remaining |account |card )*(?:balance|application status|order status|outstanding)|how much (?:do|money do) i (?:have|owe)|status of my"
)


MEANING = 4.0
UNHEARD_RUN = 0.11
"""A noun that no document has takes this from the coverage; the one that is asked for, twice."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Thresholds, one set a language: benchmarks/answer_gate.py calibrates them.

    `coverage`: share of the question's words, by rarity, that the facts must have. `sure`: from there on the
    facts are quoted instead of being rewritten by a model. `foreign`: below it the question is of another field.
    """

    coverage_zh: float = 0.5
    dense_zh: float = 0.88
    dense_en: float = 0.81
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
    zh = question.lang == "zh"
    covered = sufficiency(question, ranked)
    if ranked:
        # Words alone overlook a paraphrase; meaning alone takes the neighbour of what was asked for.
        covered += MEANING * (ranked[0].dense - (gate.dense_zh if zh else gate.dense_en))
        covered -= UNHEARD_RUN * question.unheard
    needed, sure, foreign = (
        (gate.coverage_zh, gate.sure_zh, gate.foreign_zh)
        if zh
        else (gate.coverage_en, gate.sure_en, gate.foreign_en)
    )
    if _OWN_DATA.search(question.folded):
        return Judgement(False, False, False, covered, "own_data")
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
