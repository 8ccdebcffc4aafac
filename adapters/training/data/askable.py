"""What the facts of a knowledge base can be asked, each with the one answer that is right."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from adapters.training.data.wordings import WordingsFile
from guardrails.fact_check.check import check_sentence
from guardrails.fact_check.ground import Ground
from guardrails.fact_check.judgement import Label
from guardrails.knowledge.fact import FAQ, TABLE, Fact
from guardrails.values.compare import same_value
from guardrails.values.parse import parse_values

CELL, CLAUSE, CONDITION, SECTION, QUESTION = "cell", "clause", "condition", "section", "question"
MAX_FACTS = 4
"""What would need more of them is not asked."""
MAX_LEAD = {"zh": 26, "en": 70}
"""Characters of a clause's beginning that still make a question."""
SECTION_FACTS = 3

_LEAD = re.compile(r"^([^，。；：！？,;:!?]{2,90})(?:[，：；]|[,;:]\s)")
_MODAL = re.compile(r"^(.{4,}?)(?:必须|须|应当|不得|不能|可以|按照|同样|(?<![作认因])为(?!了))")
"""Where a Chinese clause has named what it is about and begins to say it."""
_NUMBER = re.compile(r"^[\d.、\s（(【]+")
_TAIL = re.compile(r"(?:的|时)$")
_STOPS = ("。", "！", "？", ".", "!", "?", "”")
_GROUPS = {
    "amount": "amount", "points": "amount", "free": "amount", "rate": "rate", "period": "period", "date": "moment",
    "clock": "moment",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Askable:
    """One thing to ask. `within`: only together with `topic` does the question mean one thing."""

    kind: str
    lang: str
    subject: str
    """Of a cell the product or case; of a clause what it begins with; of an FAQ entry its question."""
    attribute: str
    topic: str
    group: str
    """Which of the wordings `ask` fit the value."""
    facts: tuple[Fact, ...]
    answer: str
    value: str = ""
    rivals: tuple[str, ...] = ()
    """Values of the same column in other rows: what a customer mixes up."""
    within: bool = False


def askables(facts: Sequence[Fact], wordings: WordingsFile) -> tuple[Askable, ...]:
    """Every question the facts answer, in their order; no two of them mean the same."""
    found = [*_distinct(_asked(facts))]
    sections = _by_section(facts)
    grounds: dict[tuple[str, str], Ground] = {}
    answered = []
    for one in found:
        place = _section(one.facts[0])
        if place not in grounds:
            grounds[place] = Ground.read(sections[place])
        answered.append(_answered(one, wordings, grounds[place], sections[place]))
    return tuple(answered)


def _asked(facts: Sequence[Fact]) -> Iterator[Askable]:
    rows = Counter(form for fact in facts if fact.kind == TABLE for form in _forms(fact, fact.row))
    for fact in facts:
        if fact.kind == TABLE:
            yield from _cell(fact, rows)
        elif fact.kind == FAQ:
            yield _one(QUESTION, fact, fact.attribute)
        elif lead := _lead(fact):
            conditional = bool(fact.condition) and fact.statement.startswith(fact.condition)
            yield _one(CONDITION if conditional else CLAUSE, fact, lead)
    for (_, section), told in _by_section(facts).items():
        clauses = [fact for fact in told if fact.kind not in {TABLE, FAQ}][:SECTION_FACTS]
        if section and clauses:
            yield replace(_one(SECTION, clauses[0], _topic(clauses[0])), facts=tuple(clauses))


def _one(kind: str, fact: Fact, subject: str, attribute: str = "", group: str = "any") -> Askable:
    return Askable(kind, fact.lang, subject.strip(), attribute.strip(), _topic(fact), group, (fact,), "")


def _cell(fact: Fact, rows: Mapping[str, int]) -> Iterator[Askable]:
    values = parse_values(fact.value)
    group = _GROUPS.get(values[0].kind, "any") if values else "any"
    # A column head that the statement leaves out says nothing (标准, details): the section names what is asked.
    column = fact.column if fact.column and fact.column in fact.statement else _topic(fact)
    for subject in _forms(fact, fact.row):
        for attribute in _forms(fact, column):
            if rows[attribute] > rows[subject]:  # the table lies on its side: products stand over the columns
                yield _one(CELL, fact, attribute, subject, group)
            elif subject and attribute:
                yield _one(CELL, fact, subject, attribute, group)


def _forms(fact: Fact, label: str) -> tuple[str, ...]:
    """How a label is said: each name of a list; a single one with its brackets off."""
    names = tuple(name for name in fact.subjects if name in label and name != label)
    listed = "、" in label or "/" in label or " and " in label
    if listed and names:
        return names
    bare = re.sub(r"[(（][^()（）]*[)）]", "", label).strip()
    return (bare or label,) if bare or label else ()


def _lead(fact: Fact) -> str:
    """The beginning of a clause that says what it is about."""
    if fact.condition and fact.statement.startswith(fact.condition):
        lead = fact.condition
    else:
        match = _LEAD.match(fact.statement)
        lead = match[1] if match else fact.statement.rstrip("。.")
        if fact.lang == "zh" and (cut := _MODAL.match(lead)):
            lead = cut[1]
    if lead == fact.statement.rstrip(
        "。."
    ):  # nothing is said of it that the question would not have said already
        return ""
    lead = _TAIL.sub("", _NUMBER.sub("", lead).strip())
    if fact.lang == "en":
        lead = lead[:1].lower() + lead[1:] if lead[1:2].islower() else lead
    return lead if 2 <= len(lead) <= MAX_LEAD.get(fact.lang, 60) else ""


def _topic(fact: Fact) -> str:
    """The section's name without its number."""
    return fact.topic.removesuffix(fact.product).strip() or fact.product or fact.source.title


def _section(fact: Fact) -> tuple[str, str]:
    return fact.source.doc_id, fact.source.section


def _by_section(facts: Iterable[Fact]) -> dict[tuple[str, str], list[Fact]]:
    found: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        found[_section(fact)].append(fact)
    return found


def _distinct(asked: Iterable[Askable]) -> Iterator[Askable]:
    """Questions that mean the same made one, with all facts; those of several sections told apart by the topic."""
    same: dict[tuple[str, str, str], list[Askable]] = defaultdict(list)
    for one in asked:
        same[one.lang, one.subject, one.attribute].append(one)
    for group in same.values():
        topics: dict[str, list[Askable]] = defaultdict(list)
        for one in group:
            topics[one.topic].append(one)
        for told in topics.values():
            places = {_section(fact) for one in told for fact in one.facts}
            facts = tuple(dict.fromkeys(fact for one in told for fact in one.facts))
            statements = dict.fromkeys(fact.statement for fact in facts)
            if len(places) == 1 and len(statements) <= MAX_FACTS:
                yield replace(told[0], facts=facts, within=len(topics) > 1 or _is_value(told[0].subject))


def _is_value(subject: str) -> bool:
    """A bare term or amount ("6个月") is the case of many products."""
    values = parse_values(subject)
    return bool(values) and len(values[0].text) >= len(subject.strip()) - 1


def _answered(one: Askable, wordings: WordingsFile, ground: Ground, section: Sequence[Fact]) -> Askable:
    """With its answer: the facts' own statements, or for a cell a sentence that the fact check supports."""
    statements = "\n".join(dict.fromkeys(closed(fact.statement, one.lang) for fact in one.facts))
    fact = one.facts[0]
    if one.kind != CELL or len(one.facts) > 1:
        return replace(one, answer=statements)
    rivals = {
        other.value: None
        for other in section
        if other.table == fact.table
        and other.column == fact.column
        and _alike_but_other(other.value, fact.value)
    }
    answer = statements
    if not one.within and one.subject == fact.row and one.attribute == fact.column and not fact.condition:
        forms = wordings.of(one.lang).answer
        form = forms[sum(map(ord, fact.statement)) % len(forms)]
        worded = form.format(subject=one.subject, attribute=one.attribute, value=fact.value.rstrip("。."))
        if check_sentence(worded, ground).label is Label.SUPPORTED:
            answer = worded
    return replace(one, answer=answer, value=fact.value.rstrip("。."), rivals=tuple(rivals))


def _alike_but_other(rival: str, value: str) -> bool:
    """Whether two cells hold values of the same kinds, and none of the one is a value of the other."""
    ours, theirs = parse_values(value), parse_values(rival)
    if not ours or [one.kind for one in ours] != [one.kind for one in theirs]:
        return False
    return not any(same_value(one, other) for one in ours for other in theirs)


def closed(sentence: str, lang: str) -> str:
    """The sentence with a mark at its end."""
    return sentence if sentence.endswith(_STOPS) else sentence + ("。" if lang == "zh" else ".")
