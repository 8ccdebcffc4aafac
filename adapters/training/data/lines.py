"""JSON lines in and out: every broken line found with its number, a file written beside and then put in place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

MAX_PROBLEMS = 20
"""Problems that are spelt out; the others are counted."""
MAX_LINE_BYTES = 4 * 1024 * 1024


class BadRows(ValueError):
    """The message lists what is wrong, line by line."""


class Problems:
    """Collects what is wrong with a file, so that a user sees all of it at once."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._told: list[str] = []

    def add(self, line: int, message: str) -> None:
        """One more."""
        self.count += 1
        if len(self._told) < MAX_PROBLEMS:
            self._told.append(f"{self._name}:{line}: {message}")

    @property
    def told(self) -> tuple[str, ...]:
        """The first ones, each with file and line."""
        return tuple(self._told)

    def stop_if_any(self) -> None:
        """Raises BadRows."""
        if self.count:
            more = f"\n… and {self.count - len(self._told)} more" if self.count > len(self._told) else ""
            raise BadRows("\n".join(self._told) + more)


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, Any]]:
    """Number (from 1) and JSON value of every line that is one. The others go to `problems`. Raises OSError."""
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            try:
                if len(raw) > MAX_LINE_BYTES:
                    _skip_line(file.readline, raw)
                    raise ValueError(f"longer than {MAX_LINE_BYTES // 2**20} MiB")
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if raw.strip():
                    yield number, _parsed(raw)
            except ValueError as error:
                problems.add(number, str(error))


def _skip_line(readline: Any, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = readline(MAX_LINE_BYTES)


def _parsed(raw: bytes) -> Any:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start + 1}); save the file as UTF-8") from None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        hint = "; one JSON object a line is expected" if raw.strip() in {b"[", b"{"} else ""
        raise ValueError(f"not JSON: {error}{hint}") from None


class Writer:
    """Appends rows; knows how many there were and their digest."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = sha256()
        self.rows = 0

    def write(self, row: object) -> None:
        """One row, as a line."""
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        self._file.write(line)
        self._digest.update(line)
        self.rows += 1

    @property
    def digest(self) -> str:
        """sha256 (hex) of what was written."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A draft next to `path` that takes its place at the end; after an error it is gone and `path` as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A writer of `path`, which is there whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside(path) as draft, Writer(draft) as writer:
        yield writer
