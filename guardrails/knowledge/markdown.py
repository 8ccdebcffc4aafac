"""Markdown with front matter, read into blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, TABLE, Block
from guardrails.knowledge.html import html_blocks

MAX_FRONT = 100_000
_FRONT = re.compile(r"\A\s*---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_WIDE = r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]"
_WRAPPED = re.compile(rf"(?<={_WIDE})\n(?={_WIDE})")
_BREAK = re.compile(r"(?i)<br\s*/?>")


def front_matter(text: str) -> tuple[dict[str, Any], str, int]:
    """The head's fields as text, what comes after it, and how many lines it took. Raises ValueError with the line."""
    found = _FRONT.match(text)
    if not found:
        return {}, text, 0
    if len(found[1]) > MAX_FRONT:
        raise ValueError(f"line 1: the front matter is longer than {MAX_FRONT} characters")
    try:
        # The base loader leaves every value the text it is: 001 stays 001, 2.10 stays 2.10. It makes no objects.
        fields = yaml.load(found[1], Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise ValueError(
            f"line {line}: the front matter is not YAML: {getattr(error, 'problem', error)}"
        ) from None
    if fields in (None, ""):
        fields = {}
    if not isinstance(fields, dict):
        raise ValueError("line 1: the front matter must be `name: value` lines")
    return fields, text[found.end() :], found[0].count("\n")


def front_matter_line(text: str, name: str) -> int | None:
    """The line of a field of the head."""
    found = _FRONT.match(text)
    for number, line in enumerate(found[0].split("\n") if found else (), 1):
        if line.partition(":")[0].strip().strip("\"'") == name:
            return number
    return None


def markdown_blocks(text: str, first_line: int = 0) -> tuple[Block, ...]:
    """The blocks of Markdown text; never raises."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return tuple(_blocks(tokens, first_line))


def _blocks(tokens: Sequence[Token], first_line: int) -> Iterator[Block]:  # noqa: PLR0912 - one branch a token type
    numbers: list[int | None] = []
    rows: list[list[str]] = []
    for at, token in enumerate(tokens):
        line = first_line + (token.map[0] if token.map else 0) + 1
        if token.type == "ordered_list_open":
            numbers.append(int(token.attrGet("start") or 1) - 1)
        elif token.type == "bullet_list_open":
            numbers.append(None)
        elif token.type in {"ordered_list_close", "bullet_list_close"}:
            numbers.pop()
        elif token.type == "list_item_open" and numbers:
            numbers[-1] = None if numbers[-1] is None else numbers[-1] + 1
        elif token.type == "table_open":
            rows, table_line = [], line
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            yield Block(TABLE, rows=tuple(tuple(row) for row in rows), line=table_line)
        elif token.type == "inline":
            content = _plain(token)
            opener = tokens[at - 1]
            if opener.type in {"th_open", "td_open"}:
                rows[-1].append(_BREAK.sub(" ", content))
            elif opener.type == "heading_open":
                yield Block(HEADING, content, level=int(opener.tag[1:]), line=line)
            elif numbers:
                mark = "•" if numbers[-1] is None else str(numbers[-1])
                yield Block(ITEM, content, level=len(numbers), number=mark, line=line)
            elif content:
                yield Block(PARAGRAPH, content, line=line)
        elif token.type == "html_block":
            for block in html_blocks(token.content)[1]:
                yield _moved(block, line - 1)
        elif token.type in {"fence", "code_block"}:
            # Indented text is rarely meant as code in these documents.
            for offset, raw in enumerate(token.content.splitlines()):
                if raw.strip():
                    yield Block(PARAGRAPH, raw.strip(), line=line + offset + (token.type == "fence"))


def _moved(block: Block, lines: int) -> Block:
    return Block(
        block.kind,
        block.text,
        block.level,
        block.number,
        block.rows,
        block.line + lines,
        block.head,
        block.fields,
    )


def _plain(token: Token) -> str:
    """Text without emphasis, links and code marks; a line that only the editor wrapped goes on."""
    parts = []
    for child in token.children or ():
        if child.type in {"text", "code_inline"}:
            parts.append(child.content)
        elif child.type == "html_inline":
            parts.append(" " if _BREAK.fullmatch(child.content.strip()) else "")
        elif child.type == "softbreak":
            parts.append("\n")
        elif child.type == "hardbreak":
            parts.append("\v")
    text = _WRAPPED.sub("", "".join(parts)).replace("\n", " ").replace("\v", "\n")
    return re.sub(r"[ \t]{2,}", " ", text).strip()
