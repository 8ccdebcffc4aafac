"""HTML pages read into blocks; merged cells are written out into every place they cover."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString, PreformattedString

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, TABLE, Block

_UNWANTED = ["script", "style", "noscript", "template", "nav", "svg", "iframe", "form", "button"]
_BLOCKS = frozenset(
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer header "
    "h1 h2 h3 h4 h5 h6 hr html li main ol p pre section summary table ul caption".split()
)
MAX_SPAN = 200
_DEEPEST = 200


def html_blocks(raw: str) -> tuple[str, tuple[Block, ...]]:
    """Title and blocks of an HTML page; what is no text for a reader is left out."""
    soup = BeautifulSoup(raw, "lxml")
    for unwanted in soup(_UNWANTED):
        unwanted.decompose()
    title = soup.title.get_text(strip=True) if soup.title else ""
    return title, tuple(_walk(soup.body or soup, 0, 0))


def html_fields(raw: str) -> dict[str, str]:
    """What a page's meta tags say of it."""
    soup = BeautifulSoup(raw[:65_536], "lxml")
    found: dict[str, str] = {}
    for meta in soup("meta"):
        name, content = meta.get("name") or meta.get("property"), meta.get("content")
        if isinstance(name, str) and isinstance(content, str):
            found[re.sub(r"^(?:dc|dcterms|og|article)[.:]", "", name.strip().lower())] = content.strip()
    return found


def _walk(node: Tag, depth: int, level: int) -> Iterator[Block]:
    """`level`: how many lists the node is in. Text between blocks is a paragraph of its own."""
    if depth > _DEEPEST:
        yield from _paragraph([node.get_text(" ", strip=True)], node)
        return
    loose: list[str] = []
    for child in node.children:
        if isinstance(child, NavigableString):
            if not isinstance(child, PreformattedString):  # comments, doctypes
                loose.append(str(child))
            continue
        if not isinstance(child, Tag):
            continue
        if child.name == "br":
            loose.append("\n")
        elif child.name not in _BLOCKS and child.find(_BLOCKS) is None:
            loose.append(child.get_text())
        else:
            yield from _paragraph(loose, node)
            loose = []
            yield from _block(child, depth, level)
    yield from _paragraph(loose, node)


def _paragraph(loose: list[str], node: Tag) -> Iterator[Block]:
    for text in re.split(r"\n\s*\n", "".join(loose).replace("\xa0", " ")):
        if plain := _squeeze(text):
            yield Block(PARAGRAPH, plain, line=node.sourceline or 0)


def _block(tag: Tag, depth: int, level: int) -> Iterator[Block]:
    line = tag.sourceline or 0
    if re.fullmatch(r"h[1-6]", tag.name):
        if text := _squeeze(tag.get_text(" ")):
            yield Block(HEADING, text, level=int(tag.name[1]), line=line)
    elif tag.name in {"dt", "summary"}:
        if text := _squeeze(tag.get_text(" ")):
            yield Block(HEADING, text, level=5, line=line)
    elif tag.name == "table":
        yield from _table(tag, line)
    elif tag.name in {"ol", "ul"}:
        yield from _list(tag, depth, level)
    else:
        yield from _walk(tag, depth + 1, level)


def _list(tag: Tag, depth: int, level: int) -> Iterator[Block]:
    start = str(tag.get("start") or "1")
    first = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
    for number, item in enumerate(tag.find_all("li", recursive=False), first):
        mark = str(number) if tag.name == "ol" else "•"
        for block in _walk(item, depth + 1, level + 1):
            if block.kind == PARAGRAPH:
                yield Block(
                    ITEM, block.text, level=level + 1, number=mark, line=block.line or item.sourceline or 0
                )
            else:
                yield block


def _table(tag: Tag, line: int) -> Iterator[Block]:
    """A table's rows as a grid. Tables inside cells are read as text."""
    caption = tag.find("caption")
    if isinstance(caption, Tag) and (text := _squeeze(caption.get_text(" "))):
        yield Block(PARAGRAPH, text, line=caption.sourceline or line)
    rows = [row for row in tag("tr") if row.find_parent("table") is tag]
    grid: list[list[str]] = []
    pending: dict[int, tuple[str, int]] = {}
    heads = 0
    for number, row in enumerate(rows):
        cells = row.find_all(["th", "td"], recursive=False)
        in_head = row.find_parent("thead") is not None
        if heads == number and cells and (in_head or all(cell.name == "th" for cell in cells)):
            heads += 1
        grid.append(_row(cells, pending))
    width = max((len(row) for row in grid), default=0)
    if width:
        yield Block(
            TABLE,
            rows=tuple(tuple(row + [""] * (width - len(row))) for row in grid if row),
            line=line,
            head=heads,
        )


def _row(cells: list[Tag], pending: dict[int, tuple[str, int]]) -> list[str]:
    """One row with the cells of it and those that reach down from rows above."""
    row: list[str] = []
    for cell in cells:
        _reach(row, pending)
        text = _squeeze(cell.get_text(" "))
        down = _span(cell, "rowspan")
        for _ in range(_span(cell, "colspan")):
            if down > 1:
                pending[len(row)] = (text, down - 1)
            row.append(text)
    _reach(row, pending)
    return row


def _reach(row: list[str], pending: dict[int, tuple[str, int]]) -> None:
    while len(row) in pending:
        text, left = pending.pop(len(row))
        if left > 1:
            pending[len(row)] = (text, left - 1)
        row.append(text)


def _span(cell: Tag, name: str) -> int:
    said = str(cell.get(name) or "1")
    return min(max(int(said), 1), MAX_SPAN) if said.isascii() and said.isdigit() and len(said) < 6 else 1


def _squeeze(text: str) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"(?<=[\u3400-\u9fff，。；：、）]) (?=[\u3400-\u9fff，。；：、（])", "", text)
