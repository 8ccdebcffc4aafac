"""Whether the data asks about all that the documents say, rare things too, and about what they do not say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import ahocorasick

from adapters.training.data.askable import CELL, Askable
from adapters.training.data.checked_rows import CheckedFile, CheckedRow
from adapters.training.data.measure import COMPLETENESS, MAX_EXAMPLES, Bars, Measure, share
from adapters.training.data.minhash import folded
from adapters.training.data.policy_source import PolicySource

POPULAR = 0.2
_FALLBACKS = ("unknown", "out_of_domain", "handoff_unknown")
_FALLBACK_KINDS = frozenset({"unknown", "out_of_scope", "out_of_domain", "unknown_in_domain"})


class Mentions:
    """Finds which of many names a text has, in one pass."""

    def __init__(self, names: Iterable[str]) -> None:
        self._automaton = ahocorasick.Automaton()
        for name in names:
            if key := folded(name):
                self._automaton.add_word(key, key)
        self._empty = not len(self._automaton)
        if not self._empty:
            self._automaton.make_automaton()

    def of(self, text: str) -> set[str]:
        """The folded names in `text`."""
        return set() if self._empty else {name for _, name in self._automaton.iter(folded(text))}


def completeness(
    file: CheckedFile, source: PolicySource, asked: Sequence[Askable], bars: Bars
) -> tuple[Measure, ...]:
    """The measures of one file against a policy's documents."""
    cells = [one for one in asked if one.kind == CELL]
    wordings = _wordings(file.rows, cells)
    answered = _answered(file.rows, source, cells, wordings)
    covered = sum(len(found) >= bars.wordings for found in wordings.values())
    missing = [
        f"{subject} · {attribute}: {len(found)} wordings"
        for (subject, attribute), found in sorted(wordings.items(), key=lambda pair: len(pair[1]))
        if len(found) < bars.wordings
    ]
    titles = dict.fromkeys(fact.source.title for fact in source.knowledge.facts)
    told = {fact.source.title for fact in source.knowledge.facts if fact.id in answered}
    unanswerable = _unanswerable(file.rows, source)
    rows = len(file.rows)
    facts = len(source.knowledge.facts)
    return (
        _at_least(
            "readable rows",
            share(rows, rows + file.broken),
            bars.readable,
            "All required fields there and not empty.",
            file.problems,
        ),
        _at_least(
            "products and attributes covered",
            share(covered, len(wordings)) if wordings else 1.0,
            bars.coverage,
            f"{covered} of {len(wordings)} pairs of the documents' tables asked in {bars.wordings} wordings or more.",
            missing,
        ),
        _at_least(
            "documents covered",
            share(len(told), len(titles)) if titles else 1.0,
            bars.documents,
            "Documents with at least one answered fact.",
            [title for title in titles if title not in told],
        ),
        Measure(
            "facts answered", COMPLETENESS, share(len(answered), facts), is_share=True,
            note=f"{len(answered)} of {facts} facts.",
            examples=tuple(
                fact.statement for fact in source.knowledge.facts if fact.id not in answered
            )[:MAX_EXAMPLES],
        ),
        _at_least(
            "long tail",
            _long_tail(wordings),
            bars.long_tail,
            "Wordings on pairs outside the most asked fifth, of all wordings on pairs.",
        ),
        _at_least(
            "questions without an answer",
            share(unanswerable, rows),
            bars.unanswerable,
            "Rows that say they cannot know: out of scope, or not in the documents.",
        ),
    )  # fmt: skip


def _at_least(name: str, value: float, bar: float, note: str, examples: Sequence[str] = ()) -> Measure:
    return Measure(name, COMPLETENESS, value, bar, True, True, note, tuple(examples)[:MAX_EXAMPLES])


def _wordings(rows: Sequence[CheckedRow], cells: Sequence[Askable]) -> dict[tuple[str, str], set[int]]:
    """Pair of product and attribute → marks of the different questions that name both."""
    pairs: dict[str, dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    found: dict[tuple[str, str], set[int]] = {}
    for one in cells:
        pair = one.subject, one.attribute
        if pair not in found:
            found[pair] = set()
            pairs[folded(one.subject)][folded(one.attribute)].append(pair)
    mentions = Mentions(name for pair in found for name in pair)
    for row in rows:
        question = row.question
        names = mentions.of(question)
        mark = hash(folded(question))
        for subject in names & pairs.keys():
            for attribute in names & pairs[subject].keys():
                for pair in pairs[subject][attribute]:
                    found[pair].add(mark)
    return found


def _answered(
    rows: Sequence[CheckedRow],
    source: PolicySource,
    cells: Sequence[Askable],
    wordings: dict[tuple[str, str], set[int]],
) -> set[str]:
    """Ids of the facts that rows name, quote, or ask for as a cell."""
    known = {fact.id for fact in source.knowledge.facts}
    by_statement: dict[str, list[str]] = defaultdict(list)
    for fact in source.knowledge.facts:
        by_statement[folded(fact.statement)].append(fact.id)
    quotes = Mentions(by_statement)
    found: set[str] = set()
    for answer in {row.answer for row in rows}:
        for statement in quotes.of(answer):
            found.update(by_statement[statement])
    for row in rows:
        named = row.rest.get("facts")
        if isinstance(named, list):
            found.update(known.intersection(one for one in named if isinstance(one, str)))
    for one in cells:
        if wordings[one.subject, one.attribute]:
            found.update(fact.id for fact in one.facts)
    return found


def _long_tail(wordings: dict[tuple[str, str], set[int]]) -> float:
    counts = Counter({pair: len(found) for pair, found in wordings.items() if found})
    popular = sum(count for _, count in counts.most_common(max(1, int(len(counts) * POPULAR))))
    return share(counts.total() - popular, counts.total())


def _unanswerable(rows: Sequence[CheckedRow], source: PolicySource) -> int:
    texts = {folded(source.replies.text(name, lang)) for name in _FALLBACKS for lang in ("zh", "en")}
    return sum(row.rest.get("kind") in _FALLBACK_KINDS or folded(row.answer) in texts for row in rows)
