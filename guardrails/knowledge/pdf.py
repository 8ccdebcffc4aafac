"""PDF pages read into blocks: a PDF knows only pieces of text at places, so tables and paragraphs are rebuilt."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pypdf

from guardrails.knowledge.document import HEADING, PARAGRAPH, TABLE, Block
from guardrails.knowledge.plain import (
    LONGEST_HEADING,
    display_width,
    goes_on,
    is_heading,
    join,
    line_block,
    settle,
)

MAX_PAGES = 2_000
SECONDS = 120.0
_LARGER = 1.15
"""A line in type this much larger than most of the text is a heading."""
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:page\s*)?\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?[-–—\s]*|第\s*\d{1,4}\s*页(?:\s*[,，/]?\s*共\s*\d{1,4}\s*页)?",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """`left` and `y` in points, y upwards from the bottom of its page."""

    page: int
    left: float
    y: float
    size: float
    text: str

    @property
    def right(self) -> float:
        """A guess: the widths of a PDF's glyphs are not worth reading its fonts for."""
        return self.left + self.size * display_width(self.text) * 0.5


@dataclass(frozen=True, slots=True)
class _Line:
    page: int
    y: float
    size: float
    cells: tuple[_Piece, ...]

    @property
    def text(self) -> str:
        out = ""
        for cell in self.cells:
            out = join(out, cell.text) if out else cell.text
        return out


def pdf_blocks(raw: bytes) -> tuple[str, tuple[Block, ...]]:
    """Title and blocks. Raises ValueError."""
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("it is protected by a password")
        title = str((reader.metadata.title if reader.metadata else "") or "").strip()
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise ValueError(f"it has {count} pages; at most {MAX_PAGES} are read")
        lines = list(_lines(reader, time.monotonic() + SECONDS))
    except Exception as error:  # pypdf raises many kinds for a broken file
        raise ValueError(f"not a readable PDF file: {error}") from None
    if not lines:
        raise ValueError("the PDF has no text layer (a scan?); save it with text")
    return title, settle(tuple(_blocks(_without_margins(lines))))


def _lines(reader: pypdf.PdfReader, until: float) -> Iterator[_Line]:
    for number, page in enumerate(reader.pages):
        if time.monotonic() > until:
            raise ValueError(f"reading took longer than {SECONDS:.0f} s, at page {number + 1}")
        try:
            pieces = _pieces(page, number)
        except Exception as error:  # pypdf raises many kinds for a broken page
            raise ValueError(f"page {number + 1}: {error}") from None
        yield from _page_lines(pieces)


def _pieces(page: pypdf.PageObject, number: int) -> list[_Piece]:
    found: list[_Piece] = []

    def take(text: str, cm: list[float], tm: list[float], font: Any, size: float) -> None:
        if not text.strip():
            return
        left, y = tm[4] * cm[0] + tm[5] * cm[2] + cm[4], tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        scale = abs(tm[3] * cm[3]) or abs(tm[1] * cm[1]) or 1.0
        # One call may bring several lines; the place is that of the first.
        for offset, line in enumerate(part for part in text.split("\n") if part.strip()):
            found.append(_Piece(number, left, y - offset * size * scale * 1.2, size * scale, line.strip()))

    page.extract_text(visitor_text=take)
    return found


def _page_lines(pieces: Sequence[_Piece]) -> Iterator[_Line]:
    """Pieces at one height are a line, from the top of the page to its bottom."""
    rows: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda one: (-one.y, one.left)):
        if rows and abs(rows[-1][0].y - piece.y) < 0.45 * max(piece.size, 4.0):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    for row in rows:
        cells = _cells(sorted(row, key=lambda one: one.left))
        size = max(cells, key=lambda one: len(one.text)).size
        yield _Line(row[0].page, row[0].y, size, cells)


def _cells(row: Sequence[_Piece]) -> tuple[_Piece, ...]:
    """Pieces that touch are one; a gap wider than a character parts cells."""
    cells: list[_Piece] = []
    for piece in row:
        last = cells[-1] if cells else None
        if last is not None and piece.left - last.right < 0.9 * piece.size:
            tight = piece.left - last.right < 0.15 * piece.size
            text = last.text + piece.text if tight else join(last.text, piece.text)
            cells[-1] = _Piece(last.page, last.left, last.y, last.size, text)
        else:
            cells.append(piece)
    return tuple(cells)


def _without_margins(lines: Sequence[_Line]) -> list[_Line]:
    """Without page numbers and without what stands at the edge of most pages."""
    pages = 1 + max(line.page for line in lines)
    edges: dict[int, list[int]] = {}
    for at, line in enumerate(lines):
        edges.setdefault(line.page, []).append(at)
    outer = {at for members in edges.values() for at in (*members[:2], *members[-2:])}
    seen = Counter(_shape(lines[at].text) for at in outer)
    return [
        line
        for at, line in enumerate(lines)
        if at not in outer
        or not (_PAGE_NUMBER.fullmatch(line.text) or (pages > 2 and seen[_shape(line.text)] > pages / 2))
    ]


def _shape(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _blocks(lines: Sequence[_Line]) -> Iterator[Block]:
    weights: Counter[float] = Counter()
    for line in lines:
        weights[round(line.size, 1)] += len(line.text)
    body = weights.most_common(1)[0][0] if weights else 10.0
    right = max((line.cells[-1].right for line in lines if len(line.cells) == 1), default=0.0)
    at = 0
    while at < len(lines):
        rows = _table_rows(lines, at)
        if len(rows) > 1:
            yield Block(TABLE, rows=_grid(rows), line=0)
            at += sum(len(row) for row in rows)
            continue
        line = lines[at]
        at += 1
        text = line.text
        if line.size > _LARGER * body and len(text) <= 2 * LONGEST_HEADING:
            yield Block(HEADING, text, level=1 if line.size > 1.6 * body else 2)
            continue
        if not is_heading(text):
            while at < len(lines) and _follows(lines[at - 1], lines[at], right, text):
                text = join(text, lines[at].text)
                at += 1
        block = line_block(text)
        yield block if block.kind != PARAGRAPH else Block(PARAGRAPH, text)


def _follows(line: _Line, other: _Line, right: float, text: str) -> bool:
    same = abs(line.size - other.size) < 0.6 and len(other.cells) == 1
    full = line.cells[-1].right > right - 6 * line.size
    return same and goes_on(text, other.text, full=full)


def _table_rows(lines: Sequence[_Line], at: int) -> list[list[_Line]]:
    """The rows of a table that begins at `at`, each one line or several: a cell may be wrapped."""
    first = lines[at]
    if len(first.cells) < 2:
        return []
    rows = [[first]]
    for line in lines[at + 1 :]:
        before = rows[-1][-1]
        apart = before.y - line.y if before.page == line.page else 0.0
        if apart > 4.5 * max(before.size, line.size) or abs(line.size - first.size) > 2.5:
            break
        if len(line.cells) >= 2 and (
            line.cells[0].left <= first.cells[0].left + 2 * first.size or len(line.cells) == len(first.cells)
        ):
            rows.append([line])
        elif (
            apart < 1.7 * line.size
            and line.page == before.page
            and line.cells[0].left > first.cells[0].left + 2 * first.size
        ):
            rows[-1].append(line)
        else:
            break
    return rows


def _grid(rows: Sequence[Sequence[_Line]]) -> tuple[tuple[str, ...], ...]:
    """Every cell under the column it overlaps most; the columns are those of the row with the most cells."""
    widest = max((line for row in rows for line in row), key=lambda line: len(line.cells))
    columns = [[cell.left, cell.right] for cell in widest.cells]
    for line in (line for row in rows for line in row if len(line.cells) == len(columns)):
        for column, cell in zip(columns, line.cells, strict=True):
            column[0], column[1] = min(column[0], cell.left), max(column[1], cell.right)
    grid = []
    for row in rows:
        cells = [""] * len(columns)
        for line in row:
            whole = len(line.cells) == len(columns)
            for number, cell in enumerate(line.cells):
                at = number if whole else _column(cell, columns)
                cells[at] = join(cells[at], cell.text) if cells[at] else cell.text
        grid.append(tuple(cells))
    return tuple(grid)


def _column(cell: _Piece, columns: Sequence[Sequence[float]]) -> int:
    middle = (cell.left + cell.right) / 2
    return min(range(len(columns)), key=lambda at: _distance(middle, cell.left, columns[at]))


def _distance(middle: float, left: float, column: Sequence[float]) -> float:
    if column[0] <= middle <= column[1] or column[0] <= left <= column[1]:
        return 0.0
    return min(abs(middle - column[0]), abs(middle - column[1]))
