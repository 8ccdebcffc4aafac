"""Reading a policy folder and building its checks, in this process."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from guardrails.policy.folder import PolicyFolder
from guardrails.policy.policy import Policy
from guardrails.policy.replies import read_replies
from guardrails.policy.settings import PolicyFile
from guardrails.policy.yaml_source import read_yaml
from guardrails.verdict import Decision, Verdict


class _Pass:
    def feed(self, text: str) -> str:
        return text

    def finish(self) -> str:
        return ""

    def verdicts(self) -> tuple[Verdict, ...]:
        return ()


class _Absent:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, text: str) -> Verdict:
        return Verdict(self.name, Decision.ALLOW)

    def check(self, text: str, *more: Any) -> Verdict:
        return Verdict(self.name, Decision.ALLOW)

    def mask(self, text: str) -> tuple[str, Verdict]:
        return text, Verdict(self.name, Decision.ALLOW)

    def open(self) -> _Pass:
        return _Pass()


def load_policy(folder: str | Path, *, today: date | None = None, cache_dir: Path | None = None) -> Policy:
    """The policy of a folder. Raises PolicyProblem with file and line, OSError.

    A folder with documents under `knowledge/` alone is a policy; everything else has defaults.
    """
    path = Path(folder)
    files = PolicyFolder(path)
    digest = files.digest()
    file = path / "policy.yaml"
    settings = read_yaml(file).parse(PolicyFile) if file.exists() else PolicyFile()
    replies = read_replies(
        path / "replies.yaml",
        hotline=settings.hotline,
        police=settings.police,
        antifraud=settings.antifraud,
    )
    return Policy(
        name=path.name,
        digest=digest,
        settings=settings,
        replies=replies,
        words=_Absent("words"),
        fraud=_Absent("fraud"),
        privacy=_Absent("privacy"),
        attack=_Absent("attack"),
        handoff=_Absent("handoff"),
        answers=None,
    )
