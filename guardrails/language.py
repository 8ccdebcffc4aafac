"""Which of the two languages a text is in."""

from __future__ import annotations


def detect(text: str) -> str:
    """`zh` if any of it is Chinese, else `en`."""
    return "zh" if any("\u3400" <= char <= "\u9fff" for char in text) or not text.strip() else "en"
