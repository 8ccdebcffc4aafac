"""Questions and answers in CSV or JSON lines, and plain CSV tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import TypeVar

from guardrails.knowledge.document import FAQ, TABLE, Block
from guardrails.knowledge.encoding import clean
from guardrails.knowledge.validity import known_fields

Found = TypeVar("Found")

_QUESTION = "question questions q query prompt title 问题 问 提问 标准问 标准问题 问句".split()
_ANSWER = "answer answers a response reply content 答案 回答 答 答复 标准答案 回复".split()
MAX_FIELD = 1_000_000


def csv_blocks(text: str) -> tuple[Block, ...]:
    """Rows with the columns question and answer (问题 and 答案) as entries; any other CSV as one table.

    Raises ValueError with the line.
    """
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: not CSV: {error}") from None
    rows = [(line, row) for line, row in rows if any(row)]
    if not rows:
        return ()
    head = rows[0][1]
    names = {name.strip().lower(): at for at, name in reversed(list(enumerate(head)))}
    question, answer = _first(names, _QUESTION), _first(names, _ANSWER)
    for line, row in rows[1:]:
        if len(row) > len(head):
            raise ValueError(
                f"line {line}: {len(row)} cells under {len(head)} columns; quote a cell with commas in it"
            )
    if question is None or answer is None:
        width = len(head)
        return (
            Block(
                TABLE, rows=tuple(tuple(row + [""] * (width - len(row))) for _, row in rows), line=rows[0][0]
            ),
        )
    return tuple(_entries(rows[1:], head, question, answer))


def _entries(
    rows: list[tuple[int, list[str]]], head: list[str], question: int, answer: int
) -> Iterator[Block]:
    for line, row in rows:
        cells = row + [""] * (len(head) - len(row))
        rest = {name: cell for name, cell in zip(head, cells, strict=True) if cell}
        if cells[question] and cells[answer]:
            yield _entry(cells[question], cells[answer], rest, line)
        elif cells[question] or cells[answer]:
            raise ValueError(f"line {line}: a question and an answer are needed")


def _entry(question: str, answer: str, rest: Mapping[str, object], line: int) -> Block:
    fields = {name: value for name, value in known_fields(rest).items() if name != "title"}
    return Block(FAQ, rows=((question, answer),), line=line, fields=tuple(fields.items()))


def _delimiter(text: str) -> str:
    """What Excel writes depends on the country."""
    first = text.split("\n", 1)[0]
    return max(",\t;", key=first.count)


def jsonl_blocks(text: str) -> tuple[Block, ...]:
    """Entries, one JSON object with question and answer a line. Raises ValueError with the line."""
    return tuple(_lines(text))


def _lines(text: str) -> Iterator[Block]:
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            entry = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {line}: not JSON: {getattr(error, 'msg', error)}") from None
        names = {str(name).strip().lower(): name for name in entry} if isinstance(entry, dict) else {}
        question, answer = _first(names, _QUESTION), _first(names, _ANSWER)
        if question is None or answer is None:
            raise ValueError(f"line {line}: an object with `question` and `answer` is needed")
        asked, said = entry[question], entry[answer]
        if not isinstance(asked, str) or not isinstance(said, str) or not asked.strip() or not said.strip():
            raise ValueError(f"line {line}: question and answer must be text")
        yield _entry(clean(asked.strip()), clean(said.strip()), entry, line)


def _first(names: Mapping[str, Found], known: list[str]) -> Found | None:
    return next((names[name] for name in known if name in names), None)
