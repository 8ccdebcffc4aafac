"""A folder of documents, read into knowledge: what holds today, what is superseded, what could not be read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from guardrails.knowledge.document import Document
from guardrails.knowledge.extract import document_facts
from guardrails.knowledge.fact import Fact, Knowledge
from guardrails.knowledge.read import FORMATS, read_document
from guardrails.knowledge.versions import in_force
from guardrails.problem import PolicyProblem

_LINE = re.compile(r"line (\d+): ")


@dataclass(frozen=True, slots=True)
class Read:
    """One document and its facts; kept between readings, so that an unchanged file is not read again."""

    document: Document
    facts: tuple[Fact, ...]


def read_knowledge(
    folder: Path, today: date, previous: Mapping[str, Read] | None = None
) -> tuple[Knowledge, dict[str, Read]]:
    """Every document below `folder`, by its path there. A file that cannot be read is a problem of the result.

    `previous` is what an earlier reading returned: files with the same bytes are taken from it.
    """
    read: dict[str, Read] = {}
    problems: list[PolicyProblem] = []
    for path in document_paths(folder):
        name = path.relative_to(folder).as_posix()
        try:
            read[name] = _read(path, name, (previous or {}).get(name))
        except (OSError, ValueError) as error:
            problems.append(_problem(path, error))
    return knowledge_on(read, today, tuple(problems)), read


def _problem(path: Path, error: Exception) -> PolicyProblem:
    """The error with its line apart, where it begins with one."""
    found = _LINE.match(str(error))
    return (
        PolicyProblem(path, str(error)[found.end() :], int(found[1]))
        if found
        else PolicyProblem(path, str(error))
    )


def document_paths(folder: Path) -> list[Path]:
    """The files that are documents, in an order of their own; hidden ones and editors' leftovers are none."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in FORMATS and path.is_file())
    return sorted(path for path in found if not _hidden(path.relative_to(folder)))


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "~$")) for part in path.parts)


def _read(path: Path, name: str, before: Read | None) -> Read:
    raw = path.read_bytes()
    if before is not None and before.document.digest == hashlib.sha256(raw).hexdigest():
        return before
    document = read_document(raw, name)
    return Read(document, document_facts(document))


def knowledge_on(
    read: Mapping[str, Read], today: date, problems: tuple[PolicyProblem, ...] = ()
) -> Knowledge:
    """What of the documents holds on one day: by their dates and versions, and by their entries' own dates."""
    names = in_force({name: one.document for name, one in read.items()}, today)
    day, valid = today.isoformat(), set(names)
    facts = tuple(fact for name in names for fact in read[name].facts if fact.source.holds_on(day))
    old = tuple(
        fact
        for name, one in read.items()
        for fact in one.facts
        if name not in valid or not fact.source.holds_on(day)
    )
    return Knowledge(facts, old, tuple(read[name].document.title for name in names), problems)
