"""Texts taken apart for comparison: sentences and table rows, each value with what it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from guardrails.fact_check.features import features
from guardrails.fact_check.sentences import sentences
from guardrails.language import detect
from guardrails.values.numerals import fold
from guardrails.values.parse import parse_values
from guardrails.values.value import Value

_CLAUSE_END = re.compile(r"[，；;。！？!?]|,(?!\d)|\.(?=\s|$)|\n")
_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]+\|?\s*$")
_NEAR, _BEHIND, _SUBJECT, _REST = 1.0, 0.6, 0.7, 0.35
_LONGEST = 40_000  # characters of evidence looked at


class FactLike(Protocol):
    """What a fact of the documents has that a check needs."""

    @property
    def statement(self) -> str: ...
    @property
    def subjects(self) -> tuple[str, ...]: ...
    @property
    def attribute(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """A text claims are checked against."""

    text: str
    citation: str = ""
    about: str = ""
    """What the whole text is about, where it does not say so itself: its subjects and attribute."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A value and the weighted features of what surrounds it."""

    value: Value
    about: dict[str, float]
    statement: int
    clause: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence or a table row."""

    text: str
    lang: str
    citation: str
    mentions: tuple[Mention, ...]
    features: frozenset[str]
    context: frozenset[str] = field(default=frozenset())


def blanked(folded: str, values: Sequence[Value]) -> str:
    """The folded text with a blank for every character of a value."""
    parts = []
    end = 0
    for one in values:
        parts.append(folded[end : one.start])
        parts.append(" " * (one.end - one.start))
        end = one.end
    parts.append(folded[end:])
    return "".join(parts)


def read_statement(text: str, index: int = 0, citation: str = "", about: str = "") -> Statement:
    """One sentence with its values and what each is about."""
    values = parse_values(text)
    plain = blanked(fold(text), values)
    context = features(fold(about)) if about else frozenset()
    clauses = _clauses(plain)
    mentions = []
    previous = 0
    first = features(plain[clauses[0][0] : clauses[0][1]])
    whole = features(plain)
    for position, one in enumerate(values):
        start, end = next((c for c in clauses if c[0] <= one.start < c[1]), clauses[-1])
        next_start = values[position + 1].start if position + 1 < len(values) else end
        weights: dict[str, float] = dict.fromkeys(context, _SUBJECT)
        weights.update(dict.fromkeys(whole, _REST))
        _raise(weights, first, _SUBJECT)
        _raise(weights, features(plain[one.end : max(one.end, min(end, next_start))]), _BEHIND)
        _raise(weights, features(plain[max(start, previous) : one.start]), _NEAR)
        mentions.append(Mention(one, weights, index, plain[start:end]))
        previous = one.end
    return Statement(text, detect(text), citation, tuple(mentions), whole, context)


def _raise(weights: dict[str, float], found: frozenset[str], weight: float) -> None:
    for one in found:
        weights[one] = max(weight, weights.get(one, 0.0))


def _clauses(plain: str) -> list[tuple[int, int]]:
    bounds = []
    start = 0
    for stop in _CLAUSE_END.finditer(plain):
        bounds.append((start, stop.end()))
        start = stop.end()
    if start < len(plain) or not bounds:
        bounds.append((start, len(plain)))
    return bounds


def read_evidence(evidence: Sequence[Evidence | FactLike | str]) -> tuple[Statement, ...]:
    """Every sentence and table row of the evidence."""
    found: list[Statement] = []
    for one in evidence:
        item = as_evidence(one)
        for text, about in _units(item.text[:_LONGEST], item.about):
            found.append(read_statement(text, len(found), item.citation, about))
    return tuple(found)


def as_evidence(one: Evidence | FactLike | str) -> Evidence:
    """A fact or a plain text as evidence."""
    if isinstance(one, Evidence):
        return one
    if isinstance(one, str):
        return Evidence(one)
    source = getattr(one, "source", None)
    citation = getattr(source, "label", "") or getattr(source, "title", "")
    condition = getattr(one, "condition", "")
    text = one.statement
    if condition and condition not in text:
        text = f"{text}\n{condition}"
    return Evidence(text, citation, " ".join((*one.subjects, one.attribute)))


def _units(text: str, about: str) -> Iterator[tuple[str, str]]:
    header: list[str] = []
    prose: list[str] = []
    topic = about
    for line in text.split("\n"):
        if line.lstrip().startswith("|") or line.count("|") >= 2:
            yield from _sentences(prose, topic)
            prose = []
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if _TABLE_RULE.match(line):
                continue
            if not header or len(cells) != len(header):
                header = cells
                continue
            yield from _row(header, cells, topic)
            continue
        header = []
        if line.lstrip().startswith("#"):
            topic = f"{about} {line.strip('# ')}".strip()
            continue
        prose.append(line)
    yield from _sentences(prose, topic)


def _sentences(lines: list[str], about: str) -> Iterator[tuple[str, str]]:
    for sentence in sentences("\n".join(lines)):
        if sentence.strip():
            yield sentence.strip(), about


def _row(header: list[str], cells: list[str], about: str) -> Iterator[tuple[str, str]]:
    """One statement a cell: the row's head, the column's head, the cell."""
    keys = [cells[0]]
    if len(cells) > 3 and cells[1][:1].isdigit() is not True and cells[1] and len(cells[1]) <= 8:
        keys.append(cells[1])
    for name, cell in zip(header[1:], cells[1:], strict=True):
        if cell:
            rest = [key for key in keys if key != cell]
            yield f"{' '.join(rest)}{name}：{cell}", f"{about} {header[0]}"
