"""Names that stand at the head of a paragraph instead of over it: 【Opening hours】 …, Article 4 (Suspension) …"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from guardrails.knowledge.document import HEADING, ITEM, PARAGRAPH, Block

LEVEL = 6
"""Below every heading that a format has of its own."""

_BRACKETS = re.compile(r"[【\[]([^】\]\n]{1,24})[】\]]\s*[:：]?\s*(.*)", re.S)
_ARTICLE = re.compile(
    r"((?:第[一二三四五六七八九十百零〇\d]{1,5}条|(?:Article|Section|Clause) \d{1,3})\s*[(（][^)）\n]{1,40}[)）])"
    r"[:：.]?\s*(.*)",
    re.S,
)
_NUMBERED = re.compile(
    r"(\d{1,2}(?:\.\d{1,2}){1,3})[.、]?[\s　]+(?:([^\s　，。：:；,.]{2,12})[　：:]\s*)?(\S.*)", re.S
)


def labelled(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks with such names as headings of the lowest level, and `2.1` before a paragraph as its number."""
    return tuple(part for block in blocks for part in _parts(block))


def _parts(block: Block) -> Iterator[Block]:
    if block.kind != PARAGRAPH:
        yield block
    elif found := _BRACKETS.fullmatch(block.text) or _ARTICLE.fullmatch(block.text):
        name, rest = found[1], found[2].strip()
        yield Block(HEADING, name, level=LEVEL, line=block.line)
        if rest:
            yield replace(block, text=rest)
    elif found := _NUMBERED.fullmatch(block.text):
        text = f"{found[2]}：{found[3]}" if found[2] else found[3]
        yield replace(block, kind=ITEM, level=1, number=found[1], text=text)
    else:
        yield block
