"""Answers judged: right or wrong as the guardrails' evaluation says, and their values against the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.training.data.checked_rows import CheckedRow
from adapters.training.data.correctness import ValueCheck
from adapters.training.data.policy_source import PolicySource
from adapters.training.data.shapes import Shape
from adapters.training.evaluation.fixed_replies import FixedReplies
from guardrails.evaluation.questions import ANSWERED, judge
from guardrails.verdict import Decision


@dataclass(frozen=True, slots=True)
class Answer:
    """What one contender said to one question.

    `verdict`: the server's, empty where it gives none. `seconds`: of the whole answer; `first`: until its first
    text. `error`: why there is no answer.
    """

    text: str
    verdict: str = ""
    seconds: float = 0.0
    first: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer judged. `contradicted`: it holds a value that the documents contradict, or one its question forbids;
    `unproved`: one the documents do not have; `against`: what the documents say instead.
    """

    id: str
    kind: str
    lang: str
    expect: str
    right: bool
    problems: tuple[str, ...]
    verdict: str
    contradicted: bool
    unproved: bool
    against: str
    answer: Answer

    @property
    def came(self) -> bool:
        """Whether there is an answer at all."""
        return not self.answer.error


class Judge:
    """Judges by the question alone, and by a policy's documents and fixed replies where there is one."""

    def __init__(self, source: PolicySource | None) -> None:
        self._values = ValueCheck(source) if source is not None else None
        self._replies = FixedReplies(source.replies) if source is not None else None

    def judged(self, row: Mapping[str, Any], answer: Answer) -> Judged:
        """One answer."""
        verdict = self._verdict(answer)
        outcome = judge(
            row, {"text": answer.text, "verdict": verdict, "error": answer.error, "seconds": answer.seconds}
        )
        wrong, unproved, against = (
            self._doubts(row, answer.text) if verdict in ANSWERED else (False, False, "")
        )
        return Judged(
            outcome.id, outcome.type, outcome.lang, str(row["expect"]), not outcome.problems, outcome.problems,
            verdict, wrong or "forbidden" in outcome.problems, unproved, against, answer,
        )  # fmt: skip

    def all_judged(self, rows: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> list[Judged]:
        """Each question's answer, in their order."""
        return [self.judged(row, answer) for row, answer in zip(rows, answers, strict=True)]

    def _verdict(self, answer: Answer) -> str:
        if answer.error:
            return ""
        given = answer.verdict or str(Decision.ALLOW)
        if given in ANSWERED and self._replies is not None:
            return self._replies.verdict(answer.text) or given
        return given

    def _doubts(self, row: Mapping[str, Any], text: str) -> tuple[bool, bool, str]:
        """Whether a sentence has a value that the documents contradict, or do not have, and what they say."""
        if self._values is None or not text.strip():
            return False, False, ""
        asked = tuple((one["role"], one["content"]) for one in row["messages"] if one["role"] == "user")
        told = CheckedRow(0, Shape.MESSAGES, (*asked, ("assistant", text)), {"facts": row.get("facts")})
        found = {judged.reason: judged.evidence for judged in self._values.judged(told)}
        return "wrong_value" in found, "unproved_value" in found, found.get("wrong_value", "")
