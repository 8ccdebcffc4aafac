"""The knowledge documents as the chain asks them: under the policy's word on approved answers, fact-checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, cast

from guardrails.answers.answers import APPROVED, GROUNDED, UNKNOWN, Answers, Draft
from guardrails.fact_check.judge import HttpJudge
from guardrails.fact_check.stream import FactStream
from guardrails.message import Message
from guardrails.policy.ports import Reply, TextStream

_TOPICS = 6
_TOPIC_LENGTH = 24


class DocumentAnswers:
    """`approved`: quote where sure (prefer), always let the engine write (off), or quote or say nothing (only)."""

    def __init__(
        self, answers: Answers, approved: Literal["off", "prefer", "only"], judge: HttpJudge | None = None
    ) -> None:
        self._answers = answers
        self._approved = approved
        self._judge = judge

    def respond(self, messages: Sequence[Message], lang: str) -> Draft:
        """What there is for the last question."""
        draft = self._answers.respond(messages, lang)
        if draft.kind == APPROVED and self._approved == "off":
            return replace(draft, kind=GROUNDED)
        if draft.kind == GROUNDED and self._approved == "only":
            return replace(draft, kind=UNKNOWN, reason="not_sure", facts=(), citations=(), text="")
        return draft

    def ground(self, reply: Reply, messages: Sequence[Message], lang: str) -> tuple[Message, ...]:
        """The engine's short prompt."""
        return self._answers.ground(cast(Draft, reply), messages, lang)

    def nearest(self, messages: Sequence[Message], lang: str, count: int) -> tuple[str, ...]:
        """What is close to the question and can be answered."""
        return self._answers.nearest(messages, lang, count)

    def topics(self, lang: str) -> tuple[str, ...]:
        """What the documents are about."""
        return tuple(title[:_TOPIC_LENGTH] for title in self._answers.topics(lang)[:_TOPICS])

    def open(self, reply: Reply, messages: Sequence[Message], lang: str) -> TextStream:
        """The fact check of an answer written from `reply`."""
        asked = [message.content for message in messages if message.role == "user"]
        return FactStream(cast(Draft, reply).facts, lang, self._judge, question=" ".join(asked[-2:]))
