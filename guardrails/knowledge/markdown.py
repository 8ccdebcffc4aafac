"""Markdown with front matter, read into blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, TABLE, Block

_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def front_matter(text: str) -> tuple[dict[str, Any], str, int]:
    """The head's fields, the text after it, and how many lines the head took. Raises ValueError with the line."""
    found = _FRONT.match(text)
    if not found:
        return {}, text, 0
    try:
        fields = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark else 1
        raise ValueError(
            f"line {line}: the front matter is not YAML: {getattr(error, 'problem', error)}"
        ) from None
    if fields is not None and not isinstance(fields, dict):
        raise ValueError("line 1: the front matter must be `name: value` lines")
    return fields or {}, text[found.end() :], found[0].count("\n")


def markdown_blocks(text: str, first_line: int = 0) -> tuple[Block, ...]:
    """The blocks of Markdown text; never raises."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return tuple(_blocks(tokens, first_line))


def _blocks(tokens: Sequence[Token], first_line: int) -> Iterator[Block]:  # noqa: PLR0912 - one branch a token type
    numbers: list[int | None] = []
    rows: list[list[str]] = []
    in_item = ""
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
            in_item = "•" if numbers[-1] is None else str(numbers[-1])
        elif token.type == "list_item_close":
            in_item = ""
        elif token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            yield Block(TABLE, rows=tuple(tuple(row) for row in rows), line=line)
            rows = []
        elif token.type == "inline":
            content = _plain(token)
            opener = tokens[at - 1]
            if opener.type in {"th_open", "td_open"}:
                rows[-1].append(content)
            elif opener.type == "heading_open":
                yield Block(HEADING, content, level=int(opener.tag[1:]), line=line)
            elif in_item:
                yield Block(ITEM, content, number=in_item, line=line)
            else:
                yield Block(PARAGRAPH, content, line=line)


def _plain(token: Token) -> str:
    """Text without emphasis, links and code marks."""
    parts = []
    for child in token.children or ():
        if child.type in {"text", "code_inline", "html_inline"}:
            parts.append(child.content if child.type != "html_inline" else "")
        elif child.type in {"softbreak", "hardbreak"}:
            parts.append("\n")
    return "".join(parts).strip()
