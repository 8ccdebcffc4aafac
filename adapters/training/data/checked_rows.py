"""The rows of a data file as they are checked: what was asked, what is answered, on which line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.training.data.convert import converted
from adapters.training.data.lines import BadRows, Problems, read_lines
from adapters.training.data.shapes import Dialogue, Shape, Turns, read_row, shape_of

_SHOWN = re.compile(r"<(资料|facts)>\n[^<]*</(?:资料|facts)>")
"""The facts that a grounded prompt shows before the question."""


def asked_in(turns: Turns) -> str:
    """All that the user says, without facts a prompt shows."""
    return "\n".join(_SHOWN.sub("", text).strip() for role, text in turns if role == "user")


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """One dialogue of a file; of a preference the better answer."""

    line: int
    shape: Shape
    turns: Turns
    rest: Mapping[str, Any]

    @property
    def question(self) -> str:
        """All that the user says, without facts a prompt shows."""
        return asked_in(self.turns)

    @property
    def answer(self) -> str:
        """The last one."""
        return self.turns[-1][1]

    @property
    def key(self) -> str:
        """What comes before the answer, and which variant is meant: rows with one key must have one answer."""
        said = "\x1e".join(f"{role}:{' '.join(text.split()).casefold()}" for role, text in self.turns[:-1])
        return f"{said}\x1e{self.rest.get('variant', '')}"


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """The rows that can be read, how many cannot, and what is wrong with those."""

    rows: tuple[CheckedRow, ...]
    broken: int
    problems: tuple[str, ...]


def read_checked(path: Path) -> CheckedFile:
    """All rows of `path`. Raises OSError, BadRows where there is no row at all."""
    problems = Problems(path.name)
    rows = []
    for number, value in read_lines(path, problems):
        try:
            row = read_row(value)
            shape = shape_of(value)
            for one in converted(row, Shape.MESSAGES, good=0.0):
                assert isinstance(one, Dialogue)
                rows.append(CheckedRow(number, shape, one.turns, one.rest))
        except ValueError as error:
            problems.add(number, str(error))
    if not rows and not problems.count:
        raise BadRows(f"{path.name}: no rows")
    return CheckedFile(tuple(rows), problems.count, problems.told)
