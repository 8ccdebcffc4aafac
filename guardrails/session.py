"""What is remembered of a conversation between its requests, by whoever runs the chain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """Counts of one session so far."""

    unknown: int = 0
    clarified: int = 0
    warned: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a person who takes over is told; without private data."""

    reason: str
    lang: str
    summary: str
    slots: tuple[str, ...]
    transcript_digest: str
    turns: int
