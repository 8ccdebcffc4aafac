"""Plain text read into blocks: headings by their numbering, items by their marks, tables by their gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, TABLE, Block

_HEADING = re.compile(
    r"(?:第[一二三四五六七八九十百\d]{1,4}[章节篇部分条][\s　]*"
    r"|[一二三四五六七八九十]{1,3}[、．.]\s*|[(（][一二三四五六七八九十]{1,3}[)）]\s*"
    r"|#{1,6}\s+|\d{1,2}(?:\.\d{1,2}){0,3}[.、]?\s+|(?:section|chapter|part|article|appendix)\s+[\divxa-z]{1,5}[.:]?\s+)\S"
    r"|[A-Z][A-Z0-9 &/'’-]{3,50}$|[【\[][^】\]]{2,30}[】\]]$|[■◆▌█]\s*[^\s:：]{2,24}$",
    re.I,
)
_NUMBERED = re.compile(
    r"(?:(\d{1,3}(?:\.\d{1,3}){0,3})[.、)）]?"
    r"|[(（]([\d一二三四五六七八九十]{1,3}|[a-z])[)）]|([a-z])[.)]|[-*•·–▪◦○●■])\s*(?=\S)(.+)",
    re.S,
)
_SPACED_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,3}){0,3}(?:[.、)）]\s*|\s{1,3})(?=\D)")
_MARKED = re.compile(r"[(（\-*•·–▪◦○●■]|[a-z][.)]\s")
_MARKS = re.compile(r"^#{1,6}\s+|^[【\[]|[】\]]$|^[■◆▌█]\s*")
_TERMINAL = "。；;.!?！？：:…"
_CAPITALS = re.compile(r"[A-Z]")
_GAPS = re.compile(r"\t+|(?<=\S)[  　]{2,}(?=\S)|\s*\|\s*")
LONGEST_HEADING = 48


def text_blocks(text: str, first_line: int = 0) -> tuple[Block, ...]:
    """Plain text. Lines that were only wrapped are put together again."""
    return settle(tuple(_blocks(list(enumerate(text.split("\n"), first_line + 1)))))


def settle(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """What looked like headings 1, 2, 3 with nothing below them are the items of a list."""
    settled = list(blocks)
    for at, block in enumerate(blocks):
        following = blocks[at + 1] if at + 1 < len(blocks) else Block(HEADING, level=block.level)
        alone = block.kind == HEADING == following.kind and following.level == block.level and at
        if alone and (item := _NUMBERED.fullmatch(block.text)):
            settled[at] = Block(ITEM, item[4].strip(), level=1, number=item[1] or "•", line=block.line)
    return tuple(settled)


def _blocks(lines: Sequence[tuple[int, str]]) -> Iterator[Block]:
    width = _wrap_width([text for _, text in lines])
    at = 0
    while at < len(lines):
        line, raw = lines[at]
        text = raw.strip()
        if not text or re.fullmatch(r"[-=_*~#\s]{3,}", text):
            at += 1
            continue
        rows = _table_at(lines, at)
        if len(rows) > 1:
            yield Block(TABLE, rows=_even(rows), line=line)
            at += sum(1 for _ in _table_lines(lines, at))
            continue
        at += 1
        underlined = at < len(lines) and re.fullmatch(r"[-=]{3,}", lines[at][1].strip()) is not None
        if underlined and len(text) <= LONGEST_HEADING:
            yield Block(HEADING, text, level=2, line=line)
            continue
        if not is_heading(text):
            while at < len(lines) and goes_on(
                text, lines[at][1].strip(), full=display_width(lines[at - 1][1]) >= width
            ):
                text = join(text, lines[at][1].strip())
                at += 1
        yield line_block(text, line)


def line_block(text: str, line: int = 0) -> Block:
    """One whole line as what it looks like."""
    if is_heading(text):
        return Block(HEADING, _MARKS.sub("", text), level=heading_level(text), line=line)
    if (item := _NUMBERED.fullmatch(text)) and (_MARKED.match(text) or _SPACED_NUMBER.match(text)):
        return Block(ITEM, item[4].strip(), level=1, number=item[1] or item[2] or item[3] or "•", line=line)
    return Block(PARAGRAPH, text, line=line)


def is_heading(text: str) -> bool:
    """A short line with a number of a chapter before it, or all in capitals, that is no sentence."""
    if len(text) > LONGEST_HEADING or text[-1] in "。；;.!?！？，,":
        return False
    found = _HEADING.match(text)
    if found is None:
        return False
    if not _CAPITALS.search(text) and re.match(r"[a-z\s&/'’-]+$", text):
        return False
    if re.match(r"[A-Za-z][A-Za-z0-9 &/'’-]{3,50}$", text) and not re.match(
        r"(?:section|chapter|part|article|appendix)\s", text, re.I
    ):
        return text == text.upper() and " " in text + " "
    # "3 days" and "1. 会员在…，…" are no headings: a heading has no comma and no digit of its own at its start.
    return not re.search(r"[，,；;]", text) and re.match(r"\d+(?:\.\d+)*[.、]?\s+[a-z\d]", text) is None


def heading_level(text: str) -> int:
    """2 for a chapter, 3 for a part of one."""
    if marks := re.match(r"#+(?=\s)", text):
        return len(marks[0])
    if numbers := re.match(r"\d+((?:\.\d+)*)", text):
        return 2 + numbers[1].count(".")
    return 3 if re.match(r"[(（]", text) else 2


def goes_on(text: str, following: str, *, full: bool) -> bool:
    """Whether the next line is the rest of this one: this one reaches the margin and does not end a sentence."""
    return bool(
        full
        and following
        and (text[-1] not in _TERMINAL or (text[-1] == ";" and following[0].islower()))
        and not is_heading(following)
        and line_block(following).kind == PARAGRAPH
    )


def join(first: str, second: str) -> str:
    """Two lines as one: with a space between words, without one in Chinese."""
    if first.endswith("-") and second[:1].islower() and first[-2:-1].isalpha():
        return first + second
    wide = first[-1:] > "\u2e7f" or second[:1] > "\u2e7f"
    return f"{first}{second}" if wide else f"{first} {second}"


def display_width(text: str) -> int:
    """In columns of a fixed-width font."""
    text = text.rstrip()
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _wrap_width(lines: Sequence[str]) -> int:
    """From where on a line counts as full; text whose long lines differ much was not wrapped."""
    widths = sorted(width for line in lines if (width := display_width(line)) >= 40)
    if not widths:
        return 1 << 30
    most = widths[int(len(widths) * 0.95)]
    return most - 24 if widths[-1] <= most + 12 and most <= 200 else 1 << 30


def _table_lines(lines: Sequence[tuple[int, str]], at: int) -> Iterator[list[str]]:
    """Rows of cells from `at` on, as long as each has as many as the first."""
    count = 0
    for _, raw in lines[at:]:
        text = raw.strip().strip("|").strip()
        if re.fullmatch(r"[-+=|:\s]{3,}", raw.strip()) and count:
            yield []
            continue
        cells = [cell.strip() for cell in _GAPS.split(text)]
        if len(cells) < 2 or (count and len(cells) != count):
            return
        count = count or len(cells)
        yield cells


def _table_at(lines: Sequence[tuple[int, str]], at: int) -> list[list[str]]:
    if not _GAPS.search(lines[at][1].strip().strip("|").strip()):
        return []
    rows = [row for row in _table_lines(lines, at) if row]
    by_tab = "\t" in lines[at][1] or "|" in lines[at][1]
    return rows if len(rows) >= (2 if by_tab else 3) else []


def _even(rows: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(row) for row in rows)
