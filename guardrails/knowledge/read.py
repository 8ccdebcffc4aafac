"""The bytes of one file as a document, whatever of the known formats they are in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from guardrails.knowledge.document import HEADING, MAX_DOCUMENT_BYTES, PARAGRAPH, Block, Document
from guardrails.knowledge.encoding import decode
from guardrails.knowledge.faq import csv_blocks, jsonl_blocks
from guardrails.knowledge.html import html_blocks, html_fields
from guardrails.knowledge.labels import labelled
from guardrails.knowledge.markdown import front_matter, front_matter_line, markdown_blocks
from guardrails.knowledge.pdf import pdf_blocks
from guardrails.knowledge.plain import LONGEST_HEADING, text_blocks
from guardrails.knowledge.validity import known_fields, opening_fields, validity
from guardrails.knowledge.word import docx_blocks

_OPENING, _CLOSING = 6, 2
"""Blocks at the beginning and at the end that may say when a document holds."""
_LONGEST_SAID = 400
"""Characters of each of them that are looked at."""


@dataclass(frozen=True, slots=True)
class _Parsed:
    blocks: tuple[Block, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    """What the format keeps as the title, apart from the text."""


def read_document(raw: bytes, path: str) -> Document:
    """The document; `path` is its name below the knowledge folder. Raises ValueError with line or page."""
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{len(raw)} bytes; at most {MAX_DOCUMENT_BYTES} are read. Split the document")
    name = PurePosixPath(path)
    parsed = FORMATS[name.suffix.lower()](raw)
    if not parsed.blocks:
        raise ValueError("nothing to read in it: the document is empty")
    lines = [block.text[:_LONGEST_SAID] for block in parsed.blocks]
    blocks = labelled(_titled(parsed.blocks))
    said = "\n".join([*lines[:_OPENING], *lines[_OPENING:][-_CLOSING:]])
    fields = opening_fields(said.split("\n")) | known_fields(parsed.fields)
    title = fields.get("title") or _title(parsed) or name.stem
    try:
        holds = validity(fields, said, title, path)
    except ValueError as error:
        raise ValueError(_at_field(raw, parsed, str(error))) from None
    return Document(
        id=fields.get("id") or name.stem,
        title=title,
        product=fields.get("product", ""),
        version=fields.get("version", ""),
        path=path,
        digest=hashlib.sha256(raw).hexdigest(),
        blocks=blocks,
        validity=holds,
    )


def _markdown(raw: bytes) -> _Parsed:
    fields, body, lines = front_matter(decode(raw))
    return _Parsed(markdown_blocks(body, lines), fields)


def _text(raw: bytes) -> _Parsed:
    fields, body, lines = front_matter(decode(raw))
    return _Parsed(text_blocks(body, lines), fields)


def _html(raw: bytes) -> _Parsed:
    text = decode(raw, html=True)
    title, blocks = html_blocks(text)
    fields = {name: value for name, value in html_fields(text).items() if name != "title"}
    return _Parsed(blocks, fields, title)


def _docx(raw: bytes) -> _Parsed:
    title, blocks = docx_blocks(raw)
    return _Parsed(blocks, title=title)


def _pdf(raw: bytes) -> _Parsed:
    title, blocks = pdf_blocks(raw)
    return _Parsed(blocks, title=title)


FORMATS: dict[str, Callable[[bytes], _Parsed]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".docx": _docx,
    ".pdf": _pdf,
    ".csv": lambda raw: _Parsed(csv_blocks(decode(raw))),
    ".jsonl": lambda raw: _Parsed(jsonl_blocks(decode(raw))),
}
"""By the ending of the file's name, in small letters."""


def _title(parsed: _Parsed) -> str:
    """The highest heading before any other text, else the format's own title, else a first line like one."""
    first = parsed.blocks[0]
    if first.kind == HEADING and first.level == 1:
        return first.text
    if parsed.title:
        return parsed.title
    if first.kind in {HEADING, PARAGRAPH} and _is_title(first.text):
        return first.text
    return _first_heading(parsed.blocks, 1)


def _titled(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """A first line like a title says nothing else."""
    first, rest = blocks[0], blocks[1:]
    if rest and first.kind == PARAGRAPH and _is_title(first.text):
        return (replace(first, kind=HEADING, level=1), *rest)
    return tuple(blocks)


def _is_title(text: str) -> bool:
    return len(text) <= LONGEST_HEADING and text[-1:] not in "。；;.：:，,！!？?"


def _first_heading(blocks: Sequence[Block], level: int) -> str:
    return next((block.text for block in blocks if block.kind == HEADING and block.level <= level), "")


def _at_field(raw: bytes, parsed: _Parsed, message: str) -> str:
    """The message with the line of the front matter's field it is about."""
    for name in parsed.fields:
        if message.startswith(tuple(f"`{known}`" for known in known_fields({name: ""}))):
            line = front_matter_line(decode(raw), name)
            return f"line {line}: {message}" if line else message
    return message
