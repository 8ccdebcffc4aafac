"""Word documents (DOCX) read into blocks."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import docx
from docx.document import Document as WordDocument
from docx.oxml.ns import qn
from docx.table import Table
from docx.text.paragraph import Paragraph

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, TABLE, Block
from guardrails.knowledge.plain import LONGEST_HEADING, line_block

MAX_UNPACKED = 200_000_000
MAX_PARTS = 5_000
_HEADING_STYLE = re.compile(r"(?:Heading|标题|heading)\s*(\d)?|Title|Subtitle|副标题")
_NUMBERING_LEVEL = f"{qn('w:numPr')}/{qn('w:ilvl')}"
_VALUE = qn("w:val")
_LIST_STYLE = re.compile(r"List|列表")


def docx_blocks(raw: bytes) -> tuple[str, tuple[Block, ...]]:
    """Title and blocks: paragraphs, headings by style or by bold type, lists, tables. Raises ValueError."""
    _sound(raw)
    try:
        document = docx.Document(io.BytesIO(raw))
        return (document.core_properties.title or "").strip(), tuple(_blocks(document))
    except Exception as error:  # python-docx raises whatever zip and XML raise
        raise ValueError(f"not a readable DOCX file: {type(error).__name__}: {error}") from None


def _sound(raw: bytes) -> None:
    """Refuse what would unpack to more than a document does, before unpacking it."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            sizes = [part.file_size for part in parts.infolist()]
            encrypted = any(part.flag_bits & 1 for part in parts.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        old = raw.startswith(b"\xd0\xcf\x11\xe0")
        hint = "an old .doc or a password-protected file" if old else str(error)
        raise ValueError(f"not a DOCX file: {hint}") from None
    if encrypted:
        raise ValueError("not a readable DOCX file: it is encrypted")
    if len(sizes) > MAX_PARTS or sum(sizes) > MAX_UNPACKED:
        raise ValueError(
            f"the DOCX unpacks to {sum(sizes)} bytes in {len(sizes)} parts; too much for a document"
        )


def _blocks(document: WordDocument) -> Iterator[Block]:
    count = 0
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            rows = tuple(_row(row.cells) for row in part.rows)
            yield Block(TABLE, rows=rows, head=_heads(rows))
            count = 0
            continue
        text = part.text.replace("\xa0", " ").strip()
        if not text:
            continue
        style = (part.style.name if part.style else "") or ""
        if heading := _HEADING_STYLE.match(style):
            yield Block(HEADING, text, level=int(heading[1] or 1))
            count = 0
        elif _is_list(part, style):
            count += 1
            numbered = "Bullet" not in style and ("Number" in style or "编号" in style)
            yield Block(ITEM, text, level=_depth(part), number=str(count) if numbered else "•")
        elif _all_bold(part) and len(text) <= LONGEST_HEADING and text[-1] not in "。；;.：:，,":
            yield Block(HEADING, text, level=3)
            count = 0
        else:
            for line in text.split("\n"):
                if line.strip():
                    block = line_block(line.strip())
                    yield block if block.kind != PARAGRAPH else Block(PARAGRAPH, line.strip())
            count = 0


def _row(cells: tuple[object, ...]) -> tuple[str, ...]:
    """python-docx repeats a merged cell in every place it covers, which is what is wanted."""
    return tuple(" ".join(str(getattr(cell, "text", "")).split()) for cell in cells)


def _heads(rows: tuple[tuple[str, ...], ...]) -> int:
    """Two rows of heads where the first has a cell over several columns that the second tells apart."""
    if len(rows) > 2 and _merged(rows[0]) and not _merged(rows[1]) and len(set(rows[0])) > 1:
        return 2
    return 1


def _merged(row: tuple[str, ...]) -> bool:
    return any(one and one == other for one, other in pairwise(row))


def _is_list(paragraph: Paragraph, style: str) -> bool:
    properties = paragraph._p.pPr
    return bool(_LIST_STYLE.match(style)) or (properties is not None and properties.numPr is not None)


def _depth(paragraph: Paragraph) -> int:
    properties = paragraph._p.pPr
    numbered = properties.find(_NUMBERING_LEVEL) if properties is not None else None
    level = numbered.get(_VALUE) if numbered is not None else None
    named = re.search(r"\d", (paragraph.style.name if paragraph.style else "") or "")
    if level is not None and level.isdigit():
        return 1 + int(level)
    return int(named[0]) if named else 1


def _all_bold(paragraph: Paragraph) -> bool:
    runs = [run for run in paragraph.runs if run.text.strip()]
    return bool(runs) and all(run.bold for run in runs)
