"""What a check says about a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Decision(StrEnum):
    """Ordered from weakest to strongest: the strongest that applied is the verdict of the whole answer."""

    ALLOW = "allow"
    MASK = "mask"
    REPLACE = "replace"
    WARN = "warn"
    FALLBACK = "fallback"
    HANDOFF = "handoff"
    BLOCK = "block"


_STRENGTH = {decision: rank for rank, decision in enumerate(Decision)}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the original text, in characters, end exclusive."""

    start: int
    end: int

    def shifted(self, by: int) -> Span:
        """The same stretch of a text with `by` more characters before it."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's result. `failed` means the check itself broke; what follows is then its failure policy."""

    check: str
    decision: Decision
    reason: str = ""
    spans: tuple[Span, ...] = ()
    evidence: tuple[str, ...] = ()
    score: float | None = None
    failed: bool = False


def strongest(verdicts: Iterable[Verdict]) -> Decision:
    """The strongest decision among `verdicts`; allow when there is none."""
    return max((verdict.decision for verdict in verdicts), key=_STRENGTH.__getitem__, default=Decision.ALLOW)
