"""Exports of tickets and chats: CSV, JSON lines and Excel, read as messages by what their columns are called."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import openpyxl
import yaml

from adapters.training.data.lines import BadRows, Problems, read_lines
from adapters.training.data.messages import ASSISTANT, USER, SourceMessage
from guardrails.knowledge.encoding import decode

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".xlsx", ".xlsm"})
FIELDS = ("question", "answer", "conversation", "role", "text", "time", "votes", "accepted")
MAX_BYTES = 500 * 1024 * 1024
"""Of a file, and of what a spreadsheet unpacks to."""
_YES = frozenset({"1", "true", "yes", "y", "是", "已采纳", "✓"})

Row = tuple[int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Known:
    columns: Mapping[str, tuple[str, ...]]
    agents: frozenset[str]
    customers: frozenset[str]


@cache
def _known() -> _Known:
    told = yaml.safe_load(Path(__file__).with_name("columns.yaml").read_text(encoding="utf-8"))
    columns = {field: tuple(names) for field, names in told["columns"].items()}
    return _Known(columns, frozenset(told["agents"]), frozenset(told["customers"]))


def table_messages(path: Path, columns: Mapping[str, str], agents: Sequence[str] = ()) -> list[SourceMessage]:
    """The messages of one export. Raises BadRows with line numbers, OSError.

    `columns`: field (of `FIELDS`) → column, over what the columns' names say; `agents`: what the column of roles
    calls the organisation's side, besides the usual words.
    """
    problems = Problems(path.name)
    rows = list(_rows(path, problems))
    problems.stop_if_any()
    if not rows:
        raise BadRows(f"{path.name}: no rows")
    names = dict.fromkeys(name for _, row in rows for name in row)
    mapped = _mapped(path.name, list(names), columns)
    if "question" in mapped and "answer" in mapped:
        return list(_pairs(path.name, rows, mapped))
    return list(_chat(path.name, rows, mapped, frozenset(map(str.casefold, agents))))


def _mapped(name: str, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Field → column. Raises BadRows where neither questions and answers nor a conversation can be told."""
    if wrong := [f"{field}={column}" for field, column in columns.items() if column not in names]:
        raise BadRows(f"{name}: no such column: {', '.join(wrong)}; there are {', '.join(names)}")
    small = {column.strip().casefold(): column for column in reversed(names)}
    found = {
        field: next((small[known] for known in _known().columns[field] if known in small), "")
        for field in FIELDS
    } | dict(columns)
    found = {field: column for field, column in found.items() if column}
    if not ({"question", "answer"} <= found.keys() or {"conversation", "text"} <= found.keys()):
        raise BadRows(
            f"{name}: cannot tell the columns: {', '.join(names)}. Name them, e.g. --map question=COLUMN --map "
            "answer=COLUMN, or for conversations --map conversation=COLUMN --map role=COLUMN --map text=COLUMN"
        )
    return found


def _pairs(name: str, rows: Sequence[Row], mapped: Mapping[str, str]) -> Iterator[SourceMessage]:
    for line, row in rows:
        for role, field in ((USER, "question"), (ASSISTANT, "answer")):
            yield SourceMessage(name, line, str(line), role, row.get(mapped[field], ""))


def _chat(
    name: str, rows: Sequence[Row], mapped: Mapping[str, str], agents: frozenset[str]
) -> Iterator[SourceMessage]:
    def of(row: Mapping[str, str], field: str) -> str:
        return row.get(mapped[field], "").strip() if field in mapped else ""

    agents |= _known().agents
    sides = any(of(row, "role").casefold() in agents for _, row in rows)
    for line, row in rows:
        role = of(row, "role")
        if sides:
            small = role.casefold()
            role = ASSISTANT if small in agents else USER if small in _known().customers else ""
        yield SourceMessage(
            name, line, of(row, "conversation"), role, of(row, "text"), of(row, "time"),
            _number(of(row, "votes")), of(row, "accepted").casefold() in _YES, sides,
        )  # fmt: skip


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _rows(path: Path, problems: Problems) -> Iterator[Row]:
    if path.stat().st_size > MAX_BYTES:
        raise BadRows(f"{path.name}: larger than {MAX_BYTES // 2**20} MiB; split it")
    match path.suffix.lower():
        case ".jsonl":
            yield from _json_rows(path, problems)
        case ".xlsx" | ".xlsm":
            yield from _sheet_rows(path)
        case _:
            yield from _csv_rows(path, problems)


def _json_rows(path: Path, problems: Problems) -> Iterator[Row]:
    for number, value in read_lines(path, problems):
        if isinstance(value, dict):
            yield number, {name: _text(cell) for name, cell in value.items()}
        else:
            problems.add(number, "not an object")


def _csv_rows(path: Path, problems: Problems) -> Iterator[Row]:
    try:
        text = decode(path.read_bytes())
    except ValueError as error:
        raise BadRows(f"{path.name}: {error}") from None
    delimiter = max(",\t;", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    head: list[str] = []
    begun = 1
    try:
        for cells in reader:
            line, begun = begun, reader.line_num + 1
            if not any(map(str.strip, cells)):
                continue
            if not head:
                head = [cell.strip() for cell in cells]
            elif len(cells) > len(head):
                problems.add(
                    line, f"{len(cells)} cells under {len(head)} columns; quote a cell with commas in it"
                )
            else:
                yield line, dict(zip(head, cells, strict=False))
    except csv.Error as error:
        problems.add(begun, f"not CSV: {error}")


def _sheet_rows(path: Path) -> Iterator[Row]:
    """Every sheet that has rows; the first row of each names the columns."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > MAX_BYTES:
                raise BadRows(f"{path.name}: unpacks to more than {MAX_BYTES // 2**20} MiB; split it")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        if isinstance(error, BadRows):
            raise
        raise BadRows(f"{path.name}: not an Excel workbook (.xlsx): {error}") from None
    try:
        for sheet in book.worksheets:
            head: list[str] = []
            for line, cells in enumerate(sheet.iter_rows(values_only=True), 1):
                texts = [_text(cell) for cell in cells]
                if not any(texts):
                    continue
                if not head:
                    head = [text.strip() for text in texts]
                else:
                    yield line, {name: text for name, text in zip(head, texts, strict=False) if name}
    finally:
        book.close()


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
