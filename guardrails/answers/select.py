"""The facts that answer a question: words and meaning together, then the right row and column of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guardrails.answers.amounts import amount_in, in_range
from guardrails.answers.folding import fold, matchable
from guardrails.answers.lexicon import Lexicon, heading_name, label_names
from guardrails.answers.period import is_period
from guardrails.answers.question import Question, Unit, mentions
from guardrails.knowledge.embedding import Vectors
from guardrails.knowledge.fact import EXAMPLE, FAQ, TABLE, Fact

# Where a word was found: the fact itself, the headings above it, the rest of the row, the document's title.
_IN_KEY, _IN_VALUE, _IN_TOPIC, _IN_TITLE = 1.0, 0.8, 0.75, 0.5
KEPT_WORDS = 4096
FIRST_DENSE = 4.0
"""e5 puts everything between 0.8 and 0.95: a tenth of its scale is as much as four tenths of the words."""
CANDIDATES = 160


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fact folded for comparison. `named`: the table names its own text mentions."""

    fact: Fact
    key: str
    value: str
    topic: str
    title: str
    row_names: frozenset[str]
    column_names: frozenset[str]
    named: frozenset[str]
    letters: int
    """Characters of `key` that say something."""


@dataclass(frozen=True, slots=True)
class Scored:
    """`coverage`: share of the question's words, by rarity, that the fact has. `dense`: cosine of the meanings."""

    prepared: Prepared
    score: float
    coverage: float
    dense: float
    meaning: float
    """`dense` in standard deviations above the mean of all facts, which does not depend on the languages."""
    at: int
    signals: Signals

    @property
    def fact(self) -> Fact:
        """The fact itself."""
        return self.prepared.fact


def prepare(fact: Fact, lexicon: Lexicon) -> Prepared:
    """Fold a fact once, when the index is built."""
    if fact.kind == TABLE:
        key, value = f"{fact.row} {fact.column}", fact.value
    else:
        key, value = (fact.attribute if fact.kind == FAQ else fact.statement), fact.statement
    key = matchable(fold(key))
    return Prepared(
        fact,
        key,
        matchable(fold(value)),
        matchable(fold(fact.source.section)),
        matchable(fold(f"{fact.source.title} {fact.topic} {fact.product}")),
        label_names(fact.row),
        label_names(fact.column),
        names_of(fact, lexicon),
        sum(char.isalnum() for char in key),
    )


def names_of(fact: Fact, lexicon: Lexicon) -> frozenset[str]:
    """The names a fact is about or mentions."""
    heading = {heading_name(fact)} - {""}
    labels = label_names(fact.row) | label_names(fact.column)
    return labels | heading | frozenset(mentions(fold(fact.statement), lexicon))


class Index:
    """The facts' words and vectors, ready to be asked. Not for more than MAX_FACTS facts."""

    def __init__(self, facts: Sequence[Fact], lexicon: Lexicon, vectors: Vectors) -> None:
        self.prepared = tuple(prepare(fact, lexicon) for fact in facts)
        self.lexicon = lexicon
        self.vectors = vectors
        self._words: dict[str, Vectors] = {}
        self._about: dict[str, frozenset[str]] = {}
        for entry in self.prepared:
            known = self._about.get(entry.fact.source.doc_id, frozenset())
            self._about[entry.fact.source.doc_id] = known | entry.named

    def about(self, fact: Fact) -> frozenset[str]:
        """The names that the fact's document mentions."""
        return self._about.get(fact.source.doc_id, frozenset())

    def found(self, unit: Unit) -> Vectors:
        """How well each fact has a word: 1 in its key, less in its surroundings, less as a synonym, 0 if not at all."""
        best = np.zeros(len(self.prepared), np.float32)
        for word, share in unit.ways:
            np.maximum(best, share * self._found(word), out=best)
        return best

    def _found(self, word: str) -> Vectors:
        known = self._words.get(word)
        if known is None:
            known = np.fromiter(
                (_place(word, entry) for entry in self.prepared), np.float32, len(self.prepared)
            )
            if len(self._words) < KEPT_WORDS:
                self._words[word] = known
        return known

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_words": {}}


def _place(word: str, entry: Prepared) -> float:
    if word in entry.key:
        return _IN_KEY
    if word in entry.value:
        return _IN_VALUE
    if word in entry.topic:
        return _IN_TOPIC
    return _IN_TITLE if word in entry.title else 0.0


def rank(question: Question, index: Index, dense: Vectors, keep: int = 40) -> list[Scored]:
    """The best facts, best first. `dense`: one cosine a fact."""
    prepared = index.prepared
    total = sum(unit.weight * unit.rarity for unit in question.units) or 1.0
    coverage = np.zeros(len(prepared), np.float32)
    for unit in question.units:
        coverage += unit.weight * unit.rarity / total * index.found(unit)
    meaning = (dense - dense.mean()) / max(float(dense.std()), 1e-6)
    first = coverage + FIRST_DENSE * dense
    likely = np.argsort(-first, kind="stable")[:CANDIDATES].tolist()
    strangers = _strangers(question, index.lexicon)
    scored = []
    for at in likely:
        signals = signals_of(
            question,
            prepared[at],
            float(coverage[at]),
            float(dense[at]),
            strangers,
            index.about(prepared[at].fact),
        )
        scored.append(
            Scored(
                prepared[at],
                signals.score(),
                float(coverage[at]),
                float(dense[at]),
                float(meaning[at]),
                at,
                signals,
            )
        )
    scored.sort(key=lambda one: -one.score)
    return fitting(question, scored)[:keep]


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for a fact, each about 0 to 1. `weights` is what each counts: benchmarks/answer_weights.py."""

    coverage: float
    in_key: float
    dense: float
    precision: float
    kind: float
    example: float
    period: float
    named: float
    both_named: float
    length: float
    stranger: float
    documented: float

    def score(self) -> float:
        """Logarithm of the odds that this fact is the answer, up to a constant of the question."""
        values = (getattr(self, name) for name in SIGNALS)
        return float(sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True)))


SIGNALS = (
    "coverage", "in_key", "dense", "precision", "kind", "example", "period", "named", "both_named", "length", "stranger",
    "documented",
)  # fmt: skip
WEIGHTS = (6.0, 2.3, 65.0, 2.8, 3.0, -0.7, 0.8, 0.3, 1.6, 1.7, -0.2, 1.0)
"""Fitted on examples/bank/evaluation/questions_tune.jsonl by benchmarks/answer_weights.py."""


def signals_of(
    question: Question,
    entry: Prepared,
    coverage: float,
    dense: float,
    strangers: frozenset[str],
    about: frozenset[str],
) -> Signals:
    """Compare one fact with the question. `about`: the names its whole document mentions."""
    total = sum(unit.weight * unit.rarity for unit in question.units) or 1.0
    covered = bytearray(len(entry.key))
    in_key, period = 0.0, 0.0
    for unit in question.units:
        best = 0.0
        for word, share in unit.ways:
            place = entry.key.find(word)
            if place < 0:
                continue
            best = max(best, share)
            covered[place : place + len(word)] = b"\1" * len(word)
            if is_period(unit.word):
                period = 1.0
        in_key += unit.weight * unit.rarity / total * best
    named = set(question.names)
    return Signals(
        coverage,
        in_key,
        dense,
        sum(covered) / max(1, entry.letters),
        kind_bonus(question.folded, entry.value),
        float(entry.fact.kind == EXAMPLE),
        period,
        len(entry.named & named) / len(named) if named else 0.0,
        float(bool(entry.row_names & named) and bool(entry.column_names & named)),
        min(len(entry.fact.statement), 100) / 100,
        float(bool(strangers and entry.named & strangers and not entry.named & named)),
        len(about & named) / len(named) if named else 1.0,
    )


def _strangers(question: Question, lexicon: Lexicon) -> frozenset[str]:
    """The names that stand beside those asked for: what holds for them alone is no answer."""
    found = [lexicon.siblings.get(name, frozenset()) for name in question.names]
    return frozenset().union(*found) - frozenset(question.names)


_KINDS = (
    (
        re.compile(r"多少钱|几块|多少元|费用|要钱|how much|cost|\bfee\b"),
        re.compile(r"\d\s*(?:元|美元|%)|免|rmb|usd|free|万分之|0"),
    ),
    (
        re.compile(r"多久|几天|多少天|几个?工作日|几个?月|多长|何时|什么时候|how long|how many days|when"),
        re.compile(r"天|日|月|年|小时|即时|实时|\d{1,2}:\d{2}|day|month|hour|year"),
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
