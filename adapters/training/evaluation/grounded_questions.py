"""Questions as an engine gets them: with the facts that the gateway would look up, so that no server is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from adapters.training.data.lines import writing
from adapters.training.evaluation.question_file import QuestionFile
from guardrails.chain import HISTORY, Chain
from guardrails.message import Message
from guardrails.policy.load import load_policy
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


def ground(questions: QuestionFile, policy: Path, today: date, target: Path) -> Grounded:
    """Write every question with its facts to `target`, approved answers aside. Raises PolicyProblem, OSError."""
    chain = Chain(load_policy(policy, today=today))
    fixed: dict[str, int] = {}
    with writing(target) as out:
        for at, row in enumerate(questions.rows):
            messages, reason = _prompt(chain, questions.messages(at))
            if not messages:
                fixed[reason] = fixed.get(reason, 0) + 1
                continue
            kept: dict[str, Any] = {name: value for name, value in row.items() if name != "line"}
            out.write(kept | {"messages": messages})
    return Grounded(out.rows, dict(sorted(fixed.items())), out.digest)


def _prompt(chain: Chain, said: list[dict[str, str]]) -> tuple[list[dict[str, str]], str]:
    """What the engine reads; nothing, and why, where it is not asked."""
    outcome = chain.screen([Message(one["role"], one["content"]) for one in said])
    if outcome.reply is not None:
        return [], str(strongest(outcome.verdicts))
    messages = outcome.messages
    answers = chain.policy.answers
    if answers is not None:
        recent = messages[-HISTORY:]
        reply = answers.respond(recent, outcome.lang)
        if reply.kind not in _WRITTEN:
            return [], reply.kind
        messages = answers.ground(reply, recent, outcome.lang)
    return [{"role": one.role, "content": one.content} for one in messages], ""
