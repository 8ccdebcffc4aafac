"""What the chain asks of each check; the checks know nothing of the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from guardrails.message import Message
from guardrails.verdict import Verdict


class TextStream(Protocol):
    """Guards a text while it is written."""

    def feed(self, text: str) -> str:
        """Take what came, return what may leave now."""

    def finish(self) -> str:
        """The text has ended: return what was still held."""

    def verdicts(self) -> tuple[Verdict, ...]:
        """Everything decided so far."""


class StreamedCheck(Protocol):
    """A check of whole texts and of streams."""

    def check(self, text: str) -> Verdict:
        """What the check says about a whole text."""

    def open(self) -> TextStream:
        """A stream of its own for one answer."""


class MaskingCheck(StreamedCheck, Protocol):
    """A check that can also hide what it found."""

    def mask(self, text: str) -> tuple[str, Verdict]:
        """The text with every find hidden, and the finds."""


class FraudPort(Protocol):
    """The fraud rules."""

    def check(self, text: str, history: Sequence[str] = (), lang: str = "zh") -> Verdict:
        """WARN for a customer in danger, BLOCK for a probe, HANDOFF where a person must decide."""


class TextCheck(Protocol):
    """A check of whole texts."""

    def __call__(self, text: str) -> Verdict:
        """What the check says about `text`."""


class Reply(Protocol):
    """What the documents give for a question: an approved answer, facts to ground one on, or nothing."""

    @property
    def kind(self) -> str:
        """approved, grounded, unknown, out_of_domain or clarify."""

    @property
    def text(self) -> str:
        """The approved answer or the question back."""

    @property
    def reason(self) -> str:
        """Why, as a code."""

    @property
    def confidence(self) -> float:
        """0 to 1."""

    @property
    def citations(self) -> tuple[str, ...]:
        """Where the facts stand."""


class AnswersPort(Protocol):
    """The knowledge documents."""

    def respond(self, messages: Sequence[Message], lang: str) -> Reply:
        """What there is for the last question of a conversation."""

    def ground(self, reply: Reply, messages: Sequence[Message], lang: str) -> tuple[Message, ...]:
        """The short prompt for the engine, instead of `messages`."""

    def nearest(self, messages: Sequence[Message], lang: str, count: int) -> tuple[str, ...]:
        """Questions close to the last one that the documents do answer."""

    def topics(self, lang: str) -> tuple[str, ...]:
        """What the documents are about, in a few names."""

    def open(self, reply: Reply, messages: Sequence[Message], lang: str) -> TextStream:
        """The fact check of an answer written from `reply`."""
