"""Facts of a document: one a table cell, one a clause or sentence, one an FAQ entry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from guardrails.knowledge.document import FAQ, HEADING, ITEM, PARAGRAPH, TABLE, Block, Document, Validity
from guardrails.knowledge.fact import CLAUSE, EXAMPLE, NOTE, Fact, Source
from guardrails.knowledge.fact import FAQ as FAQ_FACT
from guardrails.knowledge.fact import TABLE as TABLE_FACT
from guardrails.knowledge.table import PLAIN_HEADS, split_names, table_cells
from guardrails.knowledge.validity import entry_validity, is_field_line
from guardrails.language import detect

__all__ = ["document_facts", "split_names"]

LONGEST_CLAUSE = {"zh": 90, "en": 180}
"""Characters. A longer clause is cut into its sentences, so that an answer quotes what was asked for."""
LONGEST_SENTENCE = 600
"""What is longer is cut, at a comma where there is one: no writer meant it as one sentence."""

_NUMBERING = re.compile(
    r"^\s*(?:第?[一二三四五六七八九十百]+[、章节条][ 　]*"
    r"|\d+(?:\.\d+)*[.、]?\s+|[(（][一二三四五六七八九十\d]+[)）]\s*)"
)
_WRAPPED = re.compile(r"^[(（]([^()（）]+)[)）]$")
_ABBREVIATIONS = r"No no e\.g i\.e etc vs Mr Dr St cf approx incl excl max min"
_SENTENCE_END = re.compile(
    r"(?<=[。！？])(?![。！？”’」』）)])|(?<=[。！？][”’」』）)])|\n+|(?<![A-Z])"
    + "".join(rf"(?<!\b{word})" for word in _ABBREVIATIONS.split())
    + r"[.](?=\s+[\"'“(]?[A-Z0-9\u3400-\u9fff])|(?<=[!?])(?=\s+[\"'“(]?[A-Z0-9])"
)
_EXAMPLE = re.compile(r".{0,12}?(?:示例|举例|例如|比如|for example|e\.g\.|example:|for instance)", re.I)
"""A sentence that opens so. A rule that goes on to give an example is a rule."""
_EXAMPLE_SECTION = re.compile(r"情形|示例|案例|举例|\bexamples?\b|\bscenarios?\b", re.I)
_NOTE = re.compile(r"^(?:注|备注|说明|note|notes|remark|n\.b\.)\s*[:：]\s*", re.I)
_COLOPHON = re.compile(r"^(?:文件编号|文号|版本|生效日期|document (?:no|number)|version)\s*[:：]", re.I)
_LEADS = re.compile(r"[:：]\s*$")
_PARENTHESIS = re.compile(r"[(（]([^()（）]{1,60})[)）]\s*$")
_CONDITION = (
    re.compile(
        r"^((?:如果|如|若|当|凡|对于|除|仅限?|在)[^，。；：]{2,50}(?=，)"
        r"|[^，。；：]{2,50}?(?:的|时|后|前|期间|情况下|之前|之后|以后|以内)(?=，))"
    ),
    re.compile(
        r"^((?:if|when|where|unless|provided(?: that)?|in case|once|after|before|for|during|subject to)\b"
        r"[^,.;]{3,120})(?=,)",
        re.I,
    ),
    re.compile(
        r"\b((?:if|when|unless|provided that|only if|as long as|subject to|except)\b[^.;]{3,120})[.;]?$", re.I
    ),
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a document the next fact stands."""

    heading: str = ""
    lead: str = ""
    lead_level: int = -1


def document_facts(document: Document) -> tuple[Fact, ...]:
    """Every fact, in the document's order."""
    return tuple(
        replace(fact, id=f"{document.id}#{serial}") for serial, fact in enumerate(_facts(document), 1)
    )


def _facts(document: Document) -> Iterator[Fact]:
    sections: list[tuple[int, str]] = []
    place = _Place()
    for at, block in enumerate(document.blocks):
        if block.kind == HEADING:
            sections = [entry for entry in sections if entry[0] < block.level]
            sections.append((block.level, block.text))
            place = _Place(" ".join(text for level, text in sections if level > 1))
            continue
        depth = block.level if block.kind == ITEM else 0
        if depth <= place.lead_level:
            place = _Place(place.heading)
        yield from _block_facts(document, block, place, at)
        if block.kind in {PARAGRAPH, ITEM} and _LEADS.search(block.text):
            last = clause_sentences(block.text)[-1:]
            place = _Place(place.heading, last[0].rstrip(":： ") if last else "", depth)


def _block_facts(document: Document, block: Block, place: _Place, at: int) -> Iterator[Fact]:
    topic = f"{plain_heading(place.heading)} {document.product}".strip()
    source = _source(document, place.heading)
    if block.kind == TABLE:
        yield from _table_facts(document, block, place, source, topic, at)
    elif block.kind == FAQ:
        yield from _faq_facts(document, block, source, topic)
    elif (
        block.kind in {PARAGRAPH, ITEM} and not _COLOPHON.match(block.text) and not is_field_line(block.text)
    ):
        note = _NOTE.match(block.text)
        text = block.text[note.end() :] if note else block.text
        if block.kind == ITEM and block.number != "•":
            source = replace(source, clause=block.number)
        in_examples = bool(_EXAMPLE_SECTION.search(place.heading))
        for sentence in clause_sentences(text):
            kind = EXAMPLE if in_examples or _EXAMPLE.match(sentence) else NOTE if note else CLAUSE
            statement = led(place.lead, sentence) if block.kind == ITEM else sentence
            yield Fact(
                id="", subjects=(), attribute="", value=sentence, condition=condition_of(sentence),
                statement=statement, lang=detect(statement), kind=kind, source=source, topic=topic,
                product=document.product,
            )  # fmt: skip


def _table_facts(
    document: Document, block: Block, place: _Place, source: Source, topic: str, at: int
) -> Iterator[Fact]:
    table = f"{document.id}@{at}:{place.heading}"
    for cell in table_cells(block.rows, block.head):
        statement = cell_statement(plain_heading(place.heading), cell.row, cell.column, cell.value)
        said = (found[1] for text in (cell.column, cell.value) if (found := _PARENTHESIS.search(text)))
        yield Fact(
            id="", subjects=cell.subjects, attribute=cell.column, value=cell.value, condition="；".join(said),
            statement=statement, lang=detect(statement), kind=TABLE_FACT, source=source, table=table,
            row=cell.row, column=cell.column, topic=topic, product=document.product,
        )  # fmt: skip


def _faq_facts(document: Document, block: Block, source: Source, topic: str) -> Iterator[Fact]:
    question, answer = block.rows[0]
    fields = dict(block.fields)
    product = fields.get("product", document.product)
    own = entry_validity(fields)
    if own.retired:
        return
    if own.effective_from or own.effective_to:
        starts, ends = _days(own)
        source = replace(source, effective_from=starts, effective_to=ends)
    yield Fact(
        id="", subjects=(), attribute=question, value=answer, condition=condition_of(answer), statement=answer,
        lang=detect(answer), kind=FAQ_FACT, source=source, topic=f"{topic} {product}".strip(), product=product,
    )  # fmt: skip


def _source(document: Document, heading: str) -> Source:
    starts, ends = _days(document.validity)
    return Source(document.id, document.title, heading, "", starts, ends, document.path)


def _days(validity: Validity) -> tuple[str | None, str | None]:
    starts, ends = validity.effective_from, validity.effective_to
    return starts.isoformat() if starts else None, ends.isoformat() if ends else None


def plain_heading(heading: str) -> str:
    """A heading without its numbering."""
    plain = _NUMBERING.sub("", heading)
    return _WRAPPED.sub(r"\1", plain) if plain != heading else plain


def led(lead: str, item: str) -> str:
    """An item with the words that lead to its list: "下列情形免费：" and "首年" say something only together."""
    if not lead:
        return item
    return f"{lead}：{item}" if detect(lead + item) == "zh" else f"{lead}: {item}"


def condition_of(sentence: str) -> str:
    """The part of a sentence that says when it holds, as far as a few signs of grammar tell."""
    return next((found[1].strip() for pattern in _CONDITION if (found := pattern.search(sentence))), "")


def clause_sentences(text: str) -> tuple[str, ...]:
    """The clause whole if it is short, else its sentences."""
    text = text.strip()
    # A rule is not kept in one with the example that comes after it.
    illustrated = _EXAMPLE.search(text, 12) and not _EXAMPLE.match(text)
    if len(text) <= LONGEST_CLAUSE[detect(text)] and "\n" not in text and not illustrated:
        return (text,) if text else ()
    return tuple(piece for part in _parts(text) for piece in _pieces(part))


def _parts(text: str) -> Iterator[str]:
    start = 0
    for found in _SENTENCE_END.finditer(text):
        yield text[start : found.end()].strip()
        start = found.end()
    yield text[start:].strip()


def _pieces(part: str) -> Iterator[str]:
    while len(part) > LONGEST_SENTENCE:
        head = part[:LONGEST_SENTENCE]
        cut = max(head.rfind(mark) for mark in "，；、,; ") + 1 or LONGEST_SENTENCE
        yield part[:cut].strip()
        part = part[cut:]
    if part.strip():
        yield part.strip()


def cell_statement(section: str, row: str, column: str, value: str) -> str:
    """A cell as a sentence: where it stands, whose it is, what it is, how much."""
    plain = not column or column.strip().lower() in PLAIN_HEADS
    what = row if plain else f"{row} {column}" if row else column
    if detect(row + column + value) == "en" and detect(section or "x") == "en":
        return ": ".join(part for part in (section, what, value) if part)
    what = re.sub(r"(?<=[\u3400-\u9fff）]) (?=[\u3400-\u9fff])", "，", what)
    return "：".join(part for part in (section, what, value) if part)
