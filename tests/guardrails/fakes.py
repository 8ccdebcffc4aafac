"""Checks small enough to be read at a glance, for tests of the chain around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guardrails.message import Message
from guardrails.policy.policy import Policy
from guardrails.policy.replies import read_replies
from guardrails.policy.settings import PolicyFile
from guardrails.verdict import Decision, Span, Verdict


class Denied:
    """Blocks one word; holds back what may become it."""

    def __init__(self, word: str = "forbidden") -> None:
        self.word = word

    def check(self, text: str) -> Verdict:
        at = text.find(self.word)
        if at < 0:
            return Verdict("words", Decision.ALLOW)
        return Verdict("words", Decision.BLOCK, "denied", (Span(at, at + len(self.word)),), ("w1",))

    def open(self) -> DeniedStream:
        return DeniedStream(self)


class DeniedStream:
    def __init__(self, denied: Denied) -> None:
        self.denied = denied
        self.held = ""
        self.found: tuple[Verdict, ...] = ()

    def feed(self, text: str) -> str:
        if self.found:
            return ""
        text = self.held + text
        word = self.denied.word
        at = text.find(word)
        if at >= 0:
            self.found, self.held = (self.denied.check(text),), ""
            return text[:at]
        keep = next((n for n in range(min(len(word) - 1, len(text)), 0, -1) if word.startswith(text[-n:])), 0)
        self.held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        rest, self.held = self.held, ""
        return rest

    def verdicts(self) -> tuple[Verdict, ...]:
        return self.found


class Masked:
    """Hides one word."""

    def __init__(self, secret: str = "4111") -> None:
        self.secret = secret

    def check(self, text: str) -> Verdict:
        at = text.find(self.secret)
        spans = (Span(at, at + len(self.secret)),) if at >= 0 else ()
        return Verdict("privacy", Decision.MASK if spans else Decision.ALLOW, "card" if spans else "", spans)

    def mask(self, text: str) -> tuple[str, Verdict]:
        return text.replace(self.secret, "*" * len(self.secret)), self.check(text)

    def open(self) -> MaskedStream:
        return MaskedStream(self)


class MaskedStream:
    def __init__(self, masked: Masked) -> None:
        self.masked = masked
        self.text = ""

    def feed(self, text: str) -> str:
        self.text += text
        return ""

    def finish(self) -> str:
        return self.masked.mask(self.text)[0]

    def verdicts(self) -> tuple[Verdict, ...]:
        verdict = self.masked.check(self.text)
        return (verdict,) if verdict.decision is not Decision.ALLOW else ()


class Says:
    """A check of whole texts that decides when it reads a word."""

    def __init__(self, name: str, word: str, decision: Decision) -> None:
        self.name, self.word, self.decision = name, word, decision

    def __call__(self, text: str) -> Verdict:
        found = self.word in text
        return Verdict(self.name, self.decision if found else Decision.ALLOW, self.word if found else "")

    def check(self, text: str, history: Sequence[str] = (), lang: str = "zh") -> Verdict:
        return self(text)


class Broken:
    """Fails at whatever it is asked."""

    def __call__(self, *_: Any) -> Any:
        raise RuntimeError("the text of the user must not be logged")

    check = mask = open = respond = __call__


@dataclass(frozen=True)
class FakeReply:
    kind: str
    text: str = ""
    reason: str = ""
    confidence: float = 1.0
    citations: tuple[str, ...] = ("Doc §1",)


@dataclass
class FakeAnswers:
    """Answers what it was told to."""

    reply: FakeReply
    stream: Any = None
    asked: list[Sequence[Message]] = field(default_factory=list)

    def respond(self, messages: Sequence[Message], lang: str) -> FakeReply:
        self.asked.append(messages)
        return self.reply

    def ground(self, reply: Any, messages: Sequence[Message], lang: str) -> tuple[Message, ...]:
        return (Message("system", "facts"), Message("user", messages[-1].content))

    def nearest(self, messages: Sequence[Message], lang: str, count: int) -> tuple[str, ...]:
        return ("What does it cost?", "How long does it take?")[:count]

    def topics(self, lang: str) -> tuple[str, ...]:
        return ("cards", "loans")

    def open(self, reply: Any, messages: Sequence[Message], lang: str) -> Any:
        return self.stream


def policy(checks: dict[str, Any] | None = None, **parts: Any) -> Policy:
    """A policy of fakes; `checks` as in policy.yaml."""
    settings = PolicyFile.model_validate({"checks": checks or {}, "hotline": "400-1"})
    replies = read_replies(Path("none"), hotline="400-1", police="110", antifraud="96110")
    fakes: dict[str, Any] = {
        "words": Denied(),
        "fraud": Says("fraud", "safe account", Decision.WARN),
        "privacy": Masked(),
        "attack": Says("attack", "ignore previous", Decision.BLOCK),
        "handoff": Says("handoff", "agent", Decision.HANDOFF),
        "answers": None,
    }
    return Policy(name="test", digest="0" * 64, settings=settings, replies=replies, **fakes | parts)
