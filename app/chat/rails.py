"""The seam of the guardrail chain: what a chat request asks of it, before and while the answer is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.chat.assistants import Assistant
from guardrails.trace import TraceEntry
from guardrails.verdict import Verdict

CONTENT = "content"
REASONING = "reasoning"


@dataclass(frozen=True, slots=True)
class Turn:
    """One request as the chain sees it. `body` is the request as the client sent it."""

    request_id: str
    assistant: Assistant | None
    body: Mapping[str, Any]
    key_id: str = ""


class OutputRail(Protocol):
    """Guards the texts of one answer while they come; one instance a generation."""

    @property
    def waits(self) -> bool:
        """Whether it may wait for another server, so that the event loop must not call it."""

    def feed(self, choice: int, text: str, kind: str = CONTENT) -> str:
        """Take new text of a choice's content or reasoning, return what may leave now."""

    def finish(self, choice: int, kind: str = CONTENT) -> str:
        """The text has ended: return what was still held."""

    def check_whole(self, choice: int, text: str) -> str | None:
        """A text that leaves in one piece, as it may leave; None if it must not."""

    def blocked(self, choice: int) -> bool:
        """Whether the choice was refused."""

    def verdicts(self) -> tuple[Verdict, ...]:
        """Everything decided so far."""

    def trace(self) -> tuple[TraceEntry, ...]:
        """What each check did."""


def _nothing() -> OutputRail | None:
    return None


@dataclass(frozen=True, slots=True)
class InputResult:
    """What the input rails decided: an answer instead of the engine's, or a body to generate from.

    `ignored`: fields of the request that a guarded assistant does not honour.
    `text`: prompt as it may be written down; None for as it came, empty where nothing may be, the answer included.
    `write_down`: an answer as it may be written down.
    """

    body: Mapping[str, Any]
    verdicts: tuple[Verdict, ...] = ()
    answer: str | None = None
    trace: tuple[TraceEntry, ...] = ()
    citations: tuple[str, ...] = ()
    policy: str = ""
    ignored: tuple[str, ...] = ()
    text: str | None = None
    write_down: Callable[[str], str] | None = None
    open_output: Callable[[], OutputRail | None] = field(default=_nothing)


class Rails(Protocol):
    """The chain, as the gateway calls it."""

    async def check_input(self, turn: Turn) -> InputResult:
        """Run before the engine is asked. Raises ApiError for what cannot be checked."""


class OpenRails:
    """No chain configured: everything passes, nothing is recorded as checked."""

    async def check_input(self, turn: Turn) -> InputResult:
        """Pass the request as it is."""
        return InputResult(turn.body)
