"""Files of labelled questions, every broken line named before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.training.data.lines import BadRows, Problems, read_lines
from guardrails.evaluation.questions import EXPECTED

ROLES = frozenset({"system", "user", "assistant"})
_LONGEST = 200_000
"""Characters of one question's messages; a longer one is a mistake."""


@dataclass(frozen=True, slots=True)
class QuestionFile:
    """`rows`: as `guardrails.evaluation.questions.judge` takes them, each with its `line`. `digest`: sha256 (hex) of
    the file.
    """

    name: str
    rows: tuple[Mapping[str, Any], ...]
    digest: str

    def messages(self, at: int, system: str = "") -> list[dict[str, str]]:
        """What is said before the answer to question `at`, after `system` where it brings no system message."""
        said = [dict(message) for message in self.rows[at]["messages"]]
        return (
            [{"role": "system", "content": system}, *said] if system and said[0]["role"] != "system" else said
        )


def read_questions(path: Path) -> QuestionFile:
    """All rows. Raises BadRows that names every broken line, OSError."""
    problems = Problems(path.name)
    rows: list[Mapping[str, Any]] = []
    lines: dict[str, int] = {}
    for number, value in read_lines(path, problems):
        try:
            row = _row(value, number)
            first = lines.setdefault(row["id"], number)
            if first != number:
                raise ValueError(f"id {row['id']!r} is that of line {first}")
            rows.append(row)
        except ValueError as error:
            problems.add(number, str(error))
    problems.stop_if_any()
    if not rows:
        raise BadRows(
            f'{path.name}: no questions; expected one JSON object a line: {{"messages", "expect", …}}'
        )
    return QuestionFile(path.name, tuple(rows), sha256(path.read_bytes()).hexdigest())


def _row(value: Any, number: int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    _check_messages(value.get("messages"))
    if value.get("expect") not in EXPECTED:
        raise ValueError(f"`expect` must be one of {', '.join(EXPECTED)}")
    groups = value.get("must_include", [])
    if not isinstance(groups, list) or not all(_texts(group) and group for group in groups):
        raise ValueError(
            "`must_include` must be a list of groups, each a list of wordings of which one has to be there"
        )
    if not _texts(value.get("must_not_include", [])):
        raise ValueError("`must_not_include` must be a list of texts")
    for name in ("id", "lang", "type"):
        if not isinstance(value.get(name, ""), str):
            raise ValueError(f"`{name}` must be a text")
    return {**value, "id": value.get("id") or f"line {number}", "line": number}


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise ValueError("a question needs `messages`")
    for message in messages:
        known = isinstance(message, dict) and message.get("role") in ROLES
        if not known or not isinstance(message.get("content"), str) or message.keys() != {"role", "content"}:
            raise ValueError(f"a message is {{role, content}}, the role one of {', '.join(sorted(ROLES))}")
    if messages[-1]["role"] != "user" or not messages[-1]["content"].strip():
        raise ValueError("the last message must be the user's, and say something")
    if sum(len(message["content"]) for message in messages) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST} characters")


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
