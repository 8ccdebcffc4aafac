"""The facts that answer a question: words and meaning together, then the right row and column of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guardrails.answers.calculation import amount_in, in_range
from guardrails.answers.folding import fold
from guardrails.answers.question import Question, Unit
from guardrails.knowledge.embedding import Vectors
from guardrails.knowledge.extract import split_names
from guardrails.knowledge.fact import EXAMPLE, FAQ, TABLE, Fact

# Where a word was found: the fact itself, the headings above it, the rest of the row, the document's title.
_IN_KEY, _IN_VALUE, _IN_TOPIC, _IN_TITLE = 1.0, 0.8, 0.75, 0.5
_SYNONYM = 0.85
_DENSE_WEIGHT = 4.0
"""e5 puts everything between 0.8 and 0.95: a tenth of its scale is as much as four tenths of the words."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fact folded for comparison."""

    fact: Fact
    key: str
    value: str
    topic: str
    title: str
    row_names: frozenset[str]
    column_names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scored:
    """`coverage`: share of the question's words, by rarity, that the fact has. `dense`: cosine of the meanings."""

    prepared: Prepared
    score: float
    coverage: float
    dense: float

    @property
    def fact(self) -> Fact:
        """The fact itself."""
        return self.prepared.fact


def prepare(fact: Fact) -> Prepared:
    """Fold a fact once, when the index is built."""
    section = fold(fact.source.section)
    if fact.kind == TABLE:
        key, value = fold(f"{fact.row} {fact.column}"), fold(fact.value)
    else:
        key, value = fold(fact.attribute if fact.kind == FAQ else fact.statement), fold(fact.statement)
    return Prepared(
        fact,
        key,
        value,
        section,
        fold(f"{fact.source.title} {fact.topic}"),
        label_names(fact.row),
        label_names(fact.column),
    )


def label_names(label: str) -> frozenset[str]:
    """The names in a row or column head, those in parentheses too, folded."""
    inside = re.findall(r"[(（]([^()（）]+)[)）]", label)
    return frozenset(fold(name) for part in (*label.split(), *inside) for name in split_names(part))


def rank(question: Question, prepared: Sequence[Prepared], dense: Vectors, keep: int = 40) -> list[Scored]:
    """The best facts, best first. `dense`: one cosine a fact."""
    total = sum(unit.weight * unit.rarity for unit in question.units) or 1.0
    middle = float(np.median(dense)) if len(dense) else 0.0
    scored = []
    for entry, cosine in zip(prepared, dense.tolist(), strict=True):
        coverage = sum(unit.weight * unit.rarity * found(unit, entry) for unit in question.units) / total
        penalty = 0.12 if entry.fact.kind == EXAMPLE else -0.06 if entry.fact.kind == TABLE else 0.0
        score = (
            coverage + _DENSE_WEIGHT * (cosine - middle) + kind_bonus(question.folded, entry.value) - penalty
        )
        scored.append(Scored(entry, score, coverage, cosine))
    scored.sort(key=lambda one: -one.score)
    return fitting(question, scored[: 4 * keep])[:keep]


_KINDS = (
    (
        re.compile(r"多少钱|几块|多少元|费用|要钱|how much|cost|\bfee\b"),
        re.compile(r"\d\s*(?:元|美元|%)|免|rmb|usd|free|万分之|0"),
    ),
    (
        re.compile(r"多久|几天|多少天|几个?工作日|几个?月|多长|何时|什么时候|how long|how many days|when"),
        re.compile(r"天|日|月|年|小时|即时|实时|day|month|hour|year"),
    ),
    (
        re.compile(r"利率|费率|比例|百分之|百分比|\brate\b|per ?cent"),
        re.compile(r"%|万分之|千分之|‰|百分之|成"),
    ),
    (re.compile(r"电话|热线|号码|phone|number|hotline"), re.compile(r"\d{5,}|\d{3,4}-\d{3,4}")),
    (re.compile(r"几点|营业时间|what time|hours"), re.compile(r"\d{1,2}:\d{2}|24小时|\d点")),
    (re.compile(r"几次|多少次|几笔|几张|几个|how many"), re.compile(r"\d|[一二三四五六七八九十]")),
)


def kind_bonus(question: str, value: str) -> float:
    """A fact with the kind of value that is asked for is likelier the answer; one without it less likely."""
    for asks, answers in _KINDS:
        if asks.search(question):
            return 0.12 if answers.search(value) else -0.15
    return 0.0


def found(unit: Unit, entry: Prepared) -> float:
    """How well a fact has a word: 1 in its key, less in its surroundings, less as a synonym, 0 if not at all."""
    best = 0.0
    for position, word in enumerate(unit.words):
        share = 1.0 if position == 0 else _SYNONYM
        if word in entry.key:
            value = _IN_KEY
        elif word in entry.value:
            value = _IN_VALUE
        elif word in entry.topic:
            value = _IN_TOPIC
        elif word in entry.title:
            value = _IN_TITLE
        else:
            continue
        best = max(best, share * value)
        if best == 1.0:
            break
    return best


def fitting(question: Question, scored: Sequence[Scored]) -> list[Scored]:
    """Without the rows and columns of other names than those asked for, where the table has those asked for."""
    wanted: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    tables: dict[str, list[Prepared]] = {}
    for one in scored:
        if one.fact.table:
            tables.setdefault(one.fact.table, []).append(one.prepared)
    for table, cells in tables.items():
        rows = rank_names(question, [cell.row_names for cell in cells])
        columns = rank_names(question, [cell.column_names for cell in cells])
        wanted[table] = rows, columns
    kept = []
    money = amount_in(question.folded)
    for one in scored:
        if money is not None and in_range(one.fact.row, money) is False:
            continue
        rows, columns = wanted.get(one.fact.table, (frozenset(), frozenset()))
        if (not rows or rows & one.prepared.row_names) and (
            not columns or columns & one.prepared.column_names
        ):
            kept.append(one)
    return kept


def rank_names(question: Question, labels: Sequence[frozenset[str]]) -> frozenset[str]:
    """The names of a dimension that the question mentions; of partial ones only where no label has the whole."""
    every = frozenset().union(*labels) if labels else frozenset()
    chosen: set[str] = set()
    for name in question.names:
        if name in every:
            chosen.add(name)
        elif len(name) > 2:
            chosen.update(label for label in every if name in label)
    return frozenset(chosen)
