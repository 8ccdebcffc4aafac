"""A policy folder, read and built: everything a chain needs, unchangeable."""

from __future__ import annotations

from dataclasses import dataclass

from guardrails.policy.ports import AnswersPort, FraudPort, MaskingCheck, StreamedCheck, TextCheck
from guardrails.policy.replies import Replies
from guardrails.policy.settings import PolicyFile


@dataclass(frozen=True, slots=True)
class Policy:
    """`digest`: of every file of the folder. `answers`: None where the folder holds no documents."""

    name: str
    digest: str
    settings: PolicyFile
    replies: Replies
    words: StreamedCheck
    fraud: FraudPort
    privacy: MaskingCheck
    attack: TextCheck
    handoff: TextCheck
    answers: AnswersPort | None
