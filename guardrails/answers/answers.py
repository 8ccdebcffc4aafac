"""The knowledge base at work: from a conversation to an approved answer, facts to ground one on, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from guardrails.answers.calculation import calculate, formulas
from guardrails.answers.compose import approved_text, chosen_facts, citation
from guardrails.answers.folding import well_formed
from guardrails.answers.gate import Gate, Judgement, judge
from guardrails.answers.glossary import read_glossary
from guardrails.answers.greeting import only_greets
from guardrails.answers.grounding import grounded_messages
from guardrails.answers.lexicon import Lexicon, build_lexicon
from guardrails.answers.question import Question, understand
from guardrails.answers.select import Index, Scored, rank
from guardrails.answers.vocabulary import Vocabulary, build_vocabulary
from guardrails.answers.worked_sum import Calculation
from guardrails.fact_check.stream import FactStream
from guardrails.knowledge.embedding import E5Embedder, Embedder, Vectors, embed_passages
from guardrails.knowledge.fact import EXAMPLE, Fact, Knowledge
from guardrails.knowledge.kept import kept_knowledge
from guardrails.message import Message

APPROVED = "approved"
GROUNDED = "grounded"
UNKNOWN = "unknown"
OUT_OF_DOMAIN = "out_of_domain"
GREETING = "greeting"
"""The reason of a draft for which the chain has a text of its own."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the documents give for one question."""

    kind: str
    reason: str
    text: str = ""
    facts: tuple[Fact, ...] = ()
    confidence: float = 0.0
    citations: tuple[str, ...] = ()


class Answers:
    """An index of one knowledge folder. Pickles without the embedding model, which each process opens itself."""

    def __init__(
        self, knowledge: Knowledge, vectors: Vectors, lexicon: Lexicon, vocabulary: Vocabulary, gate: Gate
    ) -> None:
        self.knowledge = knowledge
        self._gate = gate
        self.index = Index(knowledge.facts, lexicon, vectors)
        self._vocabulary = vocabulary
        self._formulas = formulas(knowledge.facts)
        self._embedder: Embedder | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_embedder": None}

    def respond(self, messages: Sequence[Message], lang: str) -> Draft:
        """The answer to the last question. About 30 ms, most of it the embedding: not for the event loop."""
        if messages and only_greets(messages[-1].content):
            return Draft(OUT_OF_DOMAIN, GREETING)
        question, ranked = self.search(messages)
        verdict = self.judged(question, ranked)
        if not verdict.answerable:
            kind = OUT_OF_DOMAIN if verdict.foreign else UNKNOWN
            return Draft(kind, verdict.reason, confidence=verdict.confidence)
        facts = chosen_facts(question, ranked, self.index.prepared)
        calculation = self._calculation(question, ranked)
        if calculation and calculation.basis not in facts:
            facts = (calculation.basis, *facts)
        text = approved_text(facts, calculation, lang)
        citations = tuple(dict.fromkeys(citation(fact, lang) for fact in facts))
        kind = APPROVED if verdict.sure else GROUNDED
        return Draft(kind, verdict.reason, text, facts, verdict.confidence, citations)

    def search(self, messages: Sequence[Message]) -> tuple[Question, list[Scored]]:
        """The last question as understood, and the facts that fit it, best first."""
        question = understand(messages, self.index.lexicon, self._nearest)
        asked = _whole_question(messages, question)
        if not self.index.prepared:
            return question, []
        dense = self.index.vectors @ self._model().queries([asked])[0]
        return question, rank(question, self.index, dense)

    def _nearest(self, words: Sequence[str]) -> Mapping[str, tuple[tuple[str, float], ...]]:
        return self._vocabulary.nearest(words, self._model())

    def _model(self) -> Embedder:
        if self._embedder is None:
            self._embedder = E5Embedder()
        return self._embedder

    def judged(self, question: Question, ranked: Sequence[Scored]) -> Judgement:
        """Whether the facts are enough for an answer."""
        return judge(question, ranked, self.index, self._gate)

    def _calculation(self, question: Question, ranked: Sequence[Scored]) -> Calculation | None:
        return calculate(
            question, [one.fact for one in ranked], self._formulas, self._row_of, self.index.about
        )

    def _row_of(self, fact: Fact) -> tuple[Fact, ...]:
        if not fact.table:
            return ()
        return tuple(
            one
            for one in self.knowledge.facts
            if one.table == fact.table and one.row == fact.row and one.id != fact.id
        )

    def ground(self, reply: Draft, messages: Sequence[Message], lang: str) -> tuple[Message, ...]:
        """The engine's short prompt."""
        return grounded_messages(reply.facts, messages, lang)

    def nearest(self, messages: Sequence[Message], lang: str, count: int) -> tuple[str, ...]:
        """What the documents can say that is close to the question, as short topics."""
        _, ranked = self.search(messages)
        topics = (_topic(one.fact) for one in ranked if one.fact.kind != EXAMPLE)
        return tuple(dict.fromkeys(topic for topic in topics if topic))[:count]

    def topics(self, lang: str) -> tuple[str, ...]:
        """The documents' titles."""
        return self.knowledge.titles

    def open(self, reply: Draft, lang: str) -> FactStream:
        """The fact check of an answer that an engine writes from `reply`."""
        return FactStream(reply.facts, lang)


def _topic(fact: Fact) -> str:
    if fact.row:
        return f"{fact.row} {fact.column}".strip()
    return fact.attribute or fact.topic.split(" ")[0]


def _whole_question(messages: Sequence[Message], question: Question) -> str:
    """The question's text; one that leans on an earlier one, together with that."""
    asked = [message.content for message in messages if message.role == "user"]
    text = f"{asked[-2]} {asked[-1]}" if question.follows_up and len(asked) > 1 else question.text
    return well_formed(text[:400])


def load_answers(
    folder: Path, *, today: date, cache: Path | None = None, thresholds: Mapping[str, float] | None = None
) -> Answers | None:
    """Read `folder/knowledge` and `folder/glossary.yaml`; None without documents. Raises PolicyProblem, ValueError."""
    documents = folder / "knowledge"
    if not documents.is_dir():
        return None
    kept = cache.with_name(f"{cache.stem}-documents.pickle") if cache else None
    knowledge = kept_knowledge(documents, today, kept)
    for problem in knowledge.problems:
        # Without one of its documents an assistant would say "unknown", or quote the older version.
        raise problem
    if not knowledge.facts:
        return None
    embedder = E5Embedder()
    lexicon = build_lexicon(knowledge.facts, read_glossary(folder / "glossary.yaml"))
    vectors = embed_passages(embedder, [fact.statement for fact in knowledge.facts], cache)
    vocabulary = build_vocabulary(lexicon.texts, embedder, cache)
    return Answers(knowledge, np.ascontiguousarray(vectors), lexicon, vocabulary, Gate.of(thresholds))
