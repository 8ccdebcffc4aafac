"""The seam of the guardrail chain: what a chat request asks of it, before and while the answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.chat.assistants import Assistant
from guardrails.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Turn:
    """One request as the chain sees it. `body` is the request the engine would get."""

    request_id: str
    assistant: Assistant | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InputResult:
    """What the input rails decided: an answer instead of the engine's, or a body to generate from."""

    body: Mapping[str, Any]
    verdicts: tuple[Verdict, ...] = ()
    answer: str | None = None


class OutputRail(Protocol):
    """Guards the text of one answer while it streams; one instance a request."""

    def feed(self, choice: int, text: str) -> str:
        """Take new text of a choice, return what may leave now."""

    def finish(self, choice: int) -> str:
        """The choice has ended: return what was still held."""

    def verdicts(self) -> tuple[Verdict, ...]:
        """Everything decided so far."""


class Rails(Protocol):
    """The chain, as the gateway calls it."""

    async def check_input(self, turn: Turn) -> InputResult:
        """Run before the engine is asked."""

    def open_output(self, turn: Turn) -> OutputRail | None:
        """The rail of this answer's text; None where nothing has to be checked."""


class OpenRails:
    """No chain configured: everything passes, nothing is recorded as checked."""

    async def check_input(self, turn: Turn) -> InputResult:
        """Pass the request as it is."""
        return InputResult(turn.body)

    def open_output(self, turn: Turn) -> OutputRail | None:
        """Nothing to check."""
        return None
