"""Training rows: JSONL in the usual shapes, read as conversations, every bad line found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

ROLES = frozenset({"system", "user", "assistant"})
MAX_PROBLEMS = 20
MAX_LINE_BYTES = 4 * 1024 * 1024
_SHAPES = (
    '{"messages": [{"role", "content"}, …]}, {"prompt", "response"} or {"instruction", "input", "output"}'
)


@dataclass(frozen=True, slots=True)
class Conversation:
    """`turns`: (role, text), ending with the assistant's. `line` counts from 1."""

    line: int
    turns: tuple[tuple[str, str], ...]

    def messages(self) -> list[dict[str, str]]:
        """As a chat template takes it."""
        return [{"role": role, "content": text} for role, text in self.turns]


class BadRows(ValueError):
    """The message lists what is wrong, line by line."""


def read_conversations(path: Path, system: str = "") -> tuple[Conversation, ...]:
    """Every row. Raises BadRows with line numbers, OSError.

    `system` goes before a row that has no system message of its own.
    """
    rows: list[Conversation] = []
    problems: list[str] = []
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            try:
                rows.append(Conversation(number, _turns(raw, system)))
            except ValueError as error:
                problems.append(f"{path.name}:{number}: {error}")
    if problems:
        more = f"\n… and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
        raise BadRows("\n".join(problems[:MAX_PROBLEMS]) + more)
    if not rows:
        raise BadRows(f"{path.name}: no rows; expected one JSON object a line: {_SHAPES}")
    return tuple(rows)


def digest_of(rows: tuple[Conversation, ...]) -> str:
    """sha256 (hex) of the conversations in their order, whatever shape they were written in."""
    whole = sha256()
    for row in rows:
        whole.update(orjson.dumps(row.turns) + b"\n")
    return whole.hexdigest()


def _turns(raw: bytes, system: str) -> tuple[tuple[str, str], ...]:
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES // 2**20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from None
    try:
        row = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"not an object; expected {_SHAPES}")
    turns = tuple(_read(row))
    for position, (role, content) in enumerate(turns, 1):
        if role not in ROLES:
            raise ValueError(f"message {position}: role {role!r} is none of {', '.join(sorted(ROLES))}")
        if not content.strip():
            raise ValueError(f"message {position} ({role}) is empty")
    if len(turns) < 2 or turns[-1][0] != "assistant":
        raise ValueError("the last message must be the assistant's, after at least one other")
    return turns if not system or turns[0][0] == "system" else (("system", system), *turns)


def _read(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "messages" in row:
        messages = row["messages"]
        if not isinstance(messages, list):
            raise ValueError("messages is not a list")
        for position, message in enumerate(messages, 1):
            if not isinstance(message, dict):
                raise ValueError(f"message {position} is not an object with role and content")
            yield _text(message, "role"), _text(message, "content")
    elif "instruction" in row and "output" in row:
        given = _text(row, "input") if row.get("input") else ""
        yield "user", _text(row, "instruction") + (f"\n{given}" if given else "")
        yield "assistant", _text(row, "output")
    elif "prompt" in row and "response" in row:
        yield "user", _text(row, "prompt")
        yield "assistant", _text(row, "response")
    else:
        raise ValueError(f"its fields are {', '.join(sorted(row)) or 'none'}; expected {_SHAPES}")


def _text(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise ValueError(f"{field} is not a text")
    return value
