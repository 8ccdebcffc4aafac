"""What an answer loses of its reward for being long, for repeating itself, and for not ending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_RUN = 4
"""Tokens that are said again together count as a repetition."""


@dataclass(frozen=True, slots=True)
class Penalties:
    """In units of reward. `length` for every token beyond `free_tokens`, `repetition` for an answer that says all
    of its runs of four tokens again, `unfinished` for one that was cut off.
    """

    length: float = 0.0
    free_tokens: int = 0
    repetition: float = 0.0
    unfinished: float = 0.0

    def of(self, answer: Sequence[int], *, finished: bool) -> float:
        """What this answer loses."""
        return (
            self.length * max(0, len(answer) - self.free_tokens)
            + self.repetition * repeated_share(answer)
            + (0.0 if finished else self.unfinished)
        )


def repeated_share(answer: Sequence[int]) -> float:
    """Share of the runs of four tokens that the answer had said before; 0 to below 1."""
    runs = [tuple(answer[start : start + _RUN]) for start in range(len(answer) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
