"""Training rows read as conversations, in any of the data room's shapes; every bad line found at once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson

from adapters.training.data.lines import BadRows, Problems, read_lines
from adapters.training.data.shapes import Dialogue, Shape, Turns, read_row, shape_of

__all__ = ["BadRows", "Conversation", "digest_of", "read_conversations"]

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
    rows: list[Conversation] = []
    problems = Problems(path.name)
    for number, value in read_lines(path, problems):
        try:
            row = read_row(value)
            if not isinstance(row, Dialogue):
                raise ValueError(
                    f"{shape_of(value).value}, not a dialogue; `atelier data convert` makes them {_SHAPES}"
                )
            turns = (
                row.turns if not system or row.turns[0][0] == "system" else (("system", system), *row.turns)
            )
            rows.append(Conversation(number, turns))
        except ValueError as error:
            problems.add(number, str(error))
    problems.stop_if_any()
    if not rows:
        raise BadRows(f"{path.name}: no rows; expected one JSON object a line: {_SHAPES}")
    return tuple(rows)


def digest_of(rows: tuple[Conversation, ...]) -> str:
    """sha256 (hex) of the conversations in their order, whatever shape they were written in."""
    whole = sha256()
    for row in rows:
        whole.update(orjson.dumps(row.turns) + b"\n")
    return whole.hexdigest()
