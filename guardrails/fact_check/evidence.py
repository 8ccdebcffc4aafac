"""What claims are checked against: facts, paragraphs and tables, read into statements."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from guardrails.fact_check.features import features
from guardrails.fact_check.names import Names
from guardrails.fact_check.sentences import full_sentences
from guardrails.fact_check.statement import Statement, read_statement
from guardrails.knowledge.extract import cell_statement
from guardrails.knowledge.table import table_cells
from guardrails.values.numerals import fold

_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]+\|?\s*$")
_PAIR = re.compile(r"([^：:]{1,20})[：:]\s*([^：:]{1,80})")
_LONGEST = 40_000  # characters of one text that are looked at


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
    """What the whole text is about, where it does not say so itself."""


def read_evidence(evidence: Sequence[Evidence | FactLike | str]) -> tuple[tuple[Statement, ...], Names]:
    """Every sentence and table cell of the evidence, once, and the names that its labels give."""
    items = [as_evidence(one) for one in evidence]
    units = [list(_units(item.text[:_LONGEST], item.about)) for item in items]
    names = Names.of(text for some in units for text, *_ in some)
    found: list[Statement] = []
    seen: set[str] = set()
    for item, some in zip(items, units, strict=True):
        before: frozenset[str] = frozenset()
        for text, about, follows, cell in some:
            if not follows:
                before = frozenset()
            if text in seen:
                continue
            seen.add(text)
            statement = read_statement(
                text,
                len(found),
                item.citation,
                features(fold(about)) if about else frozenset(),
                before,
                cell=cell,
                names=names,
            )
            found.append(statement)
            before = (before | statement.features) if len(before) < _ENOUGH else statement.features
    return tuple(found), names


_ENOUGH = 60  # features carried along from the sentences before


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
    topic = getattr(one, "topic", "")
    return Evidence(text, citation, " ".join((*one.subjects, one.attribute, topic)))


def _units(text: str, about: str) -> Iterator[tuple[str, str, bool, bool]]:
    """Sentence or cell, what stands over it, whether it continues the one before, whether it is a cell."""
    table: list[tuple[str, ...]] = []
    topic = about
    follows = False
    for line in [*text.split("\n"), ""]:
        if line.lstrip().startswith("|") or line.count("|") >= 2:
            if not _TABLE_RULE.match(line):
                table.append(tuple(cell.strip() for cell in line.strip().strip("|").split("|")))
            continue
        head = table[0][0] if table else ""
        yield from ((cell, f"{topic} {head}".strip(), False, True) for cell in _cells(table))
        table = []
        if not line.strip():
            follows = False
            continue
        if line.lstrip().startswith("#"):
            topic = f"{about} {line.strip('# ')}".strip()
            follows = False
            continue
        for sentence in full_sentences(line):
            row = _row(sentence)
            if row:
                yield from ((cell, topic, False, True) for cell in row)
                follows = False
            elif sentence.strip():
                yield sentence.strip(), topic, follows, False
                follows = True


def _row(sentence: str) -> list[str]:
    """A table's row written out, heads and cells with colons, as a cell each: 等级：金卡；年费：200元；首年：免。"""
    pairs = [_PAIR.fullmatch(piece.strip()) for piece in re.split("[；;]", sentence.strip().rstrip("。."))]
    if len(pairs) < 3 or not all(pairs):
        return []
    (name, head), *rest = ((pair[1], pair[2]) for pair in pairs if pair is not None)
    if any(character.isdigit() for character in head):
        return []
    return [f"{name}{head}，{column}：{cell}" for column, cell in rest]


def _cells(table: list[tuple[str, ...]]) -> Iterator[str]:
    """One statement a cell: the row's head, the column's head, the cell."""
    if len(table) == 1:
        yield " ".join(table[0])
        return
    width = max((len(row) for row in table), default=0)
    rows = tuple(row + ("",) * (width - len(row)) for row in table)
    for cell in table_cells(rows):
        yield cell_statement("", cell.row, cell.column, cell.value)
