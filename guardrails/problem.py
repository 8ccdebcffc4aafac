"""What is wrong with a file of a policy folder, said so that its author finds the place."""

from __future__ import annotations

from pathlib import Path


class PolicyProblem(ValueError):
    """A policy file that cannot be taken; `str()` reads `file:line: field: message`."""

    def __init__(self, path: Path, message: str, line: int | None = None, field: str = "") -> None:
        super().__init__(path, message, line, field)
        self.path = path
        self.message = message
        self.line = line
        self.field = field

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: `{self.field}`: {self.message}" if self.field else f"{place}: {self.message}"
