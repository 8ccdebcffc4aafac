"""Whether the data agrees with itself: no question with two answers, one label a question, the documents' words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from adapters.training.data.checked_rows import CheckedRow
from adapters.training.data.measure import CONSISTENCY, MAX_EXAMPLES, Bars, Measure, share
from adapters.training.data.minhash import NearTexts, folded
from adapters.training.data.policy_source import PolicySource
from guardrails.answers.glossary import read_glossary

LABELS = ("intent", "label", "kind")
_CUT = ("，", "、", "：", ",", ":", "（", "(", "《", "“", "-")
_BRACKETS = (("（", "）"), ("(", ")"), ("《", "》"), ("“", "”"))


def consistency(rows: Sequence[CheckedRow], source: PolicySource, bars: Bars) -> tuple[Measure, ...]:
    """The measures of the rows among themselves. Raises PolicyProblem for a wrong glossary."""
    whole = Counter((row.key, row.answer) for row in rows)
    repeated = sum(whole.values()) - len(whole)
    near = NearTexts()
    said = {(row.key, row.answer): f"{row.question}\n{row.answer}" for row in rows}
    fresh = sum(near.is_new(text) for text in said.values())
    conflicts = _conflicts(rows)
    labels = _label_conflicts(rows)
    cut = [row for row in rows if is_cut(row.answer)]
    foreign = _foreign_terms(rows, source)
    shapes = Counter(row.shape.value for row in rows)
    systems = Counter(row.turns[0][1] if row.turns[0][0] == "system" else "" for row in rows)
    return (
        _most("conflicting answers", len(conflicts), bars.conflicting_answers,
              "Questions, with all that came before them, that have different answers.", conflicts),
        _most("conflicting labels", len(labels), bars.conflicting_labels,
              f"Questions with different values of {', '.join(LABELS)}.", labels),
        _most("words the documents do not use", share(len(foreign), len(rows)), bars.foreign_terms,
              "Answers with a word of the glossary for which the documents have another.", foreign, is_share=True),
        _most("truncated answers", share(len(cut), len(rows)), bars.truncated,
              "Answers that end in the middle: after a comma, or with a bracket open.",
              [f"line {row.line}: …{row.answer[-60:]}" for row in cut], is_share=True),
        _most("exact duplicates", share(repeated, len(rows)), bars.exact_duplicates,
              "Rows that are there already.", [key for key, count in whole.items() if count > 1], is_share=True),
        _told("near duplicates", share(len(whole) - fresh, len(rows)), "Rows nearly the same as an earlier one."),
        _told("shapes", len(shapes), ", ".join(f"{name} {count}" for name, count in sorted(shapes.items())),
              is_share=False),
        _told("system messages", len(systems), "Different ones, none counting as one.", is_share=False,
              examples=[f"{count} rows: {text or '(none)'}" for text, count in systems.most_common(5)]),
    )  # fmt: skip


def _most(
    name: str, value: float, bar: float, note: str, examples: Sequence[object], is_share: bool = False
) -> Measure:
    return Measure(name, CONSISTENCY, value, bar, False, is_share, note, _shown(examples))


def _told(
    name: str, value: float, note: str, *, is_share: bool = True, examples: Sequence[object] = ()
) -> Measure:
    return Measure(name, CONSISTENCY, value, is_share=is_share, note=note, examples=_shown(examples))


def _shown(examples: Sequence[object]) -> tuple[str, ...]:
    texts = (" → ".join(one) if isinstance(one, tuple) else str(one) for one in examples[:MAX_EXAMPLES])
    return tuple(text[-400:].replace("\x1e", " / ") for text in texts)


def is_cut(answer: str) -> bool:
    """Whether an answer ends in the middle of a sentence, as far as its marks tell."""
    text = answer.rstrip()
    return text.endswith(_CUT) or any(text.count(opened) > text.count(ends) for opened, ends in _BRACKETS)


def _conflicts(rows: Sequence[CheckedRow]) -> list[str]:
    answers: dict[str, dict[str, CheckedRow]] = defaultdict(dict)
    for row in rows:
        answers[row.key].setdefault(" ".join(row.answer.split()).casefold(), row)
    return [
        f"lines {', '.join(str(row.line) for row in found.values())}: "
        f"{next(iter(found.values())).question[-100:]} → {' ≠ '.join(row.answer[:100] for row in found.values())}"
        for found in answers.values()
        if len(found) > 1
    ]


def _label_conflicts(rows: Sequence[CheckedRow]) -> list[str]:
    labels: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for name in LABELS:
            if isinstance(value := row.rest.get(name), str):
                labels[name, row.key].add(value)
    return [
        f"{name}: {key[-100:]} → {' ≠ '.join(sorted(found))}"
        for (name, key), found in labels.items()
        if len(found) > 1
    ]


def _foreign_terms(rows: Sequence[CheckedRow], source: PolicySource) -> list[str]:
    """Answers with a word of a glossary's group that the documents never use, though they use another of it."""
    glossary = read_glossary(source.folder / "glossary.yaml")
    documents = "\n".join(folded(f"{fact.statement} {fact.topic}") for fact in source.knowledge.facts)
    foreign: list[tuple[str, str]] = []
    for group in glossary.synonyms:
        words = [folded(word) for word in group]
        own = [word for word in words if word in documents]
        foreign += [(word, own[0]) for word in words if own and word not in documents]
    found = []
    for row in rows:
        answer = folded(row.answer)
        for word, own_word in foreign:
            if word in answer:
                found.append(f"line {row.line}: {word}, the documents say {own_word}")
                break
    return found
