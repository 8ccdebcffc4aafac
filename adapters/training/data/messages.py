"""One message of a source, and the dialogues that messages make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from adapters.training.data.shapes import Turns

USER, ASSISTANT = "user", "assistant"


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """`thread` tells the conversations of a source apart. `role` is empty where nobody is known to be the agent."""

    source: str
    line: int
    """Of a spreadsheet the row, of a page the block; from 1."""
    thread: str
    role: str
    text: str
    time: str = ""
    votes: float = 0.0
    accepted: bool = False
    sides: bool = True
    """Whether the source says who is the agent; if not, a thread is a question and the replies to it."""
    opens: bool = False
    """The first of its thread as the source has it."""


@dataclass(frozen=True, slots=True)
class SourceDialogue:
    """What a thread became."""

    source: str
    line: int
    turns: Turns

    @property
    def question(self) -> str:
        """All that is asked."""
        return "\n".join(text for role, text in self.turns if role == USER)

    @property
    def answers(self) -> str:
        """All that is answered."""
        return "\n".join(text for role, text in self.turns if role == ASSISTANT)


def threads(messages: Iterable[SourceMessage]) -> list[list[SourceMessage]]:
    """The messages by conversation, in the order of their first ones; within each by time, where it is known."""
    found: dict[tuple[str, str], list[SourceMessage]] = {}
    for message in messages:
        found.setdefault((message.source, message.thread), []).append(message)
    for told in found.values():
        if all(message.time for message in told):
            told.sort(key=lambda message: message.time)
    return list(found.values())


def with_openers(messages: Iterable[SourceMessage]) -> list[SourceMessage]:
    """The messages, thread by thread, the first of each marked: without its question a thread is worth nothing."""
    return [replace(one, opens=not at) for thread in threads(messages) for at, one in enumerate(thread)]


def dialogue_of(thread: Sequence[SourceMessage]) -> SourceDialogue | None:
    """The dialogue of one conversation; None where nothing was asked or nothing answered."""
    turns = _sides(thread) if thread[0].sides else _replies(thread)
    return SourceDialogue(thread[0].source, thread[0].line, turns) if turns else None


def _sides(thread: Sequence[SourceMessage]) -> Turns:
    """User and agent by turns: what one says in several messages is one; greetings before, loose ends after go."""
    turns: list[tuple[str, str]] = []
    for message in thread:
        if turns and turns[-1][0] == message.role:
            turns[-1] = message.role, f"{turns[-1][1]}\n{message.text}"
        elif turns or message.role == USER:
            turns.append((message.role, message.text))
    if turns and turns[-1][0] == USER:
        turns.pop()
    return tuple(turns)


def _replies(thread: Sequence[SourceMessage]) -> Turns:
    """The first post and the best reply by another: the accepted one, else that with most votes, else the first."""
    first, *others = thread
    if not first.opens:
        return ()
    replies = [other for other in others if not other.role or other.role != first.role]
    if not replies:
        return ()
    best = max(replies, key=lambda reply: (reply.accepted, reply.votes))
    return (USER, first.text), (ASSISTANT, best.text)
