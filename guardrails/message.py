"""One message of a conversation, as the checks see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """`role` as in the OpenAI API; `content` is the text alone."""

    role: str
    content: str
