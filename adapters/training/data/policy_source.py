"""What the data room takes from a policy folder: documents in force, fixed replies, the organisation's telephones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from guardrails.knowledge.fact import Knowledge
from guardrails.knowledge.ingest import read_knowledge
from guardrails.policy.replies import Replies, read_replies
from guardrails.policy.settings import PolicyFile
from guardrails.policy.yaml_source import read_yaml


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A policy folder as training data is made from it and checked against it."""

    folder: Path
    today: date
    knowledge: Knowledge
    replies: Replies
    phones: tuple[str, ...]


def read_policy(folder: Path, today: date) -> PolicySource:
    """The documents in force on `today`. Raises PolicyProblem, OSError, ValueError where a document is unreadable."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    file = folder / "policy.yaml"
    settings = read_yaml(file).parse(PolicyFile) if file.exists() else PolicyFile()
    numbers = {"hotline": settings.hotline, "police": settings.police, "antifraud": settings.antifraud}
    knowledge, _ = read_knowledge(folder / "knowledge", today)
    if knowledge.problems:
        raise ValueError("\n".join(map(str, knowledge.problems)))
    replies = read_replies(folder / "replies.yaml", **numbers)
    return PolicySource(folder, today, knowledge, replies, tuple(filter(None, numbers.values())))
