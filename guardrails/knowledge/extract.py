"""Facts of a document: one a table cell, one a clause or sentence, one an FAQ entry."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardrails.knowledge.document import FAQ, HEADING, ITEM, PARAGRAPH, TABLE, Block, Document
from guardrails.knowledge.fact import CLAUSE, EXAMPLE, NOTE, Fact, Source
from guardrails.knowledge.fact import FAQ as FAQ_FACT
from guardrails.knowledge.fact import TABLE as TABLE_FACT
from guardrails.language import detect

LONGEST_CLAUSE = 90
"""Characters. A longer clause is cut into its sentences, so that an answer quotes what was asked for."""

_NUMBERING = re.compile(
    r"^\s*(?:第?[一二三四五六七八九十百]+[、章节条][ 　]*|\d+(?:\.\d+)*[.、]?\s+|[(（][一二三四五六七八九十\d]+[)）]\s*)"
)
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?]*|[^.!?\n]+(?:[.!?]+(?=\s|$)|$)")
_EXAMPLE = re.compile(r"示例|举例|例如|比如|for example|e\.g\.|example:", re.I)
_EXAMPLE_SECTION = re.compile(r"情形|示例|案例|举例|examples?|scenarios?", re.I)
_NOTE = re.compile(r"^(?:注|备注|说明|note)\s*[:：]\s*", re.I)
_COLOPHON = re.compile(r"^(?:文件编号|文号|版本|生效日期|document (?:no|number)|version)\s*[:：]", re.I)
_EMPTY_CELL = frozenset({"", "-", "–", "—", "/", "无", "n/a", "none"})
PLAIN_HEADS = frozenset(
    {
        "标准",
        "内容",
        "说明",
        "规定",
        "要求",
        "备注",
        "详情",
        "value",
        "standard",
        "details",
        "description",
        "content",
    }
)
"""Column heads that say nothing about what stands below them."""


def document_facts(document: Document) -> tuple[Fact, ...]:
    """Every fact, in the document's order."""
    return tuple(_facts(document))


def _facts(document: Document) -> Iterator[Fact]:
    sections: list[tuple[int, str]] = []
    serial = 0
    for block in document.blocks:
        if block.kind == HEADING:
            sections = [entry for entry in sections if entry[0] < block.level]
            sections.append((block.level, block.text))
            continue
        heading = " ".join(text for level, text in sections if level > 1)
        for fact in _block_facts(document, block, heading):
            serial += 1
            yield Fact(f"{document.id}#{serial}", *fact)


_Parts = tuple[tuple[str, ...], str, str, str, str, str, str, Source, str, str, str, str]


def _block_facts(document: Document, block: Block, heading: str) -> Iterator[_Parts]:
    def source(clause: str = "") -> Source:
        return Source(
            document.id,
            document.title,
            heading,
            clause,
            document.effective_from.isoformat() if document.effective_from else None,
            document.effective_to.isoformat() if document.effective_to else None,
            document.path,
        )

    topic = f"{plain_heading(heading)} {document.product}".strip()
    if block.kind == TABLE:
        table = f"{document.id}@{block.line}:{heading}"
        for row, column, subjects, value in table_cells(block.rows):
            statement = cell_statement(plain_heading(heading), row, column, value)
            parts = (subjects, column, value, "", statement, detect(statement), TABLE_FACT, source())
            yield *parts, table, row, column, topic
    elif block.kind == FAQ:
        question, answer = block.rows[0]
        yield (), question, answer, "", answer, detect(answer), FAQ_FACT, source(), "", "", "", topic
    elif block.kind in {PARAGRAPH, ITEM} and not _COLOPHON.match(block.text):
        note = _NOTE.match(block.text)
        text = block.text[note.end() :] if note else block.text
        clause = block.number if block.kind == ITEM and block.number != "•" else ""
        in_examples = bool(_EXAMPLE_SECTION.search(heading))
        for sentence in clause_sentences(text):
            kind = EXAMPLE if in_examples or _EXAMPLE.search(sentence) else NOTE if note else CLAUSE
            yield (), "", sentence, "", sentence, detect(sentence), kind, source(clause), "", "", "", topic


def plain_heading(heading: str) -> str:
    """A heading without its numbering."""
    return _NUMBERING.sub("", heading)


def clause_sentences(text: str) -> tuple[str, ...]:
    """The clause whole if it is short, else its sentences."""
    text = text.strip()
    if len(text) <= LONGEST_CLAUSE:
        return (text,) if text else ()
    return tuple(part.strip() for part in _SENTENCE.findall(text) if part.strip())


def table_cells(rows: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """(row label, column head, subjects, cell) of every cell that is not part of a row's label."""
    if len(rows) < 2:
        return
    head, body = rows[0], [row for row in rows[1:] if any(row)]
    keys = key_columns(body, len(head))
    for row in body:
        label = " ".join(part for part in row[:keys] if part.lower() not in _EMPTY_CELL)
        subjects = tuple(name for part in row[:keys] for name in split_names(part))
        for column, value in zip(head[keys:], row[keys:], strict=False):
            if value.lower() not in _EMPTY_CELL or (value == "无" and label):
                yield label, column, subjects + split_names(column), value


def key_columns(body: list[tuple[str, ...]], width: int) -> int:
    """How many leading columns it takes to tell the rows apart; at least one, and one column is left for values."""
    for count in range(1, max(width - 1, 1)):
        if len({row[:count] for row in body}) == len(body):
            return count
    return max(1, width - 1) if width > 1 and len({row[:1] for row in body}) < len(body) else 1


def split_names(text: str) -> tuple[str, ...]:
    """The names a cell lists: "普卡、金卡（人民币账户）" → 普卡, 金卡."""
    bare = re.sub(r"[(（][^()（）]*[)）]$", "", text.strip())
    return tuple(
        name.strip() for name in re.split(r"[、,，/;；]|\bor\b|\band\b|以及|或者|和|及", bare) if name.strip()
    )


def cell_statement(section: str, row: str, column: str, value: str) -> str:
    """A cell as a sentence: where it stands, whose it is, what it is, how much."""
    what = row if column.strip().lower() in PLAIN_HEADS else f"{row} {column}" if row else column
    if detect(row + column + value) == "en" and detect(section or "x") == "en":
        return f"{section}: {what}: {value}" if section else f"{what}: {value}"
    what = re.sub(r"(?<=[\u3400-\u9fff）]) (?=[\u3400-\u9fff])", "，", what)
    return f"{section}：{what}：{value}" if section else f"{what}：{value}"
