"""Whether the answers are right: every value against the documents, nothing private, no test question learnt."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from adapters.training.data.checked_rows import CheckedRow
from adapters.training.data.measure import CORRECTNESS, MAX_EXAMPLES, Bars, Measure, share
from adapters.training.data.minhash import NearTexts
from adapters.training.data.policy_source import PolicySource
from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Label
from guardrails.fact_check.sentences import full_sentences
from guardrails.knowledge.fact import Fact
from guardrails.privacy.check import load_privacy
from guardrails.values.parse import parse_values
from guardrails.verdict import Decision

NEAREST = 8
"""Facts a sentence is compared with."""
_PARTS = frozenset({"hotline_line", "nearest", "topics"})
"""Templates that are parts of others."""
_LONGEST = 2_000
"""Characters of a sentence that are looked at."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason why a person should look at a row."""

    line: int
    reason: str
    question: str
    answer: str
    evidence: str

    def row(self) -> dict[str, Any]:
        """As a line of the review file; `verdict`, `reviewer` and `note` are to be filled in."""
        return {
            "line": self.line, "reason": self.reason, "question": self.question, "answer": self.answer,
            "evidence": self.evidence, "verdict": "", "reviewer": "", "note": "",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Correctness:
    """The measures, and the rows for a person to look at."""

    measures: tuple[Measure, ...]
    doubts: tuple[Doubt, ...]


def correctness(
    rows: Sequence[CheckedRow], source: PolicySource, bars: Bars, against: Sequence[CheckedRow] | None = None
) -> Correctness:
    """The measures of `rows`; `against`: rows of the other file of a split. Raises PolicyProblem."""
    values = ValueCheck(source)
    doubts: list[Doubt] = []
    checked = 0
    for row in rows:
        for judged in values.judged(row):
            checked += judged.values
            if judged.reason:
                doubts.append(Doubt(row.line, judged.reason, row.question, row.answer, judged.evidence))
        if (word := _risky(row, values)) is not None:
            doubts.append(Doubt(row.line, "high_risk", row.question, row.answer, word))
    wrong = [doubt for doubt in doubts if doubt.reason == "wrong_value"]
    unproved = [doubt for doubt in doubts if doubt.reason == "unproved_value"]
    risky = [doubt for doubt in doubts if doubt.reason == "high_risk"]
    private = _private(rows, source)
    measures = [
        _measure("wrong values", len(wrong), bars.wrong_values,
                 f"{checked} sentences with values compared with the documents.", _shown(wrong)),
        _measure("values not in the documents", share(len(unproved), checked), bars.unproved_values,
                 "Of the sentences with values.", _shown(unproved), is_share=True),
        _measure("rows with personal data", len(private), bars.private,
                 "Found by the policy's privacy check; `atelier data read` masks it.", private),
        _measure("for a person to look at", len(risky), None,
                 "Answers with a word of promise that is not the documents' own.", _shown(risky)),
    ]  # fmt: skip
    if against is not None:
        leaked = _leaked(rows, against)
        measures.append(
            _measure(
                "questions of the other file",
                len(leaked),
                bars.leaked,
                "The same, or nearly the same, wording.",
                leaked,
            )
        )
    return Correctness(tuple(measures), tuple(doubts))


def _measure(
    name: str, value: float, bar: float | None, note: str, examples: Sequence[str], *, is_share: bool = False
) -> Measure:
    return Measure(name, CORRECTNESS, value, bar, False, is_share, note, tuple(examples[:MAX_EXAMPLES]))


def _shown(doubts: Sequence[Doubt]) -> list[str]:
    return [f"line {one.line}: {one.answer[:200]} ({one.evidence[:200]})" for one in doubts[:MAX_EXAMPLES]]


@dataclass(frozen=True, slots=True)
class Judged:
    """One sentence with values. `reason` is empty where the documents bear it out."""

    values: int
    reason: str = ""
    evidence: str = ""


class ValueCheck:
    """Compares answers with the facts nearest to them; a sentence it has seen is not compared again."""

    def __init__(self, source: PolicySource) -> None:
        self._facts = source.knowledge.facts
        self._by_id = {fact.id: fact for fact in self._facts}
        self._index: dict[str, list[int]] = defaultdict(list)
        for number, fact in enumerate(self._facts):
            for pair in _pairs(f"{fact.topic}{fact.statement}"):
                self._index[pair].append(number)
        self._own = {plain(one) for fact in self._facts for one in _sentences(fact.statement)}
        self._own |= {plain(fact.statement) for fact in self._facts}
        for name in source.replies.templates.keys() - _PARTS:
            for lang in ("zh", "en"):
                self._own |= {plain(one) for one in _sentences(source.replies.text(name, lang))}
        self._seen: dict[tuple[str, tuple[str, ...]], Judged] = {}

    def is_own(self, sentence: str) -> bool:
        """Whether it is the documents' own, or a fixed reply's."""
        return plain(sentence) in self._own

    def judged(self, row: CheckedRow) -> Iterator[Judged]:
        """What the documents say about each sentence with values of the row's answers."""
        named = row.rest.get("facts")
        ids = tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()
        for role, text in row.turns:
            if role != "assistant":
                continue
            for sentence in _sentences(text):
                own = self.is_own(sentence)
                key = sentence, () if own else ids
                if key not in self._seen:
                    self._seen[key] = _told(sentence) if own else self._compared(sentence, ids, "")
                judged = self._seen[key]
                if judged.reason:  # the question's own values need no evidence
                    judged = self._compared(sentence, ids, row.question)
                if judged.values:
                    yield judged

    def _compared(self, sentence: str, ids: Sequence[str], question: str) -> Judged:
        if not _told(sentence).values:
            return Judged(0)
        facts = [self._by_id[one] for one in ids if one in self._by_id]
        facts += [fact for fact in self.nearest(f"{question}{sentence}") if fact not in facts]
        judgement = check_sentence(sentence, Ground.read(facts), question)
        about = [finding for finding in judgement.findings if finding.claimed is not None]
        for label, reason in ((Label.CONTRADICTED, "wrong_value"), (Label.NOT_FOUND, "unproved_value")):
            for finding in about:
                if finding.label is label:
                    return Judged(1, reason, finding.statement or (facts[0].statement if facts else ""))
        return Judged(1)

    def nearest(self, text: str, count: int = NEAREST) -> list[Fact]:
        """The facts that share most with `text`, by pairs of characters weighed by their rarity."""
        scores: Counter[int] = Counter()
        for pair in _pairs(text[:_LONGEST]):
            numbers = self._index.get(pair, ())
            weight = math.log(1 + len(self._facts) / len(numbers)) if numbers else 0.0
            for number in numbers:
                scores[number] += weight  # type: ignore[assignment]
        return [self._facts[number] for number, _ in scores.most_common(count)]


def _told(sentence: str) -> Judged:
    return Judged(1 if parse_values(sentence[:_LONGEST]) else 0)


def plain(text: str) -> str:
    """`text` without white space, width, case and its last mark; every digit and point stays."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip("。.!?;")


def _sentences(text: str) -> Iterator[str]:
    for sentence in full_sentences(text):
        if sentence.strip():
            yield sentence.strip()


def _pairs(text: str) -> set[str]:
    folded = plain(text)
    return {folded[at : at + 2] for at in range(len(folded) - 1)}


@cache
def _risky_words() -> tuple[str, ...]:
    return tuple(
        Path(__file__).with_name("high_risk.txt").read_text(encoding="utf-8").casefold().split("\n")[:-1]
    )


def _risky(row: CheckedRow, values: ValueCheck) -> str | None:
    for sentence in _sentences(row.answer):
        said = sentence.casefold()
        for word in _risky_words():
            if word not in said or values.is_own(sentence):
                continue
            if not any(word in fact.statement.casefold() for fact in values.nearest(sentence, 3)):
                return word
    return None


def _private(rows: Sequence[CheckedRow], source: PolicySource) -> list[str]:
    check = load_privacy(source.folder, source.phones)
    seen: dict[str, bool] = {}
    found = []
    for row in rows:
        for _, text in row.turns:
            if text not in seen:
                seen[text] = check.check(text).decision is not Decision.ALLOW
            if seen[text]:
                found.append(f"line {row.line}: {check.mask(text)[0][-200:]}")
                break
    return found


def _leaked(rows: Sequence[CheckedRow], against: Sequence[CheckedRow]) -> list[str]:
    index = NearTexts()
    theirs = []
    for row in against:
        if index.is_new(row.question):
            theirs.append(row)
    found = []
    for row in rows:
        near = index.find(row.question)
        if near is not None:
            found.append(
                f"line {row.line}: {row.question[-100:]} = line {theirs[near].line}: {theirs[near].question[-100:]}"
            )
    return found
