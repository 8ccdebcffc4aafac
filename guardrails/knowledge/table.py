"""A table as labelled cells: what its rows are called, what its columns are called, what was merged or left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[str]]

EMPTY_CELLS = frozenset({"", "-", "–", "—", "--", "/", "无", "n/a", "none", "nil"})
_SAME = frozenset({"同上", "〃", "″", "ditto", "as above", "same as above", "same", '"'})
_NONE = frozenset({"无", "none", "nil"})
"""Below the name of a thing that a row may have or not, this is an answer."""
PLAIN_HEADS = frozenset(
    "标准 内容 说明 规定 要求 备注 详情 数值 值 规则 具体内容 具体规定 value values standard details "
    "detail description content information rule rules policy provision specification".split()
)
"""Column heads that say nothing about what stands below them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """`row` and `column` are the labels, `subjects` every name in them."""

    row: str
    column: str
    subjects: tuple[str, ...]
    value: str


def table_cells(rows: Rows, head: int = 1) -> Iterator[Cell]:
    """Every cell that is not part of a row's label."""
    columns, body = _headed(rows, head)
    if not body or not columns:
        return
    grouped = list(_grouped(_filled(body)))
    keys = key_columns([row for _, row in grouped], len(columns))
    for group, row in grouped:
        parts = [group, *row[:keys]] if group else list(row[:keys])
        label = " ".join(part for part in dict.fromkeys(parts) if part.lower() not in EMPTY_CELLS)
        subjects = tuple(name for part in parts for name in split_names(part))
        for column, value in zip(columns[keys:], row[keys:], strict=False):
            if value.lower() not in EMPTY_CELLS or (value.lower() in _NONE and label):
                yield Cell(label, column, subjects + split_names(column), value)


def _headed(rows: Rows, head: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """The heads of the columns, of several rows of heads put together, and the rows below them."""
    width = max((len(row) for row in rows), default=0)
    even = [(*row, *[""] * (width - len(row))) for row in rows]
    if head < 2 and width == 2 and even and _is_pair(even):
        head = 0
    elif head == 0:
        head = 1
    heads = [
        " ".join(
            dict.fromkeys(
                part for row in even[:head] if (part := row[at]) and part.lower() not in EMPTY_CELLS
            )
        )
        for at in range(width)
    ]
    return heads, [row for row in even[head:] if any(row)]


def _is_pair(rows: Rows) -> bool:
    """Two columns without a head: what stands where the head would is itself a name and its value."""
    first = rows[0]
    return len(first[0]) <= 24 and bool(re.search(r"\d", first[1])) and not re.search(r"\d", first[0])


def _filled(body: Rows) -> Iterator[tuple[str, ...]]:
    """Without the gaps that a writer leaves for a merged cell: at the left of a row, and wherever it says "ditto"."""
    above: Sequence[str] = ()
    for row in body:
        filled, leading = [], True
        rest = sum(1 for cell in row if cell)
        for at, cell in enumerate(row):
            same = cell.lower() in _SAME or (leading and not cell and rest > 0 and at < len(row) - rest)
            leading = leading and not cell
            filled.append(above[at] if same and at < len(above) else cell)
        above = tuple(filled)
        yield above


def _grouped(body: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Rows with the name of their group: a row that holds only a name, or one name in every cell, begins a group."""
    group = ""
    for row in body:
        alone = len(row) > 2 and bool(row[0]) and not re.search(r"\d", row[0])
        if alone and (not any(row[1:]) or len(set(row)) == 1):
            group = row[0]
        else:
            yield group, row


def key_columns(body: Sequence[Sequence[str]], width: int) -> int:
    """How many leading columns it takes to tell the rows apart; at least one, and one column is left for values."""
    if width < 2:
        return 0
    for count in range(1, max(width - 1, 1)):
        if len({tuple(row[:count]) for row in body}) == len(body):
            return count
    return max(1, width - 1) if len({tuple(row[:1]) for row in body}) < len(body) else 1


def split_names(text: str) -> tuple[str, ...]:
    """The names a cell lists: "普卡、金卡（人民币账户）" → 普卡, 金卡."""
    bare = re.sub(r"[(（][^()（）]*[)）]$", "", text.strip())
    return tuple(
        name.strip()
        for name in re.split(r"[、,，/;；]|\bor\b|\band\b|(?<=\S\S)(?:以及|或者|和|及)(?=\S\S)", bare)
        if name.strip()
    )
