"""Whether the documents have the answer: not how alike question and fact are, but whether what is asked is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import exp

from guardrails.answers.lexicon import Lexicon
from guardrails.answers.period import is_period
from guardrails.answers.question import KNOWN, NOUN, VERB, Question
from guardrails.answers.select import Index, Scored
from guardrails.answers.vocabulary import NEAR

# What only the customer's own account can tell; no document does.
_OWN_DATA = re.compile(
    r"我(?:的|卡里|卡上|账户|账上|名下|这张|那张|这|目前|现在|还)?[^,，。？?]{0,8}(?:余额|还?剩(?:下|余)?(?:多少|几)|还有多少|欠(?:了|着)?多少|到哪(?:了|儿|里)|进度|到账了|通过了(?:吗|没)|批了(?:吗|没)"
    r"|批下来)|(?:查|看)(?:一下|下)?我(?:的|这)?[^,，。？?]{0,4}(?:余额|账单|订单|积分|流量|额度|话费)"
    r"|我(?:这个|上个|本|上)月[^,，。？?]{0,8}(?:多少|几)|我名下[^,，。？?]{0,6}(?:几|多少|哪)|我(?:的)?[^,，。？?]{0,6}(?:是几号|是多少|是哪天)"
    r"|\bmy (?:current |remaining |account |card )*(?:balance|application status|order status|outstanding)|how much (?:do|money do) i (?:have|owe)|status of my"
)
_FAMILY = re.compile(r"([a-z\u3400-\u9fff]{2,}?) ?(\d+)")


def other_variant(question: Question, lexicon: Lexicon) -> bool:
    """Whether a product is named as the documents name theirs, but with a number none of theirs has."""
    families: dict[str, set[str]] = {}
    for name in lexicon.names:
        if found := _FAMILY.fullmatch(name):
            families.setdefault(found[1], set()).add(found[2])
    for family, numbers in families.items():
        asked = set(re.findall(rf"{re.escape(family)} ?(\d+)", question.folded))
        if len(numbers) > 1 and asked and not asked & numbers:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Gate:
    """Thresholds, one set a language: benchmarks/answer_weights.py calibrates them on the questions to tune on.

    All are probabilities that the documents answer the question. `answer`: needed for an answer. `sure`: from there
    on the facts are quoted instead of being rewritten by a model. `foreign`: below it the question is of another
    field.
    """

    answer_zh: float = 0.38
    sure_zh: float = 0.38
    foreign_zh: float = 0.1
    answer_en: float = 0.38
    sure_en: float = 0.38
    foreign_en: float = 0.1

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
    """`confidence` is the probability that the documents answer the question."""

    answerable: bool
    sure: bool
    foreign: bool
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer being there, each about -1 to 1.

    Not how alike question and fact are, but whether what is asked is there: `sufficiency` is the share of the
    question's words, by rarity, that the best facts have together; `noun`, `verb` count words no document has, `_near`
    those of them that come close to one; `missing` is the rarest word that documents have and the best facts do not;
    `other_period` that the best fact is of another period than asked.
    """

    sufficiency: float
    coverage: float
    dense: float
    meaning: float
    precision: float
    kind: float
    noun: float
    noun_near: float
    verb: float
    verb_near: float
    missing: float
    other_period: float
    named: float
    margin: float
    in_key: float
    rarest: float
    length: float
    words: float

    def probability(self, lang: str) -> float:
        """That the documents answer the question."""
        values = (getattr(self, field.name) for field in fields(self))
        odds = BIAS[lang] + sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True))
        return 1 / (1 + exp(-odds))


WEIGHTS = (
    0.27, 0.7, 2.03, -0.09, 1.25, 0.35, -1.12, -0.23, -0.59,
    -0.23, 0.65, 0.46, -0.06, 1.48, 0.19, -1.49, 2.67, 1.88,
)  # fmt: skip
BIAS = {"zh": -2.75, "en": -4.46}
"""Fitted on examples/bank/evaluation/questions_tune.jsonl by benchmarks/answer_weights.py."""
CROSS, SAME_ZH, SAME_EN = 0.81, 0.90, 0.86
"""Where e5's cosine of a question and its answer lies: across languages, in Chinese, in English."""
NEAR_SCORE = 1.0
"""Facts this close to the best one, in log odds, may hold the rest of what was asked."""


def judge(question: Question, ranked: Sequence[Scored], index: Index, gate: Gate) -> Judgement:
    """Enough, or not."""
    if reason := hard_reason(question, index.lexicon):
        return Judgement(False, False, False, 0.0, reason)
    if not question.units or not ranked:
        return Judgement(False, False, True, 0.0, "not_in_documents")
    zh = question.lang == "zh"
    chance = evidence_of(question, ranked, index).probability(question.lang)
    needed, sure, foreign = (
        (gate.answer_zh, gate.sure_zh, gate.foreign_zh)
        if zh
        else (gate.answer_en, gate.sure_en, gate.foreign_en)
    )
    if chance < needed:
        return Judgement(False, False, chance < foreign, chance, "not_in_documents")
    return Judgement(True, chance >= sure, False, chance, "documents")


def hard_reason(question: Question, lexicon: Lexicon) -> str:
    """Why no document can answer, whatever it says; empty where one may."""
    if _OWN_DATA.search(question.folded):
        return "own_data"
    return "other_product" if other_variant(question, lexicon) else ""


def evidence_of(question: Question, ranked: Sequence[Scored], index: Index) -> Evidence:
    """Weigh the best facts against the question. `ranked` and the question's units must not be empty."""
    best = ranked[0]
    places = [one.at for one in ranked[:6] if one.score >= best.score - NEAR_SCORE]
    total = sum(unit.weight * unit.rarity for unit in question.units)
    have = missing = other_period = rarest = 0.0
    strange = dict.fromkeys((f"{sort}{near}" for sort in (NOUN, VERB) for near in ("", "_near")), 0.0)
    for unit in question.units:
        found = index.found(unit)
        here = float(found[places].max())
        have += unit.weight * unit.rarity * here
        if not here and float(found.max()) > 0:
            missing = max(missing, unit.weight * unit.rarity)
        if unit.weight == 1:
            rarest = max(rarest, unit.rarity * (1 - float(found[best.at])))
        if is_period(unit.word) and unit.weight == 1:
            text = f"{best.prepared.key} {best.prepared.value}"
            other_period = max(other_period, float(not any(word in text for word, _ in unit.ways)))
        if unit.sort != KNOWN and unit.weight >= 0.5:
            sort = NOUN if unit.sort == NOUN else VERB
            strange[f"{sort}_near" if unit.near >= NEAR else sort] += unit.weight
    tenth = ranked[9].score if len(ranked) > 9 else best.score - 3
    signals = best.signals
    return Evidence(
        have / total if total else 0.0,
        best.coverage,
        (best.dense - usual_cosine(question.lang, best.fact.lang)) * 10,
        best.meaning / 3 - 1,
        signals.precision,
        signals.kind * 8,
        min(strange["noun"], 2.0),
        min(strange["noun_near"], 2.0),
        min(strange["verb"], 2.0),
        min(strange["verb_near"], 2.0),
        missing / 4,
        other_period,
        signals.named,
        (best.score - tenth) / 3,
        signals.in_key,
        rarest / 4,
        min(len(question.folded), 60) / 60,
        min(len(question.units), 15) / 15,
    )


def usual_cosine(asked: str, written: str) -> float:
    """Where the cosine of a question in one language and its answer in another usually lies."""
    return CROSS if asked != written else SAME_ZH if asked == "zh" else SAME_EN
