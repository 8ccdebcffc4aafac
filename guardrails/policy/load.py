"""Reading a policy folder and building its checks, in this process."""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from pathlib import Path

from guardrails.answers.answers import load_answers
from guardrails.attack.detect import load_attack
from guardrails.fact_check.judge import HttpJudge
from guardrails.fraud.source import load_fraud
from guardrails.handoff.wish import load_handoff
from guardrails.policy.documents import DocumentAnswers
from guardrails.policy.folder import PolicyFolder
from guardrails.policy.policy import Policy
from guardrails.policy.replies import read_replies
from guardrails.policy.settings import JudgeSettings, Mode, OnFailure, PolicyFile
from guardrails.policy.yaml_source import read_yaml
from guardrails.privacy.check import load_privacy
from guardrails.problem import PolicyProblem
from guardrails.words import WordCheck
from guardrails.words.lists import read_lists


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
    lists = read_lists(path / "words")
    return Policy(
        name=path.name,
        digest=digest,
        settings=settings,
        replies=replies,
        words=WordCheck(lists.deny, lists.allow, settings.words.engine),
        fraud=load_fraud(path / "fraud.yaml"),
        privacy=load_privacy(path, (settings.hotline, settings.police, settings.antifraud)),
        attack=load_attack(),
        handoff=load_handoff(),
        answers=_documents(path, settings, today or date.today(), cache_dir),
    )


def _documents(
    path: Path, settings: PolicyFile, today: date, cache_dir: Path | None
) -> DocumentAnswers | None:
    if settings.checks.answers.mode is Mode.OFF:
        return None
    name = sha256(str(path.absolute()).encode()).hexdigest()[:16]
    cache = cache_dir / f"{name}.vectors.npz" if cache_dir is not None else None
    try:
        answers = load_answers(path, today=today, cache=cache, thresholds=settings.answers.thresholds)
    except PolicyProblem:
        raise
    except ValueError as error:
        raise PolicyProblem(path / "policy.yaml", str(error), field="answers") from None
    if answers is None:
        return None
    return DocumentAnswers(answers, settings.answers.approved, _judge(settings.facts.judge))


def _judge(settings: JudgeSettings | None) -> HttpJudge | None:
    if settings is None:
        return None
    closed = settings.on_failure is OnFailure.CLOSED
    return HttpJudge(settings.url, settings.model, settings.key_env, settings.seconds, closed)
