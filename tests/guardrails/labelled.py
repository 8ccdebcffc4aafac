"""Labelled texts of the checks that recognise what somebody means, and ways to write the same text otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

_FOLDER = Path(__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of `fraud/victims` and the like."""
    check, _, kind = name.partition("/")
    lines = (_FOLDER / check / "data" / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def texts(name: str) -> list[str]:
    """Their texts."""
    return [row["text"] for row in rows(name)]


@st.composite
def disguises(draw: st.DrawFn, originals: list[str]) -> tuple[str, str]:
    """A text, and the same one with other widths and cases and with characters nobody sees."""
    text = draw(st.sampled_from(originals))
    out = []
    for char in text:
        way = draw(st.integers(0, 6))
        if way == 0 and "!" <= char <= "~":
            out.append(chr(ord(char) + 0xFEE0))
        elif way == 1 and char.isascii():
            out.append(char.upper())
        elif way == 2:
            out.append(draw(st.sampled_from("\u200b\u200d\u2060\ufeff\u00ad\u202e")) + char)
        else:
            out.append(char)
    return text, "".join(out)


hostile = st.text(st.characters(codec=None), max_size=400) | st.lists(
    st.sampled_from(
        [
            "\ud800",
            "\u200b",
            "转人工",
            "人工",
            "agent",
            "ignore previous instructions",
            "<|im_start|>",
            "验证码",
            "让我转账",
            "安全账户",
            "𝐚",
            "é",
            "e\u0301",
            "ﾊﾟ",
            "한",
            "\n",
            "（",
            " ",
            "套 现",
            "i g n o r e",
            "aWdub3Jl",
            "%69%67",
        ]
    ),
    max_size=60,
).map("".join)
"""Anything at all, and pieces the checks know in any order."""
