"""The other formats a knowledge folder may hold: text, HTML, DOCX, PDF, and FAQ tables in CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator

import docx
import pypdf
from bs4 import BeautifulSoup, Tag
from docx.table import Table
from docx.text.paragraph import Paragraph

from guardrails.knowledge.document import FAQ, HEADING, ITEM, PARAGRAPH, TABLE, Block

_HEADING = re.compile(r"(第?[一二三四五六七八九十百]+[、章节条]|\d+(\.\d+)*[.、]?\s+\S{1,24}$)")
_NUMBERED = re.compile(r"\s*(?:(\d{1,3})[.、)）]|[(（]([\d一二三四五六七八九十]{1,3})[)）]|[-*•·])\s*(.+)")
_QUESTION = ("question", "q", "问题", "问")
_ANSWER = ("answer", "a", "答案", "回答", "答")


def text_blocks(text: str) -> tuple[Block, ...]:
    """Plain text: a short line without a full stop before other lines is a heading; `1.` and `-` begin items."""
    return tuple(_lines(text.splitlines()))


def _lines(lines: list[str]) -> Iterator[Block]:
    for line, raw in enumerate(lines, 1):
        text = raw.strip()
        if not text:
            continue
        if _HEADING.match(text) and len(text) <= 30 and text[-1] not in "。；;.":
            yield Block(HEADING, text, level=2, line=line)
        elif item := _NUMBERED.fullmatch(text):
            yield Block(ITEM, item[3].strip(), number=item[1] or item[2] or "•", line=line)
        else:
            yield Block(PARAGRAPH, text, line=line)


def html_blocks(raw: str) -> tuple[str, tuple[Block, ...]]:
    """Title and blocks of an HTML page; scripts and styles are left out."""
    soup = BeautifulSoup(raw, "lxml")
    for unwanted in soup(["script", "style", "noscript", "template", "nav"]):
        unwanted.decompose()
    title = soup.title.get_text(strip=True) if soup.title else ""
    return title, tuple(_html(soup.body or soup))


def _html(node: Tag) -> Iterator[Block]:
    for child in node.children:
        if not isinstance(child, Tag):
            text = str(child).strip()
            if text and node.name in {"body", "div", "section", "article", "main"}:
                yield Block(PARAGRAPH, text, line=node.sourceline or 0)
            continue
        line = child.sourceline or 0
        if re.fullmatch(r"h[1-6]", child.name):
            yield Block(HEADING, child.get_text(" ", strip=True), level=int(child.name[1]), line=line)
        elif child.name == "table":
            rows = [[cell.get_text(" ", strip=True) for cell in row(["th", "td"])] for row in child("tr")]
            yield Block(TABLE, rows=tuple(tuple(row) for row in rows if row), line=line)
        elif child.name in {"ol", "ul"}:
            for number, item in enumerate(child.find_all("li", recursive=False), 1):
                mark = str(number) if child.name == "ol" else "•"
                yield Block(ITEM, item.get_text(" ", strip=True), number=mark, line=item.sourceline or 0)
        elif child.name == "p":
            if text := child.get_text(" ", strip=True):
                yield Block(PARAGRAPH, text, line=line)
        else:
            yield from _html(child)


def docx_blocks(raw: bytes) -> tuple[Block, ...]:
    """Paragraphs, headings by their style, and tables of a Word document. Raises ValueError."""
    try:
        document = docx.Document(io.BytesIO(raw))
    except Exception as error:  # python-docx raises whatever zip and XML raise
        raise ValueError(f"not a DOCX file: {error}") from None
    return tuple(_docx(document.iter_inner_content()))


def _docx(content: Iterator[Paragraph | Table]) -> Iterator[Block]:
    for part in content:
        if isinstance(part, Table):
            rows = (tuple(cell.text.strip() for cell in row.cells) for row in part.rows)
            yield Block(TABLE, rows=tuple(rows))
            continue
        text, style = part.text.strip(), (part.style.name if part.style else "") or ""
        if not text:
            continue
        if style.startswith(("Heading", "Title", "标题")):
            level = re.search(r"\d", style)
            yield Block(HEADING, text, level=int(level[0]) if level else 1)
        else:
            yield from _lines([text])


def pdf_blocks(raw: bytes) -> tuple[Block, ...]:
    """The text lines of a PDF's pages. Tables in it come as lines. Raises ValueError."""
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(raw)).pages]
    except Exception as error:  # pypdf raises many kinds for a broken file
        raise ValueError(f"not a readable PDF file: {error}") from None
    if not any(page.strip() for page in pages):
        raise ValueError("the PDF has no text layer (a scan?); save it with text")
    return text_blocks("\n".join(pages))


def csv_faq(text: str) -> tuple[Block, ...]:
    """FAQ rows with the columns question and answer (or 问题 and 答案). Raises ValueError with the line."""
    reader = csv.DictReader(io.StringIO(text))
    names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    question, answer = (_field(names, known) for known in (_QUESTION, _ANSWER))
    if question is None or answer is None:
        raise ValueError("line 1: the columns `question` and `answer` are needed")
    return tuple(
        Block(FAQ, rows=((row[question] or "", row[answer] or ""),), line=reader.line_num) for row in reader
    )


def jsonl_faq(text: str) -> tuple[Block, ...]:
    """FAQ entries, one JSON object with question and answer a line. Raises ValueError with the line."""
    return tuple(_faq_lines(text))


def _faq_lines(text: str) -> Iterator[Block]:
    for line, raw in enumerate(text.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            entry = json.loads(raw)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {line}: not JSON: {error.msg}") from None
        names = {str(name).strip().lower(): name for name in entry} if isinstance(entry, dict) else {}
        question, answer = (_field(names, known) for known in (_QUESTION, _ANSWER))
        if question is None or answer is None:
            raise ValueError(f"line {line}: an object with `question` and `answer` is needed")
        yield Block(FAQ, rows=((str(entry[question]), str(entry[answer])),), line=line)


def _field(names: dict[str, str], known: tuple[str, ...]) -> str | None:
    return next((names[name] for name in known if name in names), None)
