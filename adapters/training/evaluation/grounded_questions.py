"""Questions as an engine gets them: with the facts that the gateway would look up, so that no server is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

from adapters.training.data.lines import writing
from adapters.training.evaluation.question_file import QuestionFile
from guardrails.answers.answers import Draft
from guardrails.answers.grounding import MAX_FACTS
from guardrails.chain import HISTORY, Chain
from guardrails.knowledge.fact import Fact
from guardrails.message import Message
from guardrails.policy.bundle import build
from guardrails.policy.load import load_policy
from guardrails.policy.policy import Policy
from guardrails.verdict import strongest

_WRITTEN = frozenset({"approved", "grounded"})
"""Kinds of reply that an engine can write: approved answers are quoted, but from the same facts."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """`written`: questions an engine would be asked; `fixed`: those that the gateway answers by itself, by their
    reason.
    """

    written: int
    fixed: Mapping[str, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the engine reads, and the facts in it; no messages where it is not asked, for this `reason`."""

    messages: list[dict[str, str]]
    facts: tuple[Fact, ...]
    lang: str
    reason: str = ""


class Prompter:
    """Looks facts up as the gateway does, approved answers aside."""

    def __init__(self, policy: Policy) -> None:
        self._chain = Chain(policy)

    @classmethod
    def of(cls, folder: Path, today: date, cache: Path | None) -> Self:
        """Of the policy in `folder`, kept in `cache` as by a gateway. Raises PolicyProblem, BuildFailed, OSError."""
        return cls(load_policy(folder, today=today) if cache is None else build(folder, cache, today=today))

    def prompt(self, said: Sequence[Mapping[str, str]]) -> Prompt:
        """The engine's prompt for the last question of `said`. About 30 ms where there are documents."""
        outcome = self._chain.screen([Message(one["role"], one["content"]) for one in said])
        if outcome.reply is not None:
            return Prompt([], (), outcome.lang, str(strongest(outcome.verdicts)))
        messages = outcome.messages
        facts: tuple[Fact, ...] = ()
        answers = self._chain.policy.answers
        if answers is not None:
            recent = messages[-HISTORY:]
            reply = answers.respond(recent, outcome.lang)
            if reply.kind not in _WRITTEN:
                return Prompt([], (), outcome.lang, reply.kind)
            messages = answers.ground(reply, recent, outcome.lang)
            facts = reply.facts[:MAX_FACTS] if isinstance(reply, Draft) else ()
        return Prompt([{"role": one.role, "content": one.content} for one in messages], facts, outcome.lang)


def ground(
    questions: QuestionFile, policy: Path, today: date, target: Path, cache: Path | None = None
) -> Grounded:
    """Write every question with its facts to `target`, approved answers aside. Raises as `Prompter.of`."""
    prompter = Prompter.of(policy, today, cache)
    fixed: dict[str, int] = {}
    with writing(target) as out:
        for at, row in enumerate(questions.rows):
            asked = prompter.prompt(questions.messages(at))
            if not asked.messages:
                fixed[asked.reason] = fixed.get(asked.reason, 0) + 1
                continue
            kept: dict[str, Any] = {name: value for name, value in row.items() if name != "line"}
            shown = {"shown": [fact.id for fact in asked.facts]} if asked.facts else {}
            out.write(kept | shown | {"messages": asked.messages})
    return Grounded(out.rows, dict(sorted(fixed.items())), out.digest)
