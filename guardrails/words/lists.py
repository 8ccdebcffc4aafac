"""Word lists as people keep them: `.txt`, `.csv` and `.yaml` files of a policy's `words/` folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

from guardrails.policy.yaml_source import YamlSource, read_yaml
from guardrails.problem import PolicyProblem
from guardrails.words.pattern import pattern_of
from guardrails.words.term import Action, Boundary, Level, Term

MAX_TERMS = 200_000
"""Terms of one policy. More take minutes to build and hundreds of megabytes in every process."""
MAX_LENGTH = 100
"""Characters of one term."""
_MAX_BYTES = 64 << 20
_FIELDS = ("text", "id", "tag", "level", "action", "boundary")
_CHOICES: dict[str, type[StrEnum]] = {"level": Level, "action": Action, "boundary": Boundary}


@dataclass(frozen=True, slots=True)
class WordLists:
    """Everything the files of a folder deny and allow."""

    deny: tuple[Term, ...]
    allow: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of a file before it is judged."""

    path: Path
    line: int | None
    fields: Mapping[str, Any]
    allowed: bool


def read_lists(folder: Path) -> WordLists:
    """All lists of `folder`, in the order of their names. Raises PolicyProblem.

    A file whose name begins with `allow` holds allowed phrases; a YAML file may hold both: `deny:` and `allow:`.
    """
    deny: list[Term] = []
    allow: list[str] = []
    named: dict[str, _Entry] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        # Counted before any is judged, which takes much longer.
        room = MAX_TERMS - len(deny) - len(allow)
        entries = list(islice(_entries(path), room + 1))
        if len(entries) > room:
            raise PolicyProblem(path, f"more than {MAX_TERMS} terms in {folder.name}/", entries[-1].line)
        for entry in entries:
            if entry.allowed:
                allow.append(_text(entry))
                continue
            term = _term(entry)
            if term.id in named:
                raise _problem(entry, f"{term.id} is the id of another term", "id")
            named[term.id] = entry
            deny.append(term)
    return WordLists(tuple(deny), tuple(allow))


def _entries(path: Path) -> Iterator[_Entry]:
    if path.name.startswith(".") or path.name.endswith("~") or not path.is_file():
        return
    allowed = path.stem.startswith("allow")
    if path.suffix == ".txt":
        for number, line in enumerate(_read(path).splitlines(), 1):
            text = line.strip()
            if text and not text.startswith("#"):
                yield _Entry(path, number, {"text": text}, allowed)
    elif path.suffix == ".csv":
        yield from _csv(path, allowed)
    elif path.suffix in {".yaml", ".yml"}:
        yield from _yaml(path)
    elif path.suffix.lower() != ".md":
        raise PolicyProblem(path, "a word list is a .txt, .csv or .yaml file")


def _csv(path: Path, allowed: bool) -> Iterator[_Entry]:
    rows = csv.DictReader(_read(path).splitlines(keepends=True), strict=True)
    try:
        if "text" not in (rows.fieldnames or ()):
            raise PolicyProblem(
                path, f"the first line names the columns: text, and any of {', '.join(_FIELDS[1:])}", 1
            )
        for row in rows:
            if None in row:
                raise PolicyProblem(path, "more cells than columns", rows.line_num)
            yield _Entry(path, rows.line_num, {name: value for name, value in row.items() if value}, allowed)
    except csv.Error as error:
        raise PolicyProblem(path, str(error), rows.line_num) from None


def _yaml(path: Path) -> Iterator[_Entry]:
    source = read_yaml(path)
    data = {} if source.data is None else source.data
    if not isinstance(data, dict) or not data.keys() <= {"deny", "allow"}:
        raise PolicyProblem(path, "a mapping with `deny` and `allow`", 1)
    lines = _lines(source)
    for name in ("deny", "allow"):
        rows = data.get(name) or []
        if not isinstance(rows, list):
            raise source.problem("a list", (name,))
        for at, row in enumerate(rows):
            fields = row if isinstance(row, dict) else {"text": row}
            yield _Entry(path, lines.get((name, at)), fields, name == "allow")


def _lines(source: YamlSource) -> dict[tuple[str, int], int]:
    """(list, place) → line, in one walk: asking for each place alone would walk the list for each."""
    return {
        (key.value, at): item.start_mark.line + 1
        for key, value in (source.root.value if source.root is not None else ())
        if isinstance(key.value, str) and isinstance(value.value, list)
        for at, item in enumerate(value.value)
    }


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PolicyProblem(path, f"larger than {_MAX_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyProblem(path, f"cannot be read as UTF-8 text: {error}") from None


def _term(entry: _Entry) -> Term:
    values: dict[str, Any] = {"id": f"{entry.path.stem}.{entry.line}"}
    for name, value in entry.fields.items():
        if name not in _FIELDS:
            raise _problem(entry, f"unknown; there are {', '.join(_FIELDS)}", str(name))
        if name in _CHOICES:
            try:
                values[name] = _CHOICES[name](value)
            except ValueError:
                raise _problem(entry, f"one of {', '.join(_CHOICES[name])}", name) from None
        elif name != "text":
            if not isinstance(value, str | int) or not str(value).strip() or len(str(value)) > MAX_LENGTH:
                raise _problem(entry, f"a text of up to {MAX_LENGTH} characters", name)
            values[name] = str(value).strip()
    return Term(text=_text(entry), **values)


def _text(entry: _Entry) -> str:
    text = entry.fields.get("text")
    if type(text) is int:
        text = str(text)
    if not isinstance(text, str) or not text.strip():
        raise _problem(
            entry, "a term is a text (in YAML, put what could be a number or a date in quotes)", "text"
        )
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise _problem(entry, f"longer than {MAX_LENGTH} characters", "text")
    if not pattern_of(text, 0).letters:
        raise _problem(entry, "has no letter or digit", "text")
    return text


def _problem(entry: _Entry, message: str, field: str) -> PolicyProblem:
    return PolicyProblem(entry.path, message, entry.line, field)
