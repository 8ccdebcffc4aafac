"""Documents and web pages as messages: questions with their answers, or a question and the replies below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from adapters.training.data.lines import BadRows
from adapters.training.data.messages import ASSISTANT, USER, SourceMessage
from guardrails.knowledge.document import FAQ, HEADING, TABLE, Document
from guardrails.knowledge.read import read_document

PAGES = frozenset({".html", ".htm", ".pdf", ".docx", ".md", ".markdown", ".txt"})
_QUESTION = re.compile(r"^\s*(?:问题?|提问|客户|Q|Question)\s*\d{0,4}\s*[:：.、]\s*(?=\S)", re.I)
_ANSWER = re.compile(r"^\s*(?:答|回答|回复|答复|客服|A|Answer|Reply)\s*\d{0,4}\s*[:：.、]\s*", re.I)
_NUMBER = re.compile(r"^\s*(?:第?[一二三四五六七八九十\d]+[、.．)）条章节]?[ 　]*)(?=\D)")
_ASKS = ("?", "？")


def page_messages(path: Path) -> list[SourceMessage]:
    """The messages of one document. Raises BadRows where it cannot be read or holds no question, OSError."""
    try:
        document = read_document(path.read_bytes(), path.name)
    except ValueError as error:
        raise BadRows(f"{path.name}: {error}") from None
    found = list(_entries(document, path.name)) or list(_replies(document, path.name))
    if not found:
        raise BadRows(
            f"{path.name}: no question with an answer in it: expected headings that end in a question mark, lines "
            "that begin with Q: and A: (问：, 答：), or a title that is a question, with replies"
        )
    return found


def _lines(document: Document) -> Iterator[tuple[int, str, bool]]:
    """Number of the block, one line of its text, whether it is a heading; tables have none."""
    for number, block in enumerate(document.blocks, 1):
        if block.kind not in {TABLE, FAQ}:
            for line in block.text.split("\n"):
                if line.strip():
                    yield number, line.strip(), block.kind == HEADING


def _entries(document: Document, name: str) -> Iterator[SourceMessage]:
    """FAQ entries; questions marked as such, or headings that ask, each with what stands below."""
    for number, block in enumerate(document.blocks, 1):
        if block.kind == FAQ:
            asked, said = block.rows[0]
            yield from _entry(name, number, asked, [said])
    place, question = 0, ""
    answer: list[str] = []
    for number, line, heading in _lines(document):
        if heading and line == document.title:
            continue
        asks = _QUESTION.sub("", line) if _QUESTION.match(line) else ""
        if heading and line.endswith(_ASKS):
            asks = _NUMBER.sub("", line)
        if asks or heading:
            yield from _entry(name, place, question, answer)
            place, question, answer = number, asks, []
        elif question:
            answer.append(_ANSWER.sub("", line))
    yield from _entry(name, place, question, answer)


def _entry(name: str, number: int, question: str, answer: list[str]) -> Iterator[SourceMessage]:
    if question and answer:
        yield SourceMessage(name, number, str(number), USER, question)
        yield SourceMessage(name, number, str(number), ASSISTANT, "\n".join(answer))


def _replies(document: Document, name: str) -> Iterator[SourceMessage]:
    """A title that asks, and every paragraph below as a reply of somebody."""
    if not document.title.endswith(_ASKS):
        return
    yield SourceMessage(name, 1, "1", "title", document.title, sides=False)
    for number, line, _ in _lines(document):
        if line != document.title:
            yield SourceMessage(name, number, "1", "", line, sides=False)
