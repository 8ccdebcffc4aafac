"""A folder of documents, read into knowledge: what holds today, what is superseded, what could not be read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from guardrails.knowledge.document import HEADING, Block, Document
from guardrails.knowledge.extract import document_facts
from guardrails.knowledge.fact import Fact, Knowledge
from guardrails.knowledge.formats import csv_faq, docx_blocks, html_blocks, jsonl_faq, pdf_blocks, text_blocks
from guardrails.knowledge.markdown import front_matter, markdown_blocks

SUFFIXES = (".md", ".markdown", ".txt", ".html", ".htm", ".docx", ".pdf", ".csv", ".jsonl")
MAX_BYTES = 20_000_000
_EXPIRES = re.compile(
    r"(?:失效日期|有效期至|废止日期|expir(?:es|y date)|effective (?:to|until))\s*[:：]?\s*(\S[^\n　 ]*)", re.I
)
_STARTS = re.compile(r"(?:生效日期|施行日期|effective (?:from|date))\s*[:：]?\s*(\S[^\n　 ]*)", re.I)
_DATE = re.compile(r"(\d{4})\s*[-年/.]\s*(\d{1,2})\s*[-月/.]\s*(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Read:
    """One document and its facts; kept between readings, so that an unchanged file is not read again."""

    document: Document
    facts: tuple[Fact, ...]


def read_knowledge(
    folder: Path, today: date, previous: Mapping[str, Read] | None = None
) -> tuple[Knowledge, dict[str, Read]]:
    """Every document below `folder`. A file that cannot be read is a problem of the result, never an exception."""
    before = {read.document.path: read for read in (previous or {}).values()}
    read: dict[str, Read] = {}
    problems: list[str] = []
    for path in sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    ):
        name = path.relative_to(folder).as_posix()
        try:
            found = read_document(path, name, before.get(name))
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
            continue
        read[name] = found
    valid = {name: one for name, one in read.items() if one.document.holds_on(today)}
    newest = _newest(valid)
    facts = tuple(fact for name in newest for fact in valid[name].facts)
    old = tuple(fact for name, one in read.items() if name not in newest for fact in one.facts)
    titles = tuple(valid[name].document.title for name in newest)
    return Knowledge(facts, old, titles, tuple(problems)), read


def _newest(valid: Mapping[str, Read]) -> list[str]:
    """Of several versions of one document that would hold today, only the one that came into force last."""
    chosen: dict[str, str] = {}
    for name, one in valid.items():
        rival = chosen.get(one.document.id)
        if rival is None or _rank(one.document) > _rank(valid[rival].document):
            chosen[one.document.id] = name
    return list(chosen.values())


def _rank(document: Document) -> tuple[date, tuple[int, ...]]:
    return document.effective_from or date.min, tuple(
        int(part) for part in re.findall(r"\d+", document.version)
    )


def read_document(path: Path, name: str, before: Read | None = None) -> Read:
    """Read one file, or return `before` if its bytes are the same. Raises OSError, ValueError with the line."""
    raw = path.read_bytes()
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{len(raw)} bytes; at most {MAX_BYTES} are read. Split the document")
    digest = hashlib.sha256(raw).hexdigest()
    if before is not None and before.document.digest == digest:
        return before
    document = _parse(path, name, raw, digest)
    return Read(document, document_facts(document))


def _parse(path: Path, name: str, raw: bytes, digest: str) -> Document:
    fields: dict[str, Any] = {}
    title, suffix = "", path.suffix.lower()
    blocks: tuple[Block, ...]
    if suffix == ".docx":
        blocks = docx_blocks(raw)
    elif suffix == ".pdf":
        blocks = pdf_blocks(raw)
    else:
        text = _decode(raw)
        if suffix == ".csv":
            blocks = csv_faq(text)
        elif suffix == ".jsonl":
            blocks = jsonl_faq(text)
        elif suffix in {".html", ".htm"}:
            title, blocks = html_blocks(text)
        else:
            fields, body, lines = front_matter(text)
            blocks = markdown_blocks(body, lines) if suffix != ".txt" else text_blocks(body)
    heading = next((block.text for block in blocks if block.kind == HEADING), "")
    opening = "\n".join(block.text for block in blocks[:4])
    return Document(
        id=str(fields.get("id") or path.stem),
        title=str(fields.get("title") or title or heading or path.stem),
        product=str(fields.get("product") or ""),
        version=str(fields.get("version") or ""),
        effective_from=_day(fields, "effective_from", _STARTS, opening),
        effective_to=_day(fields, "effective_to", _EXPIRES, opening),
        path=name,
        digest=digest,
        blocks=blocks,
    )


def _decode(raw: bytes) -> str:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError("neither UTF-8 nor GB18030 text")


def _day(fields: Mapping[str, Any], name: str, pattern: re.Pattern[str], opening: str) -> date | None:
    """The front matter's date; without the field, what the document's first lines say of it."""
    if name in fields:
        value = fields[name]
        if value is None or (
            isinstance(value, str) and value.strip().lower() in {"", "null", "none", "长期"}
        ):
            return None
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        found = _DATE.search(str(value))
        if not found:
            raise ValueError(f"`{name}`: {value!r} is not a date; write 2026-01-31")
    else:
        said = pattern.search(opening)
        found = _DATE.search(said[1]) if said else None
        if not found:
            return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from None
