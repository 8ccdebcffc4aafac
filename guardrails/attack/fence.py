"""Retrieved text inside a prompt: marked off so that it can neither end its part nor open another one."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Line ends of every kind: a fenced piece is one line, so nothing in it can look like a heading or a turn.
_LINES = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Controls, invisible and bidirectional marks, tags: what a model reads and a person does not see.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)
# Signs of which the control tokens of every chat template are made; each becomes one that looks alike and is none.
_SIGNS = str.maketrans(
    {"<": "‹", ">": "›", "＜": "‹", "＞": "›", "﹤": "‹", "﹥": "›", "|": "¦", "｜": "¦", "▁": "_", "`": "'"}
)
# [INST], [/INST], [SYSTEM_PROMPT], [TOOL_CALLS] and their like.
_BRACKETED = re.compile(r"\[(?=/?[\s]*[A-Z_]{3,24}[\s]*\])")


def inert(text: str) -> str:
    """`text` as one line without anything a chat template or a fence is made of."""
    text = _UNSEEN.sub("", _LINES.sub(" ", text)).translate(_SIGNS)
    return _BRACKETED.sub("［", text)


def fence(tag: str, pieces: Sequence[str], limit: int | None = None) -> str:
    """`pieces` as lines between `<tag>` and `</tag>`; the only such marks in what is returned. `limit`: characters
    of one piece."""
    lines = "\n".join(f"- {inert(piece)[:limit]}" for piece in pieces)
    return f"<{tag}>\n{lines}\n</{tag}>"
