"""Training rows read as conversations, in any of the data room's shapes; every bad line found at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import orjson

from adapters.training.data.lines import BadRows, Problems, read_lines
from adapters.training.data.shapes import Dialogue, Row, Shape, Turns, read_row, shape_of

__all__ = ["BadRows", "Conversation", "digest_of", "read_conversations", "read_each", "with_system"]

Taken = TypeVar("Taken")

_SHAPES = ", ".join((Shape.MESSAGES, Shape.PAIRS, Shape.TRIPLES))


@dataclass(frozen=True, slots=True)
class Conversation:
    """`turns`: (role, text), ending with the assistant's. `line` counts from 1."""

    line: int
    turns: Turns

    def messages(self) -> list[dict[str, str]]:
        """As a chat template takes it."""
        return [{"role": role, "content": text} for role, text in self.turns]


def read_conversations(path: Path, system: str = "") -> tuple[Conversation, ...]:
    """Every row. Raises BadRows with line numbers, OSError.

    `system` goes before a row that has no system message of its own.
    """

    def taken(line: int, row: Row, shape: Shape) -> Conversation:
        if not isinstance(row, Dialogue):
            raise ValueError(f"{shape.value}, not a dialogue; `atelier data convert` makes them {_SHAPES}")
        return Conversation(line, with_system(row.turns, system))

    return read_each(path, taken, _SHAPES)


def read_each(path: Path, taken: Callable[[int, Row, Shape], Taken], shapes: str) -> tuple[Taken, ...]:
    """What `taken` makes of every row; a ValueError from it is that line's problem. Raises BadRows, OSError.

    `shapes`: what is expected, for the message when there are no rows.
    """
    rows: list[Taken] = []
    problems = Problems(path.name)
    for number, value in read_lines(path, problems):
        try:
            rows.append(taken(number, read_row(value), shape_of(value)))
        except ValueError as error:
            problems.add(number, str(error))
    problems.stop_if_any()
    if not rows:
        raise BadRows(f"{path.name}: no rows; expected one JSON object a line: {shapes}")
    return tuple(rows)


def with_system(turns: Turns, system: str) -> Turns:
    """`turns` after the system message `system`, if there is one and they bring none."""
    return turns if not system or turns[0][0] == "system" else (("system", system), *turns)


def digest_of(rows: tuple[Conversation, ...]) -> str:
    """sha256 (hex) of the conversations in their order, whatever shape they were written in."""
    whole = sha256()
    for row in rows:
        whole.update(orjson.dumps(row.turns) + b"\n")
    return whole.hexdigest()
