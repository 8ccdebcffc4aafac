"""Character tables, generated once and read from beside the code."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def simplified() -> dict[int, str]:
    """Traditional character → simplified one, as `str.translate` takes it."""
    text = (
        files("guardrails.tables").joinpath("traditional.txt").read_text(encoding="utf-8").replace("\n", "")
    )
    return {ord(text[at]): text[at + 1] for at in range(0, len(text), 2)}
