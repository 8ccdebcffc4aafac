"""The shapes a training row may have, read strictly and written back; what else stands in a row is carried along."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Turns = tuple[tuple[str, str], ...]

ROLES = ("system", "user", "assistant")
LOWEST, HIGHEST = 0.0, 5.0
"""The bounds of a score, both inclusive."""


class Shape(StrEnum):
    """How the rows of a file are written."""

    MESSAGES = "messages"
    PAIRS = "pairs"
    TRIPLES = "triples"
    PREFERENCES = "preferences"
    SCORES = "scores"


FIELDS: dict[Shape, tuple[str, ...]] = {
    Shape.PREFERENCES: ("prompt", "chosen", "rejected"),
    Shape.SCORES: ("prompt", "response", "score", "rater"),
    Shape.MESSAGES: ("messages",),
    Shape.TRIPLES: ("instruction", "input", "output"),
    Shape.PAIRS: ("prompt", "response"),
}
"""By shape, the most telling first: a row of scores has the fields of a pair too."""
_OPTIONAL = frozenset({"input", "rater"})
EXPECTED = "; ".join(f"{shape.value}: {', '.join(fields)}" for shape, fields in FIELDS.items())


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`turns` of (role, text): a system message may lead, then user and assistant take turns, the latter last."""

    turns: Turns
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, the better first. `prompt` is turns up to the user's last."""

    prompt: Turns
    chosen: str
    rejected: str
    rest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Score:
    """One rater's judgement, 0 (useless) to 5, of one answer."""

    prompt: Turns
    response: str
    score: float
    rater: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)


Row = Dialogue | Preference | Score


def shape_of(row: Mapping[str, Any]) -> Shape:
    """The shape whose fields `row` has. Raises ValueError."""
    for shape, fields in FIELDS.items():
        if all(name in row for name in fields if name not in _OPTIONAL):
            return shape
    raise ValueError(f"its fields are {', '.join(sorted(row)) or 'none'}; expected {EXPECTED}")


def read_row(row: Any) -> Row:
    """The row of one JSON object. Raises ValueError that says which field is wrong and how."""
    if not isinstance(row, Mapping):
        raise ValueError(f"not an object; expected {EXPECTED}")
    shape = shape_of(row)
    rest = {name: value for name, value in row.items() if name not in FIELDS[shape]}
    return _READERS[shape](row, rest)


def write_row(row: Row, shape: Shape) -> dict[str, Any]:
    """`row` in a shape that can hold it. Raises ValueError where it cannot."""
    if isinstance(row, Preference):
        own: dict[str, Any] = {
            "prompt": _prompt_out(row.prompt),
            "chosen": row.chosen,
            "rejected": row.rejected,
        }
    elif isinstance(row, Score):
        own = {
            "prompt": _prompt_out(row.prompt),
            "response": row.response,
            "score": row.score,
            "rater": row.rater,
        }
    elif shape is Shape.MESSAGES:
        own = {"messages": [{"role": role, "content": text} for role, text in row.turns]}
    elif len(row.turns) != 2:
        raise ValueError(
            f"{len(row.turns)} messages (a system message counts); {shape.value} hold one question and its answer"
        )
    elif shape is Shape.PAIRS:
        own = {"prompt": row.turns[0][1], "response": row.turns[1][1]}
    else:
        own = {"instruction": row.turns[0][1], "input": "", "output": row.turns[1][1]}
    if twice := sorted(own.keys() & row.rest.keys()):
        raise ValueError(f"another field of the row is also called {', '.join(twice)}; rename it")
    return own | dict(row.rest)


def _messages(row: Mapping[str, Any], rest: Mapping[str, Any]) -> Dialogue:
    return Dialogue(checked_turns(_turns(row["messages"], "messages"), "assistant"), rest)


def _pair(row: Mapping[str, Any], rest: Mapping[str, Any]) -> Dialogue:
    return Dialogue((("user", _text(row, "prompt")), ("assistant", _text(row, "response"))), rest)


def _triple(row: Mapping[str, Any], rest: Mapping[str, Any]) -> Dialogue:
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise ValueError("input is not a text")
    asked = _text(row, "instruction") + (f"\n{given}" if given.strip() else "")
    return Dialogue((("user", asked), ("assistant", _text(row, "output"))), rest)


def _preference(row: Mapping[str, Any], rest: Mapping[str, Any]) -> Preference:
    chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    if chosen == rejected:
        raise ValueError("chosen and rejected are the same text")
    return Preference(_prompt(row), chosen, rejected, rest)


def _score(row: Mapping[str, Any], rest: Mapping[str, Any]) -> Score:
    score = row["score"]
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise ValueError("score is not a number")
    if not LOWEST <= score <= HIGHEST:
        raise ValueError(f"score is {score}; it goes from {LOWEST:g} to {HIGHEST:g}")
    rater = row.get("rater") or ""
    if not isinstance(rater, str):
        raise ValueError("rater is not a text")
    return Score(_prompt(row), _text(row, "response"), float(score), rater, rest)


_READERS: dict[Shape, Callable[[Mapping[str, Any], Mapping[str, Any]], Row]] = {
    Shape.MESSAGES: _messages,
    Shape.PAIRS: _pair,
    Shape.TRIPLES: _triple,
    Shape.PREFERENCES: _preference,
    Shape.SCORES: _score,
}


def _prompt(row: Mapping[str, Any]) -> Turns:
    """A text, or the messages before the answer."""
    if isinstance(row["prompt"], list):
        return checked_turns(_turns(row["prompt"], "prompt"), "user")
    return (("user", _text(row, "prompt")),)


def _prompt_out(prompt: Turns) -> str | list[dict[str, str]]:
    if len(prompt) == 1:
        return prompt[0][1]
    return [{"role": role, "content": text} for role, text in prompt]


def _turns(messages: Any, name: str) -> Turns:
    if not isinstance(messages, list):
        raise ValueError(f"{name} is not a list")
    found = []
    for position, message in enumerate(messages, 1):
        if not isinstance(message, Mapping):
            raise ValueError(f"{name}: message {position} is not an object with role and content")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str) or not isinstance(content, str):
            raise ValueError(f"{name}: message {position}: role or content is not a text")
        found.append((role, content))
    return tuple(found)


def checked_turns(turns: Turns, last: str) -> Turns:
    """`turns`, if they alternate and end with the role `last`. Raises ValueError with the message's place."""
    for position, (role, text) in enumerate(turns, 1):
        if role not in ROLES:
            raise ValueError(f"message {position}: role {role!r} is none of {', '.join(ROLES)}")
        if not text.strip():
            raise ValueError(f"message {position} ({role}) is empty")
    said = turns[1:] if turns and turns[0][0] == "system" else turns
    for position, (role, _) in enumerate(said, 1 + len(turns) - len(said)):
        due = "user" if (position - (len(turns) - len(said))) % 2 else "assistant"
        if role != due:
            raise ValueError(f"message {position} is the {role}'s; it is the {due}'s turn")
    if not said or said[-1][0] != last:
        raise ValueError(f"the last message must be the {last}'s")
    return turns


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    if not value.strip():
        raise ValueError(f"{name} is empty")
    return value
